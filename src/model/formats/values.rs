//! Stored elements made float32: in pieces, so that no second copy of a tensor is held.
//!
//! A tensor whose elements do not follow each other (a transposed, cut or expanded view) is read
//! block by block of its storage and put in order here.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::tensor::TensorDtype;
use crate::error::Result;
use crate::model::sources::Blob;

/// Bytes that are decoded at a time.
const CHUNK: usize = 1 << 20;
/// A block of a view is read in one go where at least one of so many elements is wanted.
const SPARSEST: u64 = 64;

impl TensorDtype {
    /// Bytes of one element; `None` for a type that no weight is read from.
    pub(crate) fn width(&self) -> Option<usize> {
        match self {
            Self::F64 => Some(8),
            Self::F32 => Some(4),
            Self::F16 | Self::Bf16 => Some(2),
            Self::Other(_) => None,
        }
    }
}

/// Fills `out` with the elements from byte `offset`, the nearest float32 of each (ties to even): an
/// infinity where a float64 is larger than float32 holds.
pub(crate) fn read(
    blob: &dyn Blob,
    dtype: &TensorDtype,
    offset: u64,
    out: &mut [f32],
) -> Result<()> {
    match dtype {
        TensorDtype::F16 => read_as(blob, offset, out, |h: &[f16], f| h.convert_to_f32_slice(f)),
        TensorDtype::Bf16 => read_as(blob, offset, out, |h: &[bf16], f| h.convert_to_f32_slice(f)),
        TensorDtype::F64 => read_as(blob, offset, out, |wide: &[f64], f| {
            f.iter_mut().zip(wide).for_each(|(f, wide)| *f = *wide as f32);
        }),
        _ => read_floats(blob, offset, out),
    }
}

/// Reads float32 values straight into place.
fn read_floats(blob: &dyn Blob, offset: u64, out: &mut [f32]) -> Result<()> {
    blob.read_at(offset, bytemuck::cast_slice_mut(out))?;
    if cfg!(target_endian = "big") {
        out.iter_mut().for_each(|x| *x = f32::from_bits(x.to_bits().swap_bytes()));
    }
    Ok(())
}

/// Reads elements of another type chunk by chunk and converts each chunk into place.
fn read_as<T: bytemuck::Pod>(
    blob: &dyn Blob,
    mut offset: u64,
    out: &mut [f32],
    convert: impl Fn(&[T], &mut [f32]),
) -> Result<()> {
    let chunk = CHUNK / size_of::<T>();
    let mut stored = vec![T::zeroed(); chunk.min(out.len())];
    for piece in out.chunks_mut(chunk) {
        let stored = &mut stored[..piece.len()];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(stored);
        blob.read_at(offset, bytes)?;
        if cfg!(target_endian = "big") {
            bytes.chunks_exact_mut(size_of::<T>()).for_each(<[u8]>::reverse);
        }
        offset += bytes.len() as u64;
        convert(stored, piece);
    }
    Ok(())
}

/// An axis of a view.
#[derive(Debug, Clone, Copy)]
struct Axis {
    size: usize,
    /// Stored elements from one to the next.
    step: u64,
    /// The same in the result.
    place: usize,
}

/// Fills `out` with a view of `shape` whose first element lies at byte `offset` and whose axes take
/// `strides` elements each.
pub(crate) fn read_view(
    blob: &dyn Blob,
    dtype: &TensorDtype,
    offset: u64,
    (shape, strides): (&[usize], &[u64]),
    out: &mut [f32],
) -> Result<()> {
    let mut axes = Vec::with_capacity(shape.len());
    let mut place = 1;
    for (&size, &step) in shape.iter().zip(strides).rev() {
        axes.push(Axis { size, step, place });
        place *= size;
    }
    // In the order of the storage, so that what lies together is read together.
    axes.sort_by_key(|axis| axis.step);
    // An axis longer than a block is cut in two: runs of it, and the run after the last whole one.
    let width = dtype.width().unwrap_or(1);
    let longest = (CHUNK / width) as u64;
    let (mut inner, mut span, mut count) = (0, 1_u64, 1_u64);
    for axis in &axes {
        let wider = span + (axis.size as u64).saturating_sub(1).saturating_mul(axis.step);
        let more = count.saturating_mul(axis.size as u64);
        if wider > longest || wider > more.saturating_mul(SPARSEST) {
            break;
        }
        (inner, span, count) = (inner + 1, wider, more);
    }
    let mut view = View { blob, dtype, width: width as u64, block: Vec::new(), out };
    let (inner, outer) = axes.split_at(inner);
    match outer.split_first() {
        // The axis that did not fit whole, a few of its steps at a time.
        Some((axis, outer)) if axis.step > 0 && axis.step <= SPARSEST * count => {
            let run = ((longest - span.min(longest)) / axis.step + 1) as usize;
            for start in (0..axis.size).step_by(run.max(1)) {
                let size = run.max(1).min(axis.size - start);
                let mut inner = inner.to_vec();
                inner.push(Axis { size, ..*axis });
                let span = span + (size as u64 - 1) * axis.step;
                let at = offset + start as u64 * axis.step * width as u64;
                view.walk(outer, &inner, span, at, start * axis.place)?;
            }
            Ok(())
        }
        _ => view.walk(outer, inner, span, offset, 0),
    }
}

/// A view under way.
struct View<'a> {
    blob: &'a dyn Blob,
    dtype: &'a TensorDtype,
    width: u64,
    block: Vec<f32>,
    out: &'a mut [f32],
}

impl View<'_> {
    /// Reads a block of `span` stored elements for each step of the `outer` axes, from byte `at`,
    /// and puts it in order along the `inner` ones, from `place`.
    fn walk(
        &mut self,
        outer: &[Axis],
        inner: &[Axis],
        span: u64,
        at: u64,
        place: usize,
    ) -> Result<()> {
        if let Some((axis, outer)) = outer.split_last() {
            for i in 0..axis.size {
                let at = at + i as u64 * axis.step * self.width;
                self.walk(outer, inner, span, at, place + i * axis.place)?;
            }
            return Ok(());
        }
        self.block.resize(span as usize, 0.0);
        read(self.blob, self.dtype, at, &mut self.block)?;
        self.scatter(inner, 0, place);
        Ok(())
    }

    fn scatter(&mut self, inner: &[Axis], from: usize, place: usize) {
        let Some((axis, inner)) = inner.split_last() else {
            self.out[place] = self.block[from];
            return;
        };
        for i in 0..axis.size {
            let (from, place) = (from + i * axis.step as usize, place + i * axis.place);
            match inner {
                [] => self.out[place] = self.block[from],
                _ => self.scatter(inner, from, place),
            }
        }
    }
}
