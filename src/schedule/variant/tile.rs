//! The cuts of a product.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Class;

/// How a product is cut up. Every cut but those on cooperative matrices adds each number of C in one
/// chain over k from 0, so they give the same bits and the one that fits the shape may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tile {
    /// 16 x 32 in workgroup memory: a handful of rows.
    R,
    /// 32 x 32 in workgroup memory: too few tiles of the next to fill the adapter.
    S,
    /// 64 x 64 in workgroup memory.
    M,
    /// 128 x 128 in workgroup memory: large products on large GPUs.
    L,
    /// 32 x 64, each invocation by itself: [`Class::Emulated`].
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
        Self::R,
        Self::S,
        Self::M,
        Self::L,
        Self::Direct,
        Self::Broadcast,
        Self::Coop8,
        Self::Coop16,
    ];

    /// The cuts that any adapter runs.
    pub const PORTABLE: [Self; 5] = [Self::R, Self::S, Self::M, Self::L, Self::Direct];

    /// Those of them that may be the fastest on an adapter of `class`.
    pub fn candidates(class: Class) -> &'static [Self] {
        match class {
            Class::Software | Class::Emulated => &Self::PORTABLE,
            Class::Small | Class::Large => &[Self::R, Self::S, Self::M, Self::L],
        }
    }

    /// Whether it is one on cooperative matrices.
    pub fn is_coop(self) -> bool {
        matches!(self, Self::Coop8 | Self::Coop16)
    }

    /// Rows and columns of C that one workgroup computes.
    pub fn size(self) -> (usize, usize) {
        match self {
            Self::R => (16, 32),
            Self::S => (32, 32),
            Self::Direct => (32, 64),
            Self::M | Self::Broadcast => (64, 64),
            Self::L => (128, 128),
            Self::Coop8 | Self::Coop16 => (128, 64),
        }
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::R => "r",
            Self::S => "s",
            Self::M => "m",
            Self::L => "l",
            Self::Direct => "direct",
            Self::Broadcast => "broadcast",
            Self::Coop8 => "coop8",
            Self::Coop16 => "coop16",
        })
    }
}
