//! Several results in one file: the arrays of each under its name, as in `NAME.vectors`.

use std::collections::BTreeMap;
use std::io::Cursor;

use ::safetensors::{Dtype, SafeTensorError, SafeTensors, tensor::TensorView};

use super::Extras;
use super::safetensors::{self, SafetensorsWriter};
use super::zip::Zip;
use super::{Format, Sink, broken, npy, npz};
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
        let writer =
            SafetensorsWriter::start(Cursor::new(Vec::new()), result.header().clone(), &own)?;
        let mut sink = Box::new(writer);
        result.texts.iter().try_for_each(|text| sink.push(text.clone()))?;
        Ok(sink.finish()?.into_inner())
    };
    let files = results.iter().map(one).collect::<Result<Vec<_>>>()?;
    let odd = |e: SafeTensorError| fail!(Io, "the results could not be joined: {e}");
    let bytes: Vec<Vec<u8>> =
        extras.iter().map(|e| e.values.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
    let mut arrays: Vec<(String, TensorView<'_>)> = Vec::new();
    let mut about = BTreeMap::new();
    for ((name, file), result) in names.iter().zip(&files).zip(results) {
        let named = |part: &str| match name {
            Some(name) => format!("{name}.{part}"),
            None => part.to_owned(),
        };
        let mut tensors = SafeTensors::deserialize(file).map_err(odd)?.tensors();
        // The crate lists them by a hash; the same request is to have the same bytes each time.
        tensors.sort_by(|a, b| (a.1.data().as_ptr(), &a.0).cmp(&(b.1.data().as_ptr(), &b.0)));
        for (array, view) in tensors {
            // What is of the texts and not of a result stands there once, without a name.
            let name = if SHARED.contains(&array.as_str()) { array } else { named(&array) };
            let is_there = arrays.iter().any(|(other, _)| *other == name);
            if !is_there && !extras.iter().any(|extra| extra.name == name) {
                arrays.push((name, view));
            }
        }
        let layers: Vec<String> = result.layers.iter().map(usize::to_string).collect();
        let words = [
            ("layers", layers.join(",")),
            ("combine", result.combine.to_string()),
            ("pool", result.pool.to_string()),
        ];
        for (field, value) in words.into_iter().chain(result.site_fields().words()) {
            about.insert(named(field), value);
        }
        about.insert("model".into(), result.model.clone());
    }
    for (extra, bytes) in extras.iter().zip(&bytes) {
        let view = TensorView::new(Dtype::I64, extra.shape.clone(), bytes).map_err(odd)?;
        arrays.push((extra.name.to_owned(), view));
    }
    let about: Vec<(String, String)> = about.into_iter().collect();
    match format {
        Format::Safetensors => {
            // Wide numbers first, so that all lie on addresses that are multiples of their size.
            arrays.sort_by_key(|(_, view)| std::cmp::Reverse(view.dtype().bitsize()));
            let tensors = arrays.iter().map(|(name, view)| {
                let dtype = match view.dtype() {
                    Dtype::F16 => "F16",
                    Dtype::I8 => "I8",
                    Dtype::U8 => "U8",
                    Dtype::I64 => "I64",
                    _ => "F32",
                };
                let shape = view.shape().iter().map(|&n| n as u64).collect();
                (name.as_str(), dtype, shape, view.data().len() as u64)
            });
            let mut head = safetensors::head(&about, &tensors.collect::<Vec<_>>());
            head.resize(head.len().next_multiple_of(8), b' ');
            let mut file = (head.len() as u64).to_le_bytes().to_vec();
            file.append(&mut head);
            arrays.iter().for_each(|(_, view)| file.extend_from_slice(view.data()));
            Ok(file)
        }
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
            npz::put_metadata(&mut zip, about).map_err(broken)?;
            Ok(zip.finish().map_err(broken)?.into_inner())
        }
        _ => Err(fail!(Usage, "several results in one file are npz or safetensors, not {format}")),
    }
}
