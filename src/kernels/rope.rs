//! `rope`: queries and keys turned by the places of their tokens.

use super::Access::{Change, Read};
use super::block::block;
use super::grid::{flat_grid, is_flat};
use super::needs::{numbers, product};
use super::{Access, Arrays, Call, Checked, Kernel, Need, Sizes};

/// Turns queries and keys by their places, in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rope;

block! {
    /// The block of `shaders/rope.wgsl`.
    RopeParams {
        /// Pairs to turn: tokens × heads of queries and keys × half.
        pairs: u32,
        /// Pairs a row of workgroups covers.
        row: u32,
        /// Heads of queries and keys.
        heads: u32,
        /// Pairs in a head.
        half: u32,
        /// Numbers between two heads.
        head_dim: u32,
        /// Numbers in a row of queries, keys and values together.
        stride: u32,
    }
}

/// What is turned.
#[derive(Debug, Clone, Copy)]
pub struct RopeShape {
    /// Tokens.
    pub tokens: usize,
    /// Heads of queries and keys.
    pub heads: usize,
    /// Heads of values.
    pub values: usize,
    /// Numbers between two heads.
    pub head_dim: usize,
    /// Pairs in a head.
    pub half: usize,
}

impl Rope {
    /// Binds tokens, cosines and sines, the queries, keys and values.
    pub fn over(self, shape: RopeShape) -> Call {
        let RopeShape { tokens, heads, values, head_dim, half } = shape;
        let pairs = tokens * heads * half;
        let (grid, row) = flat_grid(pairs);
        let params = RopeParams {
            pairs: pairs as u32,
            row,
            heads: heads as u32,
            half: half as u32,
            head_dim: head_dim as u32,
            stride: (head_dim * (heads + values)) as u32,
        };
        Call::new(self, params, grid, 0)
    }
}

impl Kernel for Rope {
    const NAME: &'static str = "rope";
    type Params = RopeParams;

    fn bindings(&self) -> &'static [Access] {
        &[Read, Read, Change]
    }

    fn variants(_: Sizes<'_>) -> Vec<Self> {
        vec![Self]
    }

    fn needs(&self, p: &RopeParams, grid: [u32; 2]) -> Option<Vec<Need>> {
        let pairs = p.heads.checked_mul(p.half)?;
        let rows = p.pairs.checked_div(pairs)?;
        let inside = p.pairs.is_multiple_of(pairs)
            && product(&[2, p.half]) <= u128::from(p.head_dim)
            && product(&[p.heads, p.head_dim]) <= u128::from(p.stride);
        let qkv = numbers(&[rows, p.stride]);
        let needs = vec![Need::Words(product(&[4, rows])), numbers(&[2, p.half]), qkv];
        (inside && is_flat(grid, p.pairs, p.row)).then_some(needs)
    }

    fn indices(&self, p: &RopeParams, _: [u32; 2], arrays: &mut dyn Arrays) -> Checked {
        let [_, _, _, place] = arrays.largest(0)?;
        match u128::from(place) < arrays.rows(1, 2 * u128::from(p.half)) {
            true => Ok(()),
            false => Err("a token is at a place that was not computed"),
        }
    }
}
