//! The cuts of a product.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{AdapterFeatures, Class, Vendor};

/// How a product is cut up. Every cut but those on cooperative matrices adds each number of C in one
/// chain over k from 0, so they give the same bits and the one that fits the shape may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tile {
    /// 16 x 32 in workgroup memory: a handful of rows.
    #[serde(rename = "16x32", alias = "r")]
    T16x32,
    /// 32 x 32 in workgroup memory: too few tiles of the next to fill the adapter.
    #[serde(rename = "32x32", alias = "s")]
    T32x32,
    /// 64 x 64 in workgroup memory.
    #[serde(rename = "64x64", alias = "m")]
    T64x64,
    /// 128 x 128 in workgroup memory: large products on large GPUs.
    #[serde(rename = "128x128", alias = "l")]
    T128x128,
    /// 32 x 64, each invocation by itself: [`Class::CpuAdapter`].
    Direct,
    /// Rows handed round subgroups of eight: [`Class::Software`].
    Broadcast,
    /// 128 x 64 on cooperative matrices of 8 x 8, A rounded to f16: only where asked for, and then for
    /// every product, since its bits are its own.
    Coop8,
    /// The same on cooperative matrices of 16 x 16.
    Coop16,
}

impl Tile {
    /// Every cut.
    pub const ALL: [Self; 8] = [
        Self::T16x32,
        Self::T32x32,
        Self::T64x64,
        Self::T128x128,
        Self::Direct,
        Self::Broadcast,
        Self::Coop8,
        Self::Coop16,
    ];

    /// The cuts that any adapter runs.
    pub const PORTABLE: [Self; 5] =
        [Self::T16x32, Self::T32x32, Self::T64x64, Self::T128x128, Self::Direct];

    /// Those of them that may be the fastest on an adapter that `can` do so much.
    pub fn candidates(can: &AdapterFeatures) -> &'static [Self] {
        match can.class {
            Class::Software | Class::CpuAdapter => &Self::PORTABLE,
            _ if Self::T128x128.is_for(can.vendor) => {
                &[Self::T16x32, Self::T32x32, Self::T64x64, Self::T128x128]
            }
            _ => &[Self::T16x32, Self::T32x32, Self::T64x64],
        }
    }

    /// Whether a GPU of `vendor` may be given it. An invocation of the largest would need more registers
    /// than Arm's have, and Intel's compiler makes a step of it up to 1.3 times as long as one of the next.
    pub fn is_for(self, vendor: Vendor) -> bool {
        use Vendor::{Adreno, Amd, Apple, Nvidia};

        self != Self::T128x128 || matches!(vendor, Amd | Nvidia | Apple | Adreno)
    }

    /// Whether it is one on cooperative matrices.
    pub fn is_coop(self) -> bool {
        matches!(self, Self::Coop8 | Self::Coop16)
    }

    /// Rows and columns of C that one workgroup computes.
    pub fn size(self) -> (usize, usize) {
        match self {
            Self::T16x32 => (16, 32),
            Self::T32x32 => (32, 32),
            Self::Direct => (32, 64),
            Self::T64x64 | Self::Broadcast => (64, 64),
            Self::T128x128 => (128, 128),
            Self::Coop8 | Self::Coop16 => (128, 64),
        }
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::T16x32 => "16x32",
            Self::T32x32 => "32x32",
            Self::T64x64 => "64x64",
            Self::T128x128 => "128x128",
            Self::Direct => "direct",
            Self::Broadcast => "broadcast",
            Self::Coop8 => "coop8",
            Self::Coop16 => "coop16",
        })
    }
}
