//! Several results in one file: the arrays of each under its name, as in `NAME.vectors`.

use std::collections::HashMap;
use std::io::Cursor;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::Extras;
use super::zip::Zip;
use super::{Format, Sink, broken, npy, npz, safetensors::SafetensorsWriter};
use crate::embeddings::Embeddings;
use crate::error::{Result, fail};

/// An array beside those of the results.
pub struct Extra {
    /// Its whole name.
    pub name: &'static str,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Row-major.
    pub values: Vec<i64>,
}

/// Arrays that are the same in all results.
const SHARED: [&str; 3] = ["index", "text_tokens", "tokens_lost"];

/// Writes `results`, one a name, and `extras` as npz or safetensors; a single result without a name
/// has plain arrays.
///
/// # Errors
///
/// `Usage` for another format.
pub fn join(
    format: Format,
    names: &[Option<&str>],
    results: &[Embeddings],
    extras: &[Extra],
) -> Result<Vec<u8>> {
    let one = |result: &Embeddings| {
        let own = Extras { ranges: result.int8.clone(), ..Extras::default() };
        let writer = SafetensorsWriter::start(Cursor::new(Vec::new()), result.header(), &own)?;
        let mut sink = Box::new(writer);
        result.texts.iter().try_for_each(|text| sink.push(text.clone()))?;
        Ok(sink.finish()?.into_inner())
    };
    let files = results.iter().map(one).collect::<Result<Vec<_>>>()?;
    let odd = |e: safetensors::SafeTensorError| fail!(Io, "the results could not be joined: {e}");
    let bytes: Vec<Vec<u8>> =
        extras.iter().map(|e| e.values.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
    let mut arrays: Vec<(String, TensorView<'_>)> = Vec::new();
    let mut about = HashMap::new();
    for ((name, file), result) in names.iter().zip(&files).zip(results) {
        let named = |part: &str| match name {
            Some(name) => format!("{name}.{part}"),
            None => part.to_owned(),
        };
        for (array, view) in SafeTensors::deserialize(file).map_err(odd)?.tensors() {
            // What is of the texts and not of a result stands there once, without a name.
            let name = if SHARED.contains(&array.as_str()) { array } else { named(&array) };
            let is_there = arrays.iter().any(|(other, _)| *other == name);
            if !is_there && !extras.iter().any(|extra| extra.name == name) {
                arrays.push((name, view));
            }
        }
        let layers: Vec<String> = result.layers.iter().map(usize::to_string).collect();
        for (field, value) in [
            ("layers", layers.join(",")),
            ("combine", result.combine.to_string()),
            ("pool", result.pool.to_string()),
        ] {
            about.insert(named(field), value);
        }
        about.insert("model".into(), result.model.clone());
    }
    for (extra, bytes) in extras.iter().zip(&bytes) {
        let view = TensorView::new(Dtype::I64, extra.shape.clone(), bytes).map_err(odd)?;
        arrays.push((extra.name.to_owned(), view));
    }
    match format {
        Format::Safetensors => safetensors::serialize(arrays, Some(about)).map_err(odd),
        Format::Npz => {
            let mut zip = Zip::new(Cursor::new(Vec::new())).map_err(broken)?;
            for (name, view) in arrays {
                let descr = match view.dtype() {
                    Dtype::F16 => "<f2",
                    Dtype::I8 => "|i1",
                    Dtype::U8 => "|u1",
                    Dtype::I64 => "<i8",
                    _ => "<f4",
                };
                let shape: Vec<u64> = view.shape().iter().map(|&n| n as u64).collect();
                let head = npy::head(descr, &shape);
                zip.open(format!("{name}.npy"), &head).map_err(broken)?;
                zip.write(view.data()).map_err(broken)?;
                zip.close(&head).map_err(broken)?;
            }
            let mut about: Vec<_> = about.into_iter().collect();
            about.sort();
            npz::put_metadata(&mut zip, about).map_err(broken)?;
            Ok(zip.finish().map_err(broken)?.into_inner())
        }
        _ => Err(fail!(Usage, "several results in one file are npz or safetensors, not {format}")),
    }
}
