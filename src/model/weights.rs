//! Where an executor has the numbers of a model's weights from.

use std::ops::Range;

use super::layout::{Layout, WeightId};
use crate::error::{Result, fail};

/// Where the numbers of a weight come from.
pub trait Weights: Send + Sync {
    /// Rows of weight `id`, padded as [`Layout`] says: (rows, cols) row-major.
    fn rows(&self, layout: &Layout, id: WeightId, rows: Range<usize>) -> Result<Vec<f32>>;
}

/// [`Weights::rows`], all of them.
///
/// # Errors
///
/// Those of `source`; `Checkpoint` where it gives more or fewer numbers than the rows have.
pub(crate) fn whole_rows(
    source: &dyn Weights,
    layout: &Layout,
    id: WeightId,
    rows: Range<usize>,
) -> Result<Vec<f32>> {
    let weight = layout.weight(id);
    let (wanted, numbers) = (rows.len() * weight.cols, source.rows(layout, id, rows)?);
    match numbers.len() == wanted {
        true => Ok(numbers),
        false => Err(fail!(
            Checkpoint,
            "{}: {} numbers were read where {wanted} are wanted",
            weight.label,
            numbers.len()
        )),
    }
}
