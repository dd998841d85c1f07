//! How a row of a hidden state is shared, and what a normalisation reads.

use std::fmt;

/// How the invocations of a row add up their parts, in normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RowSum {
    /// 64 of them, through workgroup memory: any adapter.
    Shared,
    /// 8 of them, through workgroup memory: [`Class::CpuAdapter`](super::Class::CpuAdapter).
    Few,
    /// 64 of them, across subgroups first.
    Subgroup,
    /// 8 of them, which are a subgroup: [`Class::Software`](super::Class::Software).
    Single,
}

impl RowSum {
    /// Every way.
    pub const ALL: [Self; 4] = [Self::Shared, Self::Few, Self::Subgroup, Self::Single];

    /// Invocations that share a row.
    pub fn lanes(self) -> usize {
        match self {
            Self::Shared | Self::Subgroup => 64,
            Self::Few | Self::Single => 8,
        }
    }
}

/// What a normalisation reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NormInput {
    /// Rows as they are.
    Whole,
    /// Rows and a residual.
    Residual,
    /// Parts of a sum (of a product along k, of experts), its bias and a residual.
    Parts,
}

impl NormInput {
    /// Every form.
    pub const ALL: [Self; 3] = [Self::Whole, Self::Residual, Self::Parts];
}

/// The cut of a row between invocations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RowCut {
    /// How they add up.
    pub sum: RowSum,
    /// Vectors of four numbers that each holds.
    pub held: u32,
}

impl RowCut {
    /// The cut of rows `stride` numbers apart.
    pub fn new(sum: RowSum, stride: usize) -> Self {
        Self { sum, held: stride.div_ceil(4 * sum.lanes()).max(1) as u32 }
    }
}

impl fmt::Display for RowCut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = match self.sum {
            RowSum::Shared => "shared",
            RowSum::Few => "few",
            RowSum::Subgroup => "subgroup",
            RowSum::Single => "single",
        };
        write!(f, "{sum}.x{}", self.held)
    }
}
