//! How a row of a hidden state is shared, and what a normalisation reads.

use std::fmt;

use super::{AdapterFeatures, Class, Sizes};
use crate::math::norm::NormKind;

/// How the invocations of a row add up their parts, in normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RowSum {
    /// 64 of them, through workgroup memory: any adapter.
    Shared,
    /// 8 of them, through workgroup memory: [`Class::CpuAdapter`].
    Few,
    /// 64 of them, across subgroups first.
    Subgroup,
    /// 8 of them, which are a subgroup: [`Class::Software`].
    Single,
}

impl RowSum {
    /// Every way.
    pub const ALL: [Self; 4] = [Self::Shared, Self::Few, Self::Subgroup, Self::Single];

    /// Whether an adapter that `can` do so much adds up like this.
    pub(super) fn runs_on(self, can: &AdapterFeatures) -> bool {
        match self {
            Self::Shared => true,
            Self::Few => can.class.is_processor(),
            Self::Subgroup => can.subgroups,
            Self::Single => can.subgroups && can.class == Class::Software,
        }
    }

    /// Numbers in workgroup memory that it adds up two sums through.
    pub(super) fn memory(self) -> usize {
        match self {
            Self::Shared | Self::Few => 2 * self.lanes(),
            // There are eight subgroups at most.
            Self::Subgroup => 2 * 8,
            Self::Single => 0,
        }
    }

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

/// Vectors that an invocation of a row may hold: rows of 65,536 numbers, 64 lanes a row, hold 256.
const MAX_HELD: u32 = 2048;

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

    /// Every cut of rows as long as `sizes` say, with every kind of normalisation.
    pub(super) fn all(sizes: Sizes<'_>) -> impl Iterator<Item = (Self, NormKind)> {
        let cuts = |sum| sizes.strides.iter().map(move |&stride| Self::new(sum, stride));
        let mut cuts: Vec<Self> = RowSum::ALL.into_iter().flat_map(cuts).collect();
        cuts.dedup();
        cuts.into_iter().flat_map(|cut| NormKind::ALL.map(|kind| (cut, kind)))
    }

    /// The most numbers of a row that is cut like this.
    pub fn most(self) -> usize {
        4 * self.sum.lanes() * self.held as usize
    }

    /// Numbers in a row of `stride4` vectors, `width` of them counting, where the invocations that
    /// share it hold all of it.
    pub(super) fn row(self, stride4: u32, width: u32) -> Option<u128> {
        let (stride, lanes) = (4 * u128::from(stride4), self.sum.lanes() as u128);
        let held = self.held <= MAX_HELD && lanes * u128::from(self.held) >= u128::from(stride4);
        (held && width > 0 && u128::from(width) <= stride).then_some(stride)
    }
}

/// What a variant's name says of its normalisation.
pub(super) fn kind_suffix(kind: NormKind) -> &'static str {
    match kind {
        NormKind::Layer => "",
        NormKind::Rms => ".rms",
        NormKind::None => ".none",
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
