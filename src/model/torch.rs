//! The header of a `pytorch_model.bin`: a zip file of one pickle that names tensors, and a record
//! of raw elements for each storage.
//!
//! Only the zip's directory and the pickle are read here, and the pickle is [not
//! executed](super::pickle). Records lie in the file as they are, so a tensor is then read from its
//! place as one of a safetensors file is. Formats: PKWARE APPNOTE 6.3.10 sections 4.3.6 to 4.5.3;
//! `torch/serialization.py` of 2.x, `_save`.

use std::collections::HashMap;

use crate::error::{Result, fail};
use crate::model::pickle::{Tensor, read_state};
use crate::model::safetensors::Entry;
use crate::model::source::Blob;

/// The largest pickle and the largest directory that are read: a tensor takes about 200 bytes.
const MAX_INDEX_BYTES: u64 = 4 << 20;
/// The end of a zip file's directory, and the longest comment after it.
const END_BYTES: u64 = 22;
const MAX_COMMENT: u64 = u16::MAX as u64;

/// A file in the zip.
#[derive(Debug, Clone, Copy)]
struct Record {
    method: u16,
    /// Where its local header begins.
    header: u64,
    size: u64,
}

/// Reads the names, shapes and places of all tensors in `blob`.
///
/// # Errors
///
/// `Unsupported` for the format before torch 1.6, compressed records, big-endian data, tensors that
/// are not contiguous, and whatever else than tensors and containers the pickle holds;
/// `Checkpoint` for a damaged file.
pub(crate) fn read_header(blob: &dyn Blob) -> Result<Vec<Entry>> {
    let place = blob.place();
    read(blob).map_err(|e| match e.kind() {
        crate::ErrorKind::Io => e,
        _ => e.at(place),
    })
}

fn read(blob: &dyn Blob) -> Result<Vec<Entry>> {
    let start = bytes(blob, 0, 4.min(blob.size()))?;
    if start != b"PK\x03\x04" {
        return Err(match start.first() {
            // A bare pickle, or the tar file of torch 0.1.
            Some(0x80 | b'0'..=b'z') => fail!(
                Unsupported,
                "it is in the format from before torch 1.6, which is not read: convert it with \
                 `torch.save(torch.load(FILE, weights_only=True), FILE)`, or to safetensors"
            ),
            _ => fail!(Checkpoint, "not a file of torch, or damaged: fetch it again"),
        });
    }
    let records = directory(blob)?;
    let root = records.keys().find_map(|name| {
        let root = name.strip_suffix("/data.pkl")?;
        (!root.contains('/')).then(|| root.to_owned())
    });
    let Some(root) = root else {
        return Err(fail!(Checkpoint, "it has no data.pkl: it is not a file of torch"));
    };
    if let Some(order) = records.get(&format!("{root}/byteorder")) {
        let (start, size) = stored(blob, "byteorder", *order)?;
        if bytes(blob, start, size.min(16))? != b"little" {
            return Err(fail!(Unsupported, "its data is not little-endian, which is not read"));
        }
    }
    let (start, size) = stored(blob, "data.pkl", records[&format!("{root}/data.pkl")])?;
    if size > MAX_INDEX_BYTES {
        return Err(fail!(
            Checkpoint,
            "data.pkl has {size} bytes, at most {MAX_INDEX_BYTES} are read"
        ));
    }
    let state = read_state(&bytes(blob, start, size)?)?;
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
                        "tensor {name} is in the record data/{key}, which is missing"
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

/// The tensor held against its record of `size` bytes at `start`.
fn entry(name: String, tensor: &Tensor, start: u64, size: u64) -> Result<Entry> {
    let Tensor { storage, offset, shape, stride } = tensor;
    let outside = || {
        fail!(
            Checkpoint,
            "tensor {name} {shape:?} does not fit its record of {size} bytes: the file is damaged"
        )
    };
    if shape.len() != stride.len() {
        return Err(outside());
    }
    let count =
        shape.iter().try_fold(1_u64, |n, &width| n.checked_mul(width)).ok_or_else(outside)?;
    let mut run = 1_u64;
    for (&width, &step) in shape.iter().zip(stride).rev() {
        // Of an axis of one nothing is ever skipped.
        if count > 0 && width > 1 && step != run {
            return Err(fail!(
                Unsupported,
                "tensor {name} {shape:?} has strides {stride:?}: it is not contiguous, which is \
                 not read; save it again after `.contiguous()`"
            ));
        }
        run = run.saturating_mul(width);
    }
    let end = offset.checked_add(count).filter(|&end| end <= storage.count);
    let bytes = end.and_then(|_| storage.count.checked_mul(storage.width));
    if bytes.is_none_or(|bytes| bytes > size) {
        return Err(outside());
    }
    let shape = shape.iter().map(|&n| usize::try_from(n)).collect::<Result<Vec<_>, _>>();
    let shape = shape.map_err(|_| outside())?;
    Ok(Entry { dtype: storage.dtype.clone(), shape, start: start + offset * storage.width, name })
}

/// Where the bytes of a record begin, and how many there are.
fn stored(blob: &dyn Blob, name: &str, record: Record) -> Result<(u64, u64)> {
    if record.method != 0 {
        return Err(fail!(
            Unsupported,
            "the record {name} is compressed, which torch does not do and is not read"
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
        return Err(fail!(Checkpoint, "the record {name} ends after the file: fetch it again"));
    }
    Ok((start, record.size))
}

/// The files of the zip by name.
fn directory(blob: &dyn Blob) -> Result<HashMap<String, Record>> {
    let tail_size = blob.size().min(END_BYTES + MAX_COMMENT);
    let tail_start = blob.size() - tail_size;
    let tail = bytes(blob, tail_start, tail_size)?;
    let at = (0..=tail.len().saturating_sub(END_BYTES as usize))
        .rev()
        .find(|&i| tail[i..].starts_with(b"PK\x05\x06") && tail.len() - i >= END_BYTES as usize);
    let Some(at) = at else {
        return Err(fail!(
            Checkpoint,
            "the zip file has no directory: it is cut short, fetch it again"
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
        let mut record = Record {
            method: half(entry, 10),
            header: u64::from(word(entry, 42)),
            size: u64::from(word(entry, 24)),
        };
        let packed = word(entry, 20);
        widen(&mut record, packed, &entry[46 + name..46 + name + extra])?;
        let name = String::from_utf8_lossy(&entry[46..46 + name]).into_owned();
        if records.insert(name, record).is_some() {
            return Err(damaged());
        }
        rest = &rest[all..];
    }
    Ok(records)
}

/// The 64-bit numbers of a directory entry, for those that do not fit 32 bits.
fn widen(record: &mut Record, packed: u32, mut extra: &[u8]) -> Result<()> {
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

/// `length` bytes from `start`, both held against the file's size before anything is allocated.
fn bytes(blob: &dyn Blob, start: u64, length: u64) -> Result<Vec<u8>> {
    let fits = start.checked_add(length).is_some_and(|end| end <= blob.size());
    let (true, Ok(length)) = (fits, usize::try_from(length)) else { return Err(damaged()) };
    let mut bytes = vec![0; length];
    blob.read_at(start, &mut bytes)?;
    Ok(bytes)
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
    fail!(Checkpoint, "the zip file is damaged: fetch it again")
}
