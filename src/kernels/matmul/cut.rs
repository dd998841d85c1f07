//! How the products of `shaders/matmul*.wgsl` are cut up: the constants of each tile.

use std::fmt;

use crate::kernels::template::Constants;
use crate::kernels::{Tile, Vendor};

/// What an invocation of `matmul.wgsl` does at a time. Each number of C is one chain over k whatever it
/// is, so no bit follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MatmulBlock {
    /// Its rows of C and its columns, both in vectors of four.
    pub side4: u32,
    /// Steps over k in one body of the loop.
    pub steps: u32,
}

impl MatmulBlock {
    /// The one of `tile` that fits the registers of a GPU of `vendor`.
    ///
    /// Of 8 x 8 numbers and four steps of k, 128 registers are live. Intel's compiler for SIMD8 has as
    /// many, brings the loads of a body together, and spills with four steps; for Arc with two as well
    /// (`tools/shader-stats`). Arm's have 64 at full speed. Others have more, or were seen to keep to fewer.
    pub fn of(tile: Tile, vendor: Vendor) -> Self {
        let (side4, steps) = match (tile, vendor) {
            (Tile::T64x64, Vendor::Mali) => (1, 1),
            (Tile::T64x64 | Tile::T128x128, _) => (
                2,
                match vendor {
                    Vendor::Amd | Vendor::Nvidia | Vendor::Adreno => 4,
                    Vendor::Intel => 2,
                    Vendor::Apple | Vendor::Mali | Vendor::Portable => 1,
                },
            ),
            _ => (1, 4),
        };
        Self { side4, steps }
    }

    /// Every one of `tile`.
    pub(super) fn all(tile: Tile) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        let vendors = Vendor::ALL.into_iter().filter(|vendor| tile.is_for(*vendor));
        for block in vendors.map(|vendor| Self::of(tile, vendor)) {
            if !all.contains(&block) {
                all.push(block);
            }
        }
        all
    }

    /// Invocations side by side and one below the other in `tile`.
    fn grid(self, tile: Tile) -> (usize, usize) {
        let side = 4 * self.side4 as usize;
        (tile.size().1 / side, tile.size().0 / side)
    }

    /// Multiply-adds of one body of the loop with `steps` over k.
    pub(super) fn fmas(self, steps: usize) -> usize {
        16 * (self.side4 * self.side4) as usize * steps
    }
}

impl fmt::Display for MatmulBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b{}k{}", 4 * self.side4, self.steps)
    }
}

/// Rows and column vectors of one subgroup in `matmul_broadcast.wgsl`.
const BROADCAST: (usize, usize) = (16, 2);

/// Rows and column vectors of one invocation in `matmul_direct.wgsl`.
const DIRECT: (usize, usize) = (16, 4);

/// Rows of one subgroup in `matmul_coop.wgsl`; its columns are a panel.
const COOP_TALL: usize = 32;

/// The constants of `tile` in blocks, with `unroll` steps in one body of its loop.
pub(super) fn constants(tile: Tile, block: MatmulBlock, unroll: usize) -> Constants {
    let (rows, columns) = tile.size();
    let shape = |(tall, wide)| Constants::default().number("TALL", tall).number("WIDE", wide);
    match tile {
        Tile::Broadcast => shape(BROADCAST).number("STARTS", BROADCAST.0 / 8).number("APART", 8),
        Tile::Direct => {
            let across = columns / (4 * DIRECT.1);
            shape(DIRECT)
                .number("ROWS", rows)
                .number("ACROSS", across)
                .number("INVOCATIONS", rows / DIRECT.0 * across)
                .number("STARTS", DIRECT.0)
                .number("APART", 1)
        }
        Tile::Coop8 | Tile::Coop16 => Constants::default()
            .number("ROWS", rows)
            .number("TALL", COOP_TALL)
            .number("SIDE", if tile == Tile::Coop8 { 8 } else { 16 }),
        _ => {
            let (across, down) = block.grid(tile);
            let side4 = block.side4 as usize;
            // Vectors behind each line of A in workgroup memory, against bank conflicts; the largest tile
            // fills its 16 KiB without.
            let padding = usize::from(tile != Tile::T128x128);
            shape((4 * side4, side4))
                .number("ROWS", rows)
                .number("COLUMNS4", columns / 4)
                .number("ACROSS", across)
                .number("INVOCATIONS", across * down)
                .number("LINE", rows / 4 + padding)
                .number("LOADERS", rows)
                .number("STEPS", block.steps as usize)
                .number("UNROLL", unroll)
        }
    }
}
