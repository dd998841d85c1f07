//! How the products of `shaders/matmul*.wgsl` are cut up: the constants of each tile.

use crate::kernels::Tile;
use crate::kernels::template::Constants;

/// How a workgroup of `matmul.wgsl` shares a tile.
struct Cut {
    /// Rows and columns of the tile.
    size: (usize, usize),
    /// Rows of an invocation, in vectors of four.
    tall4: usize,
    /// Columns of an invocation, in vectors of four.
    wide4: usize,
    /// Vectors of padding behind each line of A in workgroup memory, against bank conflicts.
    pad: usize,
}

impl Cut {
    fn new(tile: Tile) -> Self {
        let size = tile.size();
        match tile {
            Tile::T16x32 | Tile::T32x32 => Self { size, tall4: 1, wide4: 1, pad: 1 },
            Tile::T64x64 => Self { size, tall4: 2, wide4: 2, pad: 1 },
            // 16 KiB exactly: no room for padding.
            _ => Self { size, tall4: 2, wide4: 2, pad: 0 },
        }
    }

    /// Invocations side by side and one below the other.
    fn grid(&self) -> (usize, usize) {
        (self.size.1 / (4 * self.wide4), self.size.0 / (4 * self.tall4))
    }
}

/// Steps over k in one body of the loop.
pub(super) const UNROLL: usize = 4;

/// Rows and column vectors of one subgroup in `matmul_broadcast.wgsl`.
const BROADCAST: (usize, usize) = (16, 2);

/// Rows and column vectors of one invocation in `matmul_direct.wgsl`.
const DIRECT: (usize, usize) = (16, 4);

/// Rows of one subgroup in `matmul_coop.wgsl`; its columns are a panel.
const COOP_TALL: usize = 32;

/// The constants of `tile` with `unroll` steps in one body of its loop.
pub(super) fn constants(tile: Tile, unroll: usize) -> Constants {
    let (rows, columns) = tile.size();
    let block = |(tall, wide)| Constants::default().number("TALL", tall).number("WIDE", wide);
    match tile {
        Tile::Broadcast => block(BROADCAST).number("STARTS", BROADCAST.0 / 8).number("APART", 8),
        Tile::Direct => {
            let across = columns / (4 * DIRECT.1);
            block(DIRECT)
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
            let cut = Cut::new(tile);
            let (across, down) = cut.grid();
            block((4 * cut.tall4, cut.wide4))
                .number("ROWS", rows)
                .number("COLUMNS4", columns / 4)
                .number("ACROSS", across)
                .number("INVOCATIONS", across * down)
                .number("LINE", rows / 4 + cut.pad)
                .number("LOADERS", rows)
                .number("UNROLL", unroll)
        }
    }
}

/// Multiply-adds an invocation does in one body of the loop of `tile`.
pub(super) fn fmas(tile: Tile, unroll: usize) -> usize {
    match tile {
        Tile::Broadcast => BROADCAST.0 * BROADCAST.1 * 16,
        Tile::Direct => DIRECT.0 * DIRECT.1 * 16,
        // Matrices do them.
        Tile::Coop8 | Tile::Coop16 => 0,
        _ => {
            let cut = Cut::new(tile);
            16 * cut.tall4 * cut.wide4 * unroll
        }
    }
}
