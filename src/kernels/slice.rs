//! `slice`: some columns of every row, on their way out.

use std::fmt;

use super::Access::{Read, Write};
use super::block::block;
use super::elem::narrow_suffix;
use super::grid::{flat_grid, is_flat};
use super::needs::{numbers, product};
use super::{Access, Call, Kernel, Need, Sizes, Wgsl};

/// Columns of each row as f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slice {
    /// Whether the rows are kept in 16 bits.
    pub narrow: bool,
    /// Whether they were left in parts, which are added up before their bias.
    pub parts: bool,
}

block! {
    /// The block of `shaders/slice.wgsl`.
    SliceParams {
        /// Vectors in the result.
        vectors: u32,
        /// Vectors a row of workgroups covers.
        row: u32,
        /// Vectors in a row of the result.
        out4: u32,
        /// Vectors in a row of what is read.
        in4: u32,
        /// First vector of a row that is taken.
        first4: u32,
        /// Arrays that are added up; 1 without parts.
        parts: u32,
    }
}

/// Which columns of which rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceShape {
    /// Rows.
    pub rows: usize,
    /// Numbers of a row.
    pub line: usize,
    /// The first that is taken.
    pub first: usize,
    /// How many are.
    pub columns: usize,
    /// Arrays that are added up.
    pub parts: usize,
}

impl Slice {
    /// Over `shape`. Binds x, y, then the bias of what was left in parts.
    pub fn over(self, shape: SliceShape) -> Call {
        let out4 = shape.columns / 4;
        let vectors = shape.rows * out4;
        let (grid, row) = flat_grid(vectors);
        let params = SliceParams {
            vectors: vectors as u32,
            row,
            out4: out4 as u32,
            in4: (shape.line / 4) as u32,
            first4: (shape.first / 4) as u32,
            parts: shape.parts as u32,
        };
        Call::new(self, params, grid, 0)
    }
}

impl Kernel for Slice {
    const NAME: &'static str = "slice";
    type Params = SliceParams;

    fn choices(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.parts { ".parts" } else { ".whole" })?;
        f.write_str(narrow_suffix(self.narrow))
    }

    fn bindings(&self) -> &'static [Access] {
        if self.parts { &[Read, Write, Read] } else { &[Read, Write] }
    }

    fn variants(_: Sizes<'_>) -> Vec<Self> {
        // What is left in parts is f32.
        [(false, false), (true, false), (false, true)]
            .map(|(narrow, parts)| Self { narrow, parts })
            .into()
    }

    fn reads_narrow(&self) -> bool {
        self.narrow
    }

    fn writes_narrow(&self) -> bool {
        false
    }

    fn wgsl(&self, _: usize) -> Wgsl {
        let how = if self.parts { "parts" } else { "whole" };
        Wgsl::of(Self::NAME).choice("slice", how).activations(self.narrow, false)
    }

    fn needs(&self, p: &SliceParams, grid: [u32; 2]) -> Option<Vec<Need>> {
        let rows = p.vectors.checked_div(p.out4)?;
        let inside = p.vectors.is_multiple_of(p.out4)
            && u128::from(p.first4) + u128::from(p.out4) <= u128::from(p.in4)
            && p.parts > 0
            && (self.parts || p.parts == 1)
            && is_flat(grid, p.vectors, p.row);
        let read = product(&[4, p.parts, rows, p.in4]);
        let mut needs =
            vec![Need::Stored { numbers: read, narrow: self.narrow }, numbers(&[4, p.vectors])];
        if self.parts {
            needs.push(numbers(&[4, p.out4]));
        }
        inside.then_some(needs)
    }
}
