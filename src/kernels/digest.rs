//! `digest`: weights of attention, reduced.

use std::fmt;

use super::Access::{Change, Read, Write};
use super::block::block;
use super::grid::{flat_grid, is_flat};
use super::needs::{numbers, product};
use super::weigh::are_lines;
use super::{Access, Arrays, Call, Checked, Kernel, Need, Sizes, Wgsl};

/// What weights become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Digest {
    /// The mean over the queries of what a key gets.
    Received,
    /// The entropy of a query's weights, in nats.
    Entropy,
    /// What a query gives to the keys that are marked.
    Marked,
    /// The mean of |query − key| under a query's weights.
    Distance,
    /// The largest weights of a query and their keys.
    Top,
    /// The mean over the heads.
    Mean,
}

block! {
    /// The block of `shaders/digest.wgsl`.
    DigestParams {
        /// Invocations that have something to do.
        count: u32,
        /// Invocations in a row of workgroups.
        row: u32,
        /// Rows of the tile.
        rows: u32,
        /// The first of them in the batch.
        first_row: u32,
        /// Vectors in a row of weights.
        keys4: u32,
        /// Heads of the tile.
        heads: u32,
        /// Tokens of the batch.
        tokens: u32,
        /// How many weights of a query, of [`Digest::Top`].
        top: u32,
    }
}

/// A tile of weights, (heads, rows, keys).
#[derive(Debug, Clone, Copy)]
pub struct DigestShape {
    /// Heads.
    pub heads: usize,
    /// Rows, from the first to the one past the last.
    pub rows: (usize, usize),
    /// Numbers in a row of weights.
    pub keys: usize,
    /// Tokens of the batch.
    pub tokens: usize,
    /// How many weights of a query; 0 but for [`Digest::Top`].
    pub top: usize,
}

impl Digest {
    /// Every form.
    pub const ALL: [Self; 6] =
        [Self::Received, Self::Entropy, Self::Marked, Self::Distance, Self::Top, Self::Mean];

    /// Of one tile. Binds weights, the line of each row, the result, then marks.
    pub fn over(self, shape: DigestShape) -> Call {
        let rows = shape.rows.1 - shape.rows.0;
        let count = match self {
            Self::Received => shape.heads * shape.tokens,
            Self::Mean => rows * shape.keys,
            _ => shape.heads * rows,
        };
        let (grid, row) = flat_grid(count);
        let params = DigestParams {
            count: count as u32,
            row,
            rows: rows as u32,
            first_row: shape.rows.0 as u32,
            keys4: (shape.keys / 4) as u32,
            heads: shape.heads as u32,
            tokens: shape.tokens as u32,
            top: shape.top as u32,
        };
        Call::new(self, params, grid, 0)
    }
}

impl Kernel for Digest {
    const NAME: &'static str = "digest";
    type Params = DigestParams;

    fn choices(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ".{self}")
    }

    fn bindings(&self) -> &'static [Access] {
        match self {
            // What other tiles left of a text, or of other texts, stays.
            Self::Mean => &[Read, Read, Write],
            Self::Marked => &[Read, Read, Change, Read],
            _ => &[Read, Read, Change],
        }
    }

    fn variants(_: Sizes<'_>) -> Vec<Self> {
        Self::ALL.into()
    }

    fn wgsl(&self, _: usize) -> Wgsl {
        Wgsl::of(Self::NAME).choice(Self::NAME, self)
    }

    fn needs(&self, p: &DigestParams, grid: [u32; 2]) -> Option<Vec<Need>> {
        let (count, result) = match self {
            Self::Received => (product(&[p.heads, p.tokens]), product(&[p.heads, p.tokens])),
            Self::Mean => (product(&[4, p.rows, p.keys4]), product(&[4, p.rows, p.keys4])),
            Self::Top => (product(&[p.heads, p.rows]), product(&[2, p.heads, p.tokens, p.top])),
            _ => (product(&[p.heads, p.rows]), product(&[p.heads, p.tokens])),
        };
        let inside = count == u128::from(p.count)
            && p.rows > 0
            && p.keys4 > 0
            && u128::from(p.first_row) + u128::from(p.rows) <= u128::from(p.tokens)
            && (p.top > 0) == (*self == Self::Top)
            && is_flat(grid, p.count, p.row);
        let weights = numbers(&[4, p.heads, p.rows, p.keys4]);
        let mut needs = vec![weights, Need::Words(product(&[4, p.tokens])), Need::Numbers(result)];
        if *self == Self::Marked {
            needs.push(numbers(&[p.tokens]));
        }
        inside.then_some(needs)
    }

    fn indices(&self, p: &DigestParams, _: [u32; 2], arrays: &mut dyn Arrays) -> Checked {
        are_lines(arrays.words(1)?, u128::from(p.tokens), 4 * u128::from(p.keys4))
    }

    fn starts(&self, p: &DigestParams) -> bool {
        p.first_row == 0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Received => "received",
            Self::Entropy => "entropy",
            Self::Marked => "marked",
            Self::Distance => "distance",
            Self::Top => "top",
            Self::Mean => "mean",
        })
    }
}
