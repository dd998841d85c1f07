//! `combine`: the states of several layers become one, a state at a time.

use std::fmt;

use super::Access::{Change, Read};
use super::block::block;
use super::grid::{flat_grid, is_flat};
use super::needs::numbers;
use super::{Access, Call, Kernel, Need, Sizes, Wgsl};

/// How the states of several layers become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Merge {
    /// Sum of factor × state.
    Linear,
    /// Largest number of each position.
    Max,
}

impl Merge {
    /// Every way.
    pub const ALL: [Self; 2] = [Self::Linear, Self::Max];
}

impl fmt::Display for Merge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Linear => "linear",
            Self::Max => "max",
        })
    }
}

/// Merges a state into the running combination of layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Combine(pub Merge);

block! {
    /// The block of `shaders/combine.wgsl`.
    CombineParams {
        /// Vectors in the whole array.
        vectors: u32,
        /// Vectors a row of workgroups covers, since a dispatch is at most 65,535 wide.
        row: u32,
        /// What the state is multiplied with.
        factor: f32,
        /// 1 where the sum starts with this state.
        first: u32,
    }
}

impl Combine {
    /// Of arrays of `numbers`; `first` where this is the first state. Binds x, the combination.
    pub fn over(self, numbers: usize, factor: f32, first: bool) -> Call {
        let vectors = numbers / 4;
        let (grid, row) = flat_grid(vectors);
        let params = CombineParams { vectors: vectors as u32, row, factor, first: first.into() };
        Call::new(self, params, grid, 0)
    }
}

impl Kernel for Combine {
    const NAME: &'static str = "combine";
    type Params = CombineParams;

    fn choices(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ".{}", self.0)
    }

    fn bindings(&self) -> &'static [Access] {
        &[Read, Change]
    }

    fn variants(_: Sizes<'_>) -> Vec<Self> {
        Merge::ALL.map(Self).into()
    }

    fn wgsl(&self, _: usize) -> Wgsl {
        Wgsl::of(Self::NAME).choice("merge", self.0)
    }

    fn needs(&self, p: &CombineParams, grid: [u32; 2]) -> Option<Vec<Need>> {
        let all = numbers(&[4, p.vectors]);
        is_flat(grid, p.vectors, p.row).then(|| vec![all, all])
    }

    fn starts(&self, p: &CombineParams) -> bool {
        p.first == 1
    }
}
