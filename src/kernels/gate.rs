//! `gate`: a feed-forward layer's gate over what it lets through.

use std::fmt;

use super::Access::{Read, Write};
use super::block::block;
use super::elem::narrow_suffix;
use super::grid::{flat_grid, is_flat};
use super::needs::product;
use super::{Access, Call, Kernel, Need, Sizes, Wgsl};
use crate::math::activation::Activation;

/// y = act(gate) × up, element by element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Gate {
    /// Applied to the gate.
    pub activation: Activation,
    /// Whether both arrays are kept in 16 bits.
    pub narrow: bool,
}

block! {
    /// The block of `shaders/gate.wgsl`.
    GateParams {
        /// Vectors in the result.
        vectors: u32,
        /// Vectors a row of workgroups covers.
        row: u32,
        /// Vectors in a row of the result.
        inner4: u32,
    }
}

impl Gate {
    /// Of `rows` rows of `inner` numbers. Binds up and gate side by side, y.
    pub fn over(self, rows: usize, inner: usize) -> Call {
        let vectors = rows * inner / 4;
        let (grid, row) = flat_grid(vectors);
        let params = GateParams { vectors: vectors as u32, row, inner4: (inner / 4) as u32 };
        Call::new(self, params, grid, 0)
    }
}

impl Kernel for Gate {
    const NAME: &'static str = "gate";
    type Params = GateParams;

    fn choices(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ".{}{}", self.activation, narrow_suffix(self.narrow))
    }

    fn bindings(&self) -> &'static [Access] {
        &[Read, Write]
    }

    fn variants(_: Sizes<'_>) -> Vec<Self> {
        let of = |narrow| Activation::ALL.map(|activation| Self { activation, narrow });
        [false, true].into_iter().flat_map(of).collect()
    }

    fn reads_narrow(&self) -> bool {
        self.narrow
    }

    fn wgsl(&self, _: usize) -> Wgsl {
        let text = Wgsl::of(Self::NAME).choice("act", self.activation);
        text.activations(self.narrow, self.narrow)
    }

    fn needs(&self, p: &GateParams, grid: [u32; 2]) -> Option<Vec<Need>> {
        let rows = p.vectors.checked_rem(p.inner4)? == 0;
        let stored = |arrays: u32| {
            let numbers = product(&[4, arrays, p.vectors]);
            Need::Stored { numbers, narrow: self.narrow }
        };
        (rows && is_flat(grid, p.vectors, p.row)).then(|| vec![stored(2), stored(1)])
    }
}
