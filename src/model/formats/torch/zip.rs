//! Files of torch 1.6 and later: a zip file of one pickle that names tensors, and a record of raw
//! elements for each storage.
//!
//! Only the zip's directory and the pickle are read here. Records lie in the file as they are, so a
//! tensor is then read from its place as one of a safetensors file is. Formats: PKWARE APPNOTE
//! 6.3.10 sections 4.3.6 to 4.5.3; `torch/serialization.py` of 2.x, `_save`.

use std::collections::HashMap;

use super::{MAX_INDEX_BYTES, bytes, entry};
use crate::error::{Result, fail};
use crate::model::formats::pickle::PickleReader;
use crate::model::formats::tensor::Entry;
use crate::model::sources::Blob;
use crate::quote::quote;

/// The end of a zip file's directory, and the longest comment after it.
const END_BYTES: u64 = 22;
const MAX_COMMENT: u64 = u16::MAX as u64;

/// A file in the zip.
#[derive(Debug, Clone, Copy)]
struct ZipEntry {
    method: u16,
    /// Where its local header begins.
    header: u64,
    size: u64,
}

/// The tensors of the zip file `blob`.
pub(super) fn read(blob: &dyn Blob) -> Result<Vec<Entry>> {
    let records = directory(blob)?;
    let root = root(&records)?;
    if let Some(order) = records.get(&format!("{root}/byteorder")) {
        let (start, size) = stored(blob, "byteorder", *order)?;
        if bytes(blob, start, size.min(16))? != b"little" {
            return Err(fail!(
                Unsupported,
                "its data is not little-endian, which is not supported"
            ));
        }
    }
    let (start, size) = stored(blob, "data.pkl", records[&format!("{root}/data.pkl")])?;
    if size > MAX_INDEX_BYTES {
        return Err(fail!(
            Checkpoint,
            "data.pkl has {size} bytes, at most {MAX_INDEX_BYTES} are read"
        ));
    }
    let pickle = bytes(blob, start, size)?;
    let (state, _) = PickleReader::new(&pickle).state()?;
    let mut places: HashMap<String, (u64, u64)> = HashMap::new();
    let mut entries = Vec::with_capacity(state.len());
    for (name, tensor) in state {
        let key = &tensor.storage.key;
        let (start, size) = match places.get(key) {
            Some(place) => *place,
            None => {
                let Some(record) = records.get(&format!("{root}/data/{key}")) else {
                    return Err(fail!(
                        Checkpoint,
                        "tensor {name} is in the record data/{key}, which is missing",
                        name = quote(name),
                        key = quote(key)
                    ));
                };
                let place = stored(blob, &format!("data/{key}"), *record)?;
                places.insert(key.clone(), place);
                place
            }
        };
        entries.push(entry(name, &tensor, start, size)?);
    }
    Ok(entries)
}

/// The folder that all of a file of torch is in.
fn root(records: &HashMap<String, ZipEntry>) -> Result<String> {
    let mut roots: Vec<&str> = records
        .keys()
        .filter_map(|name| name.strip_suffix("/data.pkl"))
        .filter(|root| !root.contains('/'))
        .collect();
    roots.sort_unstable();
    match roots[..] {
        [root] => Ok(root.to_owned()),
        [] => Err(fail!(Checkpoint, "it has no data.pkl: it is not a torch file")),
        // torch takes the folder of the first record, whichever that is.
        [one, other, ..] => Err(fail!(
            Checkpoint,
            "it has two models in it ({one}/data.pkl and {other}/data.pkl): save one of them alone",
            one = quote(one),
            other = quote(other)
        )),
    }
}

/// Where the bytes of a record begin, and how many there are.
fn stored(blob: &dyn Blob, name: &str, record: ZipEntry) -> Result<(u64, u64)> {
    if record.method != 0 {
        return Err(fail!(
            Unsupported,
            "the record {name} is compressed, which torch does not do and is not supported",
            name = quote(name)
        ));
    }
    // The local header has lengths of its own for the name and the padding.
    let header = bytes(blob, record.header, 30)?;
    if !header.starts_with(b"PK\x03\x04") {
        return Err(damaged());
    }
    let skip = 30 + u64::from(half(&header, 26)) + u64::from(half(&header, 28));
    let start = record.header.checked_add(skip).ok_or_else(damaged)?;
    if start.checked_add(record.size).is_none_or(|end| end > blob.size()) {
        return Err(fail!(
            Checkpoint,
            "the record {name} ends after the file: download it again",
            name = quote(name)
        ));
    }
    Ok((start, record.size))
}

/// The files of the zip by name.
fn directory(blob: &dyn Blob) -> Result<HashMap<String, ZipEntry>> {
    let tail_size = blob.size().min(END_BYTES + MAX_COMMENT);
    let tail_start = blob.size() - tail_size;
    let tail = bytes(blob, tail_start, tail_size)?;
    let at = (0..=tail.len().saturating_sub(END_BYTES as usize))
        .rev()
        .find(|&i| tail[i..].starts_with(b"PK\x05\x06") && tail.len() - i >= END_BYTES as usize);
    let Some(at) = at else {
        return Err(fail!(
            Checkpoint,
            "the zip file has no directory: it is truncated, download it again"
        ));
    };
    let end = &tail[at..];
    let (mut size, mut start) = (u64::from(word(end, 12)), u64::from(word(end, 16)));
    // Beyond 4 GiB the numbers are in a second end, whose place is 20 bytes before.
    let locator = at.checked_sub(20).map(|i| &tail[i..at]).filter(|l| l.starts_with(b"PK\x06\x07"));
    if let Some(locator) = locator {
        let wide = bytes(blob, long(locator, 8), 56)?;
        if !wide.starts_with(b"PK\x06\x06") {
            return Err(damaged());
        }
        (size, start) = (long(&wide, 40), long(&wide, 48));
    }
    if size > MAX_INDEX_BYTES {
        return Err(fail!(
            Checkpoint,
            "the zip directory has {size} bytes, at most {MAX_INDEX_BYTES} are read"
        ));
    }
    let raw = bytes(blob, start, size)?;
    let mut records = HashMap::new();
    let mut rest = &raw[..];
    while rest.starts_with(b"PK\x01\x02") && rest.len() >= 46 {
        let lengths = [28, 30, 32].map(|i| usize::from(half(rest, i)));
        let [name, extra, comment] = lengths;
        let all = 46 + name + extra + comment;
        let Some(entry) = rest.get(..all) else { return Err(damaged()) };
        let mut record = ZipEntry {
            method: half(entry, 10),
            header: u64::from(word(entry, 42)),
            size: u64::from(word(entry, 24)),
        };
        let packed = word(entry, 20);
        widen(&mut record, packed, &entry[46 + name..46 + name + extra])?;
        let name = String::from_utf8_lossy(&entry[46..46 + name]).into_owned();
        if records.contains_key(&name) {
            return Err(fail!(
                Checkpoint,
                "two records are called {name}: download it again",
                name = quote(name)
            ));
        }
        records.insert(name, record);
        rest = &rest[all..];
    }
    Ok(records)
}

/// The 64-bit numbers of a directory entry, for those that do not fit 32 bits.
fn widen(record: &mut ZipEntry, packed: u32, mut extra: &[u8]) -> Result<()> {
    const FULL: u64 = u32::MAX as u64;
    if record.size != FULL && record.header != FULL {
        return Ok(());
    }
    while extra.len() >= 4 {
        let (id, length) = (half(extra, 0), usize::from(half(extra, 2)));
        let Some(field) = extra.get(4..4 + length) else { return Err(damaged()) };
        if id == 1 {
            let mut numbers = field.chunks_exact(8).map(|bytes| long(bytes, 0));
            let mut next = || numbers.next().ok_or_else(damaged);
            if record.size == FULL {
                record.size = next()?;
            }
            if packed == u32::MAX {
                next()?;
            }
            if record.header == FULL {
                record.header = next()?;
            }
            return Ok(());
        }
        extra = &extra[4 + length..];
    }
    Err(damaged())
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from(half(bytes, at)) | u32::from(half(bytes, at + 2)) << 16
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from(word(bytes, at)) | u64::from(word(bytes, at + 4)) << 32
}

fn damaged() -> crate::Error {
    fail!(Checkpoint, "the zip file is damaged: download it again")
}
