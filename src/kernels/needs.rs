//! What a dispatch reads and writes of each of its arrays, by its parameters and its grid.
//!
//! Each kernel says so in its file, as its `.wgsl` indexes. Sums are in `u128`: no product of four
//! parameters overflows it.

use super::{Elem, RoutesLeft};

/// What a binding has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// So many numbers of 32 bits: an array, or a weight that is read whole.
    Numbers(u128),
    /// So many numbers of an array that keeps them in 16 bits, or in 32.
    Stored {
        /// How many.
        numbers: u128,
        /// Whether in 16 bits.
        narrow: bool,
    },
    /// A table with rows of `stride` numbers.
    Table {
        /// Numbers of a row.
        stride: u128,
        /// How they are stored.
        elem: Elem,
    },
    /// A matrix of n columns and depth k.
    Matrix {
        /// Columns of the result.
        n: u128,
        /// Depth.
        k: u128,
        /// How it is stored.
        elem: Elem,
    },
    /// So many words that were uploaded and not changed since: what is in them is an index.
    Words(u128),
    /// What `route` left for so many experts and tokens.
    Routes {
        /// How many experts.
        experts: u32,
        /// How many tokens.
        tokens: u32,
    },
}

/// Nothing, or what is wrong.
pub type Checked = Result<(), &'static str>;

/// The arrays of a dispatch, by the place of their bindings, as far as its indices hang on them.
pub trait Arrays {
    /// Numbers that lie there.
    fn room(&self, at: usize) -> u128;

    /// The words that were uploaded there.
    ///
    /// # Errors
    ///
    /// Where they were not, or something has changed them.
    fn words(&self, at: usize) -> Result<&[u32], &'static str>;

    /// The largest word of each of four columns of [`Arrays::words`].
    ///
    /// # Errors
    ///
    /// As [`Arrays::words`].
    fn largest(&mut self, at: usize) -> Result<[u32; 4], &'static str>;

    /// What `route` left there, if it did.
    fn routes(&self, at: usize) -> Option<RoutesLeft>;

    /// Texts of the batch.
    fn texts(&self) -> usize;
}

impl dyn Arrays + '_ {
    /// Rows of `row` numbers that lie there.
    pub(super) fn rows(&self, at: usize, row: u128) -> u128 {
        self.room(at) / row.max(1)
    }
}

/// The product of sizes.
pub(super) fn product(factors: &[u32]) -> u128 {
    factors.iter().map(|&factor| u128::from(factor)).product()
}

/// So many numbers of 32 bits.
pub(super) fn numbers(factors: &[u32]) -> Need {
    Need::Numbers(product(factors))
}
