//! Numbers on their way out: the buffers of a result become those of NumPy arrays, moved.

use everylayer::Embeddings;
use everylayer::embeddings::{Header, Rows, TextEmbedding, Values};
use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::errors::made;
use crate::table::{array_capsules, stream_capsule};

/// What came of one call: flat arrays, which `everylayer._embeddings` gives their shapes.
#[pyclass(frozen, module = "everylayer._native")]
pub struct Reply {
    /// What the texts have in common.
    pub header: Header,
    /// All numbers: (rows, layer axis, width), or (layer axis, rows, width) under `layers_first`.
    #[pyo3(get)]
    pub vectors: Py<PyAny>,
    /// Whether the layer axis is the first one.
    #[pyo3(get)]
    pub layers_first: bool,
    /// The first row of each text, and the number of rows.
    #[pyo3(get)]
    pub offsets: Py<PyArray1<i64>>,
    /// Tokens of each text that went through the model.
    #[pyo3(get)]
    pub text_tokens: Py<PyArray1<i64>>,
    /// Tokens of each text that were cut off.
    #[pyo3(get)]
    pub lost: Py<PyArray1<i64>>,
    /// (rows, 2): the characters of each token or word; none for texts.
    #[pyo3(get)]
    pub spans: Py<PyArray1<i64>>,
    /// The vocabulary's number of each token; none for words and texts.
    #[pyo3(get)]
    pub ids: Py<PyArray1<i64>>,
    /// The word that each token is of, -1 for special ones; none for words and texts.
    #[pyo3(get)]
    pub word_ids: Py<PyArray1<i64>>,
    /// Each token as the vocabulary writes it, each word as it stands in its text.
    #[pyo3(get)]
    pub labels: Vec<String>,
    /// Texts that overflowed f16 and were run again in f32.
    #[pyo3(get)]
    rerun: Vec<usize>,
}

#[pymethods]
impl Reply {
    /// The model, as a person would name it.
    #[getter]
    fn model(&self) -> &str {
        &self.header.model
    }

    /// Where it ran.
    #[getter]
    fn device(&self) -> &str {
        &self.header.device
    }

    /// What it computed in.
    #[getter]
    fn dtype(&self) -> &str {
        &self.header.dtype
    }

    /// The chosen states.
    #[getter]
    fn layers(&self) -> Vec<usize> {
        self.header.layers.clone()
    }

    /// What was read of them.
    #[getter]
    fn site(&self) -> String {
        self.header.site.to_string()
    }

    /// Heads of a row and numbers of a head, where it is one of several heads.
    #[getter]
    fn heads(&self) -> Option<(usize, usize)> {
        self.header.heads.map(|[heads, size]| (heads, size))
    }

    /// How they were combined.
    #[getter]
    fn combine(&self) -> String {
        self.header.combine.to_string()
    }

    /// How tokens became rows.
    #[getter]
    fn pool(&self) -> String {
        self.header.pool.to_string()
    }

    /// `texts`, `tokens` or `words`.
    #[getter]
    fn rows(&self) -> &'static str {
        match self.header.rows {
            Rows::Texts => "texts",
            Rows::Tokens => "tokens",
            Rows::Words => "words",
        }
    }

    /// Rows of the layer axis.
    #[getter]
    fn layer_axis(&self) -> usize {
        self.header.layer_axis
    }

    /// Stored numbers of a row.
    #[getter]
    fn width(&self) -> usize {
        self.header.width
    }

    /// The type of the numbers.
    #[getter]
    fn precision(&self) -> String {
        self.header.precision.to_string()
    }

    /// The PyCapsules of the schema and of the array of the table that a Parquet file has.
    fn arrow_array<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyCapsule>, Bound<'py, PyCapsule>)> {
        array_capsules(py, self)
    }

    /// The PyCapsule of a stream of that one array.
    fn arrow_stream<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        stream_capsule(py, self)
    }
}

impl Reply {
    /// The same as `all`.
    pub fn new(py: Python<'_>, mut all: Embeddings) -> PyResult<Self> {
        let header = all.header().clone();
        let rerun = all.rerun.take().map(|rerun| rerun.texts).unwrap_or_default();
        let mut places = Places::default();
        all.texts.iter_mut().for_each(|text| places.take(text));
        let layers_first = all.texts.len() == 1;
        let shape = (header.layer_axis, header.width);
        let vectors = match all.texts.first().map(|text| &text.values) {
            None | Some(Values::F32(_)) => flat(py, all.texts, shape, |v| match v {
                Values::F32(v) => Some(v),
                _ => None,
            }),
            Some(Values::F16(_)) => flat(py, all.texts, shape, |v| match v {
                Values::F16(v) => Some(v),
                _ => None,
            }),
            Some(Values::I8(_)) => flat(py, all.texts, shape, |v| match v {
                Values::I8(v) => Some(v),
                _ => None,
            }),
            Some(Values::U8(_)) => flat(py, all.texts, shape, |v| match v {
                Values::U8(v) => Some(v),
                _ => None,
            }),
        };
        let array = |numbers| PyArray1::from_vec(py, numbers).unbind();
        Ok(Self {
            header,
            vectors: vectors?,
            layers_first,
            offsets: array(places.offsets),
            text_tokens: array(places.text_tokens),
            lost: array(places.lost),
            spans: array(places.spans),
            ids: array(places.ids),
            word_ids: array(places.word_ids),
            labels: places.labels,
            rerun,
        })
    }
}

/// What the rows are of.
struct Places {
    offsets: Vec<i64>,
    text_tokens: Vec<i64>,
    lost: Vec<i64>,
    spans: Vec<i64>,
    ids: Vec<i64>,
    word_ids: Vec<i64>,
    labels: Vec<String>,
}

impl Default for Places {
    fn default() -> Self {
        let none = Vec::new;
        Self {
            offsets: vec![0],
            text_tokens: none(),
            lost: none(),
            spans: none(),
            ids: none(),
            word_ids: none(),
            labels: Vec::new(),
        }
    }
}

impl Places {
    /// Those of one text more.
    fn take(&mut self, text: &mut TextEmbedding) {
        let before = self.offsets.last().copied().unwrap_or_default();
        self.offsets.push(before + text.rows as i64);
        self.text_tokens.push(text.text_tokens as i64);
        self.lost.push(text.lost as i64);
        for token in std::mem::take(&mut text.tokens) {
            self.spans.extend([token.start as i64, token.end as i64]);
            self.ids.push(i64::from(token.id));
            self.word_ids.push(token.word.map_or(-1, i64::from));
            self.labels.push(token.text);
        }
        for word in std::mem::take(&mut text.words) {
            self.spans.extend([word.start as i64, word.end as i64]);
            self.labels.push(word.text);
        }
    }
}

/// The numbers of `texts` one after the other, (rows, layer axis, width); those of a single text are
/// moved as they are, (layer axis, rows, width).
fn flat<T: numpy::Element + Copy>(
    py: Python<'_>,
    texts: Vec<TextEmbedding>,
    (layers, width): (usize, usize),
    take: fn(Values) -> Option<Vec<T>>,
) -> PyResult<Py<PyAny>> {
    let is_single = texts.len() == 1;
    let mut all = Vec::new();
    if !is_single {
        all.reserve_exact(texts.iter().map(|text| text.values.len()).sum());
    }
    for text in texts {
        let (index, rows) = (text.index, text.rows);
        let Some(values) = take(text.values).filter(|v| v.len() == rows * layers * width) else {
            let said =
                format!("text {index}: its numbers have not the type or shape of the others");
            return Err(made(py, "gpu", &said));
        };
        match (is_single, layers > 1 && rows > 1) {
            (true, _) => all = values,
            (false, false) => all.extend_from_slice(&values),
            (false, true) => {
                for row in 0..rows {
                    for layer in 0..layers {
                        let at = (layer * rows + row) * width;
                        all.extend_from_slice(&values[at..at + width]);
                    }
                }
            }
        }
    }
    Ok(PyArray1::from_vec(py, all).into_any().unbind())
}
