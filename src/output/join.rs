//! Several results in one file: the arrays of each under its name, as in `NAME.vectors`.

use std::collections::{BTreeMap, HashMap};
use std::io::Cursor;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::Value;

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
        Format::Safetensors => {
            safetensors::serialize(arrays, Some(about)).map_err(odd).map(in_order)
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
            let mut about: Vec<_> = about.into_iter().collect();
            about.sort();
            npz::put_metadata(&mut zip, about).map_err(broken)?;
            Ok(zip.finish().map_err(broken)?.into_inner())
        }
        _ => Err(fail!(Usage, "several results in one file are npz or safetensors, not {format}")),
    }
}

/// `file` with the fields of its metadata by name: the crate writes them in the order of a hash.
fn in_order(mut file: Vec<u8>) -> Vec<u8> {
    let sorted = || {
        let length = u64::from_le_bytes(*file.first_chunk()?);
        let head = file.get(8..8 + usize::try_from(length).ok()?)?;
        let mut head: serde_json::Map<String, Value> = serde_json::from_slice(head).ok()?;
        let about: BTreeMap<String, Value> =
            serde_json::from_value(head.remove("__metadata__")?).ok()?;
        let tensors = head.into_iter().collect::<BTreeMap<_, _>>();
        let about = serde_json::to_string(&about).ok()?;
        let tensors = serde_json::to_string(&tensors).ok()?;
        let comma = if tensors.len() > 2 { "," } else { "" };
        let mut text = format!("{{\"__metadata__\":{about}{comma}{}", &tensors[1..]).into_bytes();
        text.resize(length as usize, b' ');
        Some(text)
    };
    if let Some(head) = sorted() {
        file[8..8 + head.len()].copy_from_slice(&head);
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_a_joined_file_are_in_order() {
        let view = || TensorView::new(Dtype::U8, vec![1], &[7]).unwrap();
        let about = || Some((0..20).map(|i| (format!("key {i:02}"), "\"ä".to_owned())).collect());
        for arrays in [vec![], vec![("a", view())], vec![("b", view()), ("a", view())]] {
            let one = || safetensors::serialize(arrays.clone(), about()).unwrap();
            let (plain, first, other) = (one(), in_order(one()), in_order(one()));
            assert_eq!((plain.len(), &first), (first.len(), &other));
            let (was, is) = (SafeTensors::deserialize(&plain), SafeTensors::deserialize(&first));
            let (was, is) = (was.unwrap(), is.unwrap());
            assert_eq!(was.len(), is.len());
            for (name, tensor) in was.tensors() {
                assert_eq!(tensor, is.tensor(&name).unwrap());
            }
            let about = |file| SafeTensors::read_metadata(file).unwrap().1.metadata().clone();
            assert_eq!(about(&plain), about(&first));
        }
    }
}
