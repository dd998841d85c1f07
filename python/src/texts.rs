//! Texts as Python has them, readable without the interpreter: its own strings where they lie, or the
//! arrays of Arrow.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use everylayer::Text;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyList, PyString, PyTuple};
use pyo3_arrow::input::AnyArray;

use crate::errors::made;

/// The texts of a call.
pub enum Texts {
    /// Strings, and the second of a pair.
    Strings(Vec<(PyBackedStr, Option<PyBackedStr>)>),
    /// Arrays of strings without nulls.
    Arrow(Vec<ArrayRef>),
}

impl Texts {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Strings(all) => all.len(),
            Self::Arrow(arrays) => arrays.iter().map(|array| array.len()).sum(),
        }
    }

    /// The same as the library takes them, in place.
    pub fn all(&self) -> Vec<Text<'_>> {
        match self {
            Self::Strings(all) => all.iter().map(of_strings).collect(),
            Self::Arrow(arrays) => arrays.iter().flat_map(strings).map(Text::from).collect(),
        }
    }
}

fn of_strings((text, pair): &(PyBackedStr, Option<PyBackedStr>)) -> Text<'_> {
    match pair {
        Some(pair) => (&**text, &**pair).into(),
        None => Text::from(&**text),
    }
}

/// The strings of `array`, whose type is one of strings.
fn strings(array: &ArrayRef) -> Box<dyn Iterator<Item = &str> + '_> {
    match array.data_type() {
        DataType::Utf8 => Box::new(array.as_string::<i32>().iter().flatten()),
        DataType::LargeUtf8 => Box::new(array.as_string::<i64>().iter().flatten()),
        DataType::Utf8View => Box::new(array.as_string_view().iter().flatten()),
        _ => Box::new(std::iter::empty()),
    }
}

impl<'py> FromPyObject<'_, 'py> for Texts {
    type Error = PyErr;

    /// A list of strings and pairs of them, or what has the Arrow PyCapsule interface.
    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        match object.cast::<PyList>() {
            Ok(list) => list
                .iter()
                .enumerate()
                .map(|(i, item)| text(i, &item))
                .collect::<PyResult<_>>()
                .map(Self::Strings),
            Err(_) => arrow(&object),
        }
    }
}

/// Item `i` of a list of texts.
fn text(i: usize, item: &Bound<'_, PyAny>) -> PyResult<(PyBackedStr, Option<PyBackedStr>)> {
    if let Ok(one) = item.cast::<PyString>() {
        return Ok((string(one, || format!("texts[{i}]"))?, None));
    }
    let wrong = || {
        let class = item.get_type().name().map_or_else(|_| "object".to_owned(), |n| n.to_string());
        let said =
            format!("texts[{i}] is a {class}: each text is a str, or a tuple of two for a pair");
        made(item.py(), "type", &said)
    };
    let pair = match (item.cast::<PyTuple>(), item.cast::<PyList>()) {
        (Ok(pair), _) => pair.iter().collect::<Vec<_>>(),
        (_, Ok(pair)) => pair.iter().collect(),
        _ => return Err(wrong()),
    };
    let [first, second] = pair.as_slice() else { return Err(wrong()) };
    let half = |of: &Bound<'_, PyAny>, k: usize| {
        let of = of.cast::<PyString>().map_err(|_| wrong())?;
        string(of, || format!("texts[{i}][{k}]"))
    };
    Ok((half(first, 0)?, Some(half(second, 1)?)))
}

/// The UTF-8 of `text`, which a lone surrogate has not.
fn string(text: &Bound<'_, PyString>, place: impl Fn() -> String) -> PyResult<PyBackedStr> {
    text.extract().map_err(|error: PyErr| {
        let at = error.value(text.py()).getattr("start").and_then(|start| start.extract::<usize>());
        let at = at.map_or_else(|_| String::new(), |at| format!(" at character {at}"));
        let said = format!("{} is not Unicode text: there is a lone surrogate{at}", place());
        made(text.py(), "text", &said)
    })
}

/// The arrays of strings of `object`.
fn arrow(object: &Bound<'_, PyAny>) -> PyResult<Texts> {
    let py = object.py();
    let reader = object.extract::<AnyArray>()?.into_reader()?;
    let field = reader.field();
    let data_type = field.data_type().clone();
    if !matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) {
        let said = format!(
            "texts are an Arrow array of {data_type}: give one of strings, such as a column of a table"
        );
        return Err(made(py, "type", &said));
    }
    let mut arrays = Vec::new();
    let mut before = 0;
    for array in reader {
        let array = array
            .map_err(|e| made(py, "text", &format!("texts cannot be read from Arrow: {e}")))?;
        // What comes from elsewhere is not believed to be UTF-8 within its bounds.
        array
            .to_data()
            .validate_full()
            .map_err(|e| made(py, "text", &format!("texts are a damaged Arrow array: {e}")))?;
        if array.null_count() > 0 {
            let null = (0..array.len()).find(|&i| array.is_null(i)).unwrap_or_default();
            return Err(made(
                py,
                "type",
                &format!("texts[{}] is null: each text is a string", before + null),
            ));
        }
        before += array.len();
        arrays.push(array);
    }
    Ok(Texts::Arrow(arrays))
}
