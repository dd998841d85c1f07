//! `im2col`: the neighbours of each token side by side, what a convolution multiplies.

use super::Access::{Read, Write};
use super::block::block;
use super::grid::{flat_grid, is_flat};
use super::needs::{numbers, product};
use super::{Access, Call, Kernel, Need, Sizes};

/// The neighbours of each token side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Im2col;

block! {
    /// The block of `shaders/im2col.wgsl`.
    Im2colParams {
        /// Vectors in the result.
        vectors: u32,
        /// Vectors a row of workgroups covers.
        row: u32,
        /// Vectors in a row of a state.
        stride4: u32,
        /// Neighbours of a token, itself among them.
        taps: u32,
    }
}

impl Im2col {
    /// Of `tokens` rows of `stride` numbers. Binds tokens, x, the neighbours.
    pub fn over(self, tokens: usize, taps: usize, stride: usize) -> Call {
        let vectors = tokens * taps * stride / 4;
        let (grid, row) = flat_grid(vectors);
        let (stride4, taps) = ((stride / 4) as u32, taps as u32);
        let params = Im2colParams { vectors: vectors as u32, row, stride4, taps };
        Call::new(self, params, grid, 0)
    }
}

impl Kernel for Im2col {
    const NAME: &'static str = "im2col";
    type Params = Im2colParams;

    fn bindings(&self) -> &'static [Access] {
        &[Read, Read, Write]
    }

    fn variants(_: Sizes<'_>) -> Vec<Self> {
        vec![Self]
    }

    fn needs(&self, p: &Im2colParams, grid: [u32; 2]) -> Option<Vec<Need>> {
        let row = p.stride4.checked_mul(p.taps)?;
        let rows = p.vectors.checked_div(row)?;
        let whole = p.vectors.is_multiple_of(row) && is_flat(grid, p.vectors, p.row);
        let x = numbers(&[4, rows, p.stride4]);
        whole.then(|| vec![Need::Words(product(&[4, rows])), x, numbers(&[4, p.vectors])])
    }
}
