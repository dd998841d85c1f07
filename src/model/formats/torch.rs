//! The header of a `pytorch_model.bin`: the names, shapes and places of its tensors.
//!
//! Two formats, told by their first bytes: the zip file of torch 1.6 and later, and the row of
//! pickles of before. The pickles are [not executed](super::pickle). Tensor data is not read here.

mod legacy;
mod zip;

use super::pickle::Tensor;
use super::tensor::Entry;
use crate::error::{Result, fail};
use crate::model::sources::Blob;
use crate::quote::quote;

/// The largest pickle and the largest directory that are read: a tensor takes about 200 bytes.
const MAX_INDEX_BYTES: u64 = 4 << 20;
/// The largest tensor, in elements, that is read from fewer stored ones (an expanded axis): what a
/// view of a few bytes may take in memory.
const MAX_EXPANDED: u64 = 1 << 24;
/// Where a tar file says that it is one.
const TAR_MARK: std::ops::Range<usize> = 257..262;

/// Reads the names, shapes and places of all tensors in `blob`.
///
/// # Errors
///
/// `Unsupported` for the tar file of torch before 0.1.10, compressed records, big-endian data, and
/// whatever else than tensors and containers the pickle holds; `Checkpoint` for a damaged file.
pub(crate) fn read_header(blob: &dyn Blob) -> Result<Vec<Entry>> {
    let place = blob.place();
    read(blob).map_err(|e| match e.kind() {
        crate::ErrorKind::Io => e,
        _ => e.at(place),
    })
}

fn read(blob: &dyn Blob) -> Result<Vec<Entry>> {
    let start = bytes(blob, 0, blob.size().min(TAR_MARK.end as u64))?;
    if start.starts_with(b"PK\x03\x04") {
        return zip::read(blob);
    }
    if start.first() == Some(&0x80) {
        return legacy::read(blob);
    }
    if start.get(TAR_MARK).is_some_and(|mark| mark == b"ustar") {
        return Err(fail!(
            Unsupported,
            "it is the tar file of torch before 0.1.10, which is not supported: in Python, \
             `torch.save(torch.load(FILE, weights_only=False), FILE)` converts it (this runs code \
             from the file: only do so if you trust it)"
        ));
    }
    if start.get(8) == Some(&b'{') {
        return Err(fail!(
            Checkpoint,
            "it is a safetensors file, not a torch file: rename it to model.safetensors"
        ));
    }
    Err(fail!(Checkpoint, "not a torch file, or damaged: download it again"))
}

/// The tensor held against the `size` bytes at `start` that its storage has in the file.
fn entry(name: String, tensor: &Tensor, start: u64, size: u64) -> Result<Entry> {
    let Tensor { storage, offset, shape, stride } = tensor;
    let outside = || {
        fail!(
            Checkpoint,
            "tensor {name} {shape:?} with strides {stride:?} does not fit its record of {size} \
             bytes: the file is damaged",
            name = quote(&name)
        )
    };
    if shape.len() != stride.len() {
        return Err(outside());
    }
    let count =
        shape.iter().try_fold(1_u64, |n, &width| n.checked_mul(width)).ok_or_else(outside)?;
    // Of an axis of one nothing is ever skipped.
    let axes = || shape.iter().zip(stride).filter(|axis| *axis.0 > 1);
    let mut run = 1_u64;
    let mut contiguous = true;
    for (&width, &step) in axes().rev() {
        contiguous &= step == run;
        run = run.saturating_mul(width);
    }
    let last = axes().try_fold(0_u64, |n, (&width, &step)| {
        n.checked_add((width.checked_sub(1)?).checked_mul(step)?)
    });
    let length = match count {
        0 => Some(0),
        _ => last.and_then(|last| last.checked_add(1)),
    };
    let end = length.and_then(|n| offset.checked_add(n)).filter(|&end| end <= storage.count);
    let first = storage.first.checked_add(*offset);
    let bytes = end
        .and_then(|_| storage.first.checked_add(storage.count))
        .and_then(|n| n.checked_mul(storage.width));
    let (Some(first), true) = (first, bytes.is_some_and(|bytes| bytes <= size)) else {
        return Err(outside());
    };
    if count > storage.count && count > MAX_EXPANDED {
        return Err(fail!(
            Unsupported,
            "tensor {name} {shape:?} repeats {} stored elements, which is read up to \
             {MAX_EXPANDED} in all: save it again after `.contiguous()`",
            storage.count,
            name = quote(&name)
        ));
    }
    let shape = shape.iter().map(|&n| usize::try_from(n)).collect::<Result<Vec<_>, _>>();
    let shape = shape.map_err(|_| outside())?;
    let strides = (!contiguous && count > 0).then(|| stride.clone());
    let start = start + first * storage.width;
    Ok(Entry { dtype: storage.dtype.clone(), shape, start, strides, name })
}

/// `length` bytes from `start`, both held against the file's size before anything is allocated.
fn bytes(blob: &dyn Blob, start: u64, length: u64) -> Result<Vec<u8>> {
    let fits = start.checked_add(length).is_some_and(|end| end <= blob.size());
    let (true, Ok(length)) = (fits, usize::try_from(length)) else {
        return Err(fail!(Checkpoint, "the file is truncated or damaged: download it again"));
    };
    let mut bytes = vec![0; length];
    blob.read_at(start, &mut bytes)?;
    Ok(bytes)
}
