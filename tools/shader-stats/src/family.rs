//! The AMD families that RADV's null device can be, and what is known of them.

use clap::ValueEnum;

/// What `RADV_FORCE_FAMILY` may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Family {
    /// GCN 5, e.g. RX Vega 64; any Mesa.
    Vega10,
    /// RDNA, e.g. RX 5700; any Mesa.
    Navi10,
    /// RDNA 2, e.g. RX 6800; any Mesa.
    Navi21,
    /// RDNA 3, e.g. RX 7900; Mesa 23 and later.
    Navi31,
}

impl Family {
    /// As `RADV_FORCE_FAMILY` spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vega10 => "vega10",
            Self::Navi10 => "navi10",
            Self::Navi21 => "navi21",
            Self::Navi31 => "navi31",
        }
    }

    /// Cycles that a SIMD takes at best for a multiply-add of a wave of 64: its width is 16 in
    /// GCN, 32 in RDNA, 32 twice in RDNA 3.
    pub fn cycles_per_fma(self) -> u64 {
        match self {
            Self::Vega10 => 4,
            Self::Navi10 | Self::Navi21 => 2,
            Self::Navi31 => 1,
        }
    }
}
