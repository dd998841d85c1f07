//! Where an executor has the numbers of a model's weights from.

use std::ops::Range;

use super::layout::{Layout, WeightId};
use crate::error::Result;

/// Where the numbers of a weight come from.
pub trait Weights: Send + Sync {
    /// Rows of weight `id`, padded as [`Layout`] says: (rows, cols) row-major.
    fn rows(&self, layout: &Layout, id: WeightId, rows: Range<usize>) -> Result<Vec<f32>>;
}
