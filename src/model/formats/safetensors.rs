//! The header of a safetensors file, read and held against the file's size.
//!
//! Element types are those of the crate `safetensors`; the rest is written here, because the crate
//! wants the whole file in memory, keeps the last of two tensors of one name, refuses a file for an element type it does
//! not know even where nobody asks for that tensor, and names no tensor in most of its errors.
//! Format: <https://github.com/huggingface/safetensors#format>. Tensor data is not read here.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::tensor::{Entry, TensorDtype};
use crate::error::{Result, fail};
use crate::model::sources::{Blob, parse_json};
use crate::quote::quote;

/// The largest header that is read, as in the crate `safetensors`.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// Reads the header of `blob`: every tensor in the order of its data. The offsets were checked to
/// cover the file without gap or overlap, and shapes to fit them.
pub(crate) fn read_header(blob: &dyn Blob) -> Result<Vec<Entry>> {
    let (place, size) = (blob.place(), blob.size());
    if size < 8 {
        return Err(fail!(
            Checkpoint,
            "{place}: not a safetensors file: it has {size} bytes, the header's length alone takes 8"
        ));
    }
    let mut length = [0; 8];
    blob.read_at(0, &mut length)?;
    if length.starts_with(b"PK\x03\x04") {
        return Err(fail!(
            Checkpoint,
            "{place}: it is a torch file, not a safetensors file: rename it to pytorch_model.bin"
        ));
    }
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER_BYTES {
        return Err(fail!(
            Checkpoint,
            "{place}: not a safetensors file, or damaged: it declares a header of {length} bytes, \
             at most {MAX_HEADER_BYTES} are read"
        ));
    }
    if length > size - 8 {
        return Err(fail!(
            Checkpoint,
            "{place}: the file is truncated: it declares a header of {length} bytes and has {size} \
             bytes in all; download it again"
        ));
    }
    let too_large = || fail!(OutOfMemory, "{place}: no memory for a header of {length} bytes");
    let count = usize::try_from(length).map_err(|_| too_large())?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(count).map_err(|_| too_large())?;
    bytes.resize(count, 0);
    blob.read_at(8, &mut bytes)?;
    let Header(raw) = parse_json(&bytes, &format!("{place}: header"))?;
    check(raw, &place, 8 + length, size)
}

/// Holds the tensors `raw` against the file: the data begins at `data` and the file has `size` bytes.
fn check(mut raw: Vec<(String, Raw)>, place: &str, data: u64, size: u64) -> Result<Vec<Entry>> {
    let mut seen = HashSet::with_capacity(raw.len());
    if let Some((name, _)) = raw.iter().find(|(name, _)| !seen.insert(name.as_str())) {
        return Err(fail!(
            Checkpoint,
            "{place}: two tensors are called {name}",
            name = quote(name)
        ));
    }
    raw.sort_by_key(|(_, tensor)| tensor.data_offsets);
    let mut entries = Vec::with_capacity(raw.len());
    let mut end = 0;
    for (name, tensor) in raw {
        let (from, to) = tensor.data_offsets;
        let Raw { dtype, shape, .. } = tensor;
        if to < from || to > size - data {
            return Err(fail!(
                Checkpoint,
                "{place}: tensor {name} has bytes {from}..{to} of the data, which has {}: the \
                 file is truncated or damaged, download it again",
                size - data,
                name = quote(name)
            ));
        }
        if from != end {
            return Err(fail!(
                Checkpoint,
                "{place}: tensor {name} begins at byte {from} of the data, the one before it ends \
                 at {end}: the header is damaged",
                name = quote(name)
            ));
        }
        let needed = shape
            .iter()
            .try_fold(1_u64, |n, &width| n.checked_mul(width))
            .and_then(|n| n.checked_mul(element_bits(&dtype).unwrap_or(0)));
        let fits = match (needed, element_bits(&dtype)) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(bits), Some(_)) => bits % 8 == 0 && bits / 8 == to - from,
        };
        let shape = shape.iter().map(|&n| usize::try_from(n)).collect::<Result<Vec<_>, _>>();
        let (true, Ok(shape)) = (fits, shape) else {
            return Err(fail!(
                Checkpoint,
                "{place}: tensor {name} of type {dtype} has {} bytes, which its shape contradicts: \
                 the header is damaged",
                to - from,
                name = quote(name),
                dtype = quote(dtype)
            ));
        };
        end = to;
        let (dtype, start) = (TensorDtype::from_name(&dtype), data + from);
        entries.push(Entry { name, dtype, shape, start, strides: None });
    }
    if end != size - data {
        return Err(fail!(
            Checkpoint,
            "{place}: the tensors end at byte {end} of the data, which has {}: the file is damaged",
            size - data
        ));
    }
    Ok(entries)
}

/// Bits of one element of the type that a header calls `dtype`; `None` for an unknown one.
fn element_bits(dtype: &str) -> Option<u64> {
    let name = StrDeserializer::<serde::de::value::Error>::new(dtype);
    let known = ::safetensors::Dtype::deserialize(name).ok()?;
    Some(known.bitsize() as u64)
}

/// A header as its JSON says it, names possibly twice.
struct Header(Vec<(String, Raw)>);

#[derive(Deserialize)]
struct Raw {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut tensors = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
            } else {
                tensors.push((name, map.next_value()?));
            }
        }
        Ok(Header(tensors))
    }
}
