//! Tile sizes and grids: every dispatch size comes from a function here.

use super::variant::{AdapterFeatures, Class, RowSum, Staging, Tile};
use crate::text::pack::PackedBatch;

/// Columns of a panel: the order of packed weights, the same for every tile.
pub const PANEL: usize = 64;
/// Depth of a step of `matmul.wgsl`; packed weights are padded with zeros to whole steps.
pub const MATMUL_K: usize = 16;
/// Invocations of a workgroup in every kernel.
pub const INVOCATIONS: usize = 64;
/// The largest heads of [`Staging::Direct`].
pub const DIRECT_HEAD_DIM: usize = 80;
/// Largest number of workgroups along one axis on default WebGPU limits.
pub const MAX_GROUPS: usize = 65_535;

/// One workgroup a row. Rows are at most [`MAX_GROUPS`], which the caller's token budget holds.
pub fn row_grid(rows: usize) -> [u32; 2] {
    [rows as u32, 1]
}

/// Parts along k that a product of n columns and depth k is split into, where a normalisation
/// follows that can add them up at no cost but their memory. By the shape of the weight alone, so
/// that a row's bits do not depend on the rows beside it: on a discrete GPU, deep and narrow
/// products (a feed-forward's second) have too few tiles to fill it even with a thousand rows.
pub fn matmul_splits(class: Class, n: usize, k: usize) -> usize {
    match class {
        Class::Large if k >= 1024 && n <= 512 => 4,
        Class::Large if k >= 1024 && n <= 1024 => 2,
        _ => 1,
    }
}

/// How the rows of an embedding are shared on an adapter: they are made once a pass.
pub fn embed_sum(can: &AdapterFeatures) -> RowSum {
    match can.class {
        Class::CpuAdapter => RowSum::Few,
        _ if can.subgroups => RowSum::Subgroup,
        _ => RowSum::Shared,
    }
}

/// How the rows of a normalisation are shared on an adapter. On software Vulkan one subgroup takes
/// a row, which is five times as fast there as a barrier, and twice the text to compile.
pub fn row_sum(can: &AdapterFeatures) -> RowSum {
    match can.class {
        Class::Software => RowSum::Single,
        Class::CpuAdapter => RowSum::Few,
        _ if can.subgroups => RowSum::Subgroup,
        _ => RowSum::Shared,
    }
}

/// Workgroups of a product with `m` rows and `n` columns, cut into `tile` and `splits` parts along k.
pub fn matmul_grid(tile: Tile, m: usize, n: usize, splits: usize) -> [u32; 2] {
    let (rows, columns) = tile.size();
    [n.div_ceil(columns) as u32, (m.div_ceil(rows) * splits) as u32]
}

/// The cut of a product with `m` rows, `n` columns and `splits` on an adapter of `class`: the largest that
/// still gives every compute unit work (two workgroups each of 80 units on a discrete GPU).
pub fn matmul_tile(class: Class, m: usize, n: usize, splits: usize) -> Tile {
    let enough = match class {
        Class::Software => return Tile::Broadcast,
        Class::CpuAdapter => return Tile::Direct,
        Class::Small => 16,
        Class::Large => 160,
    };
    let groups = |tile| matmul_grid(tile, m, n, splits).iter().product::<u32>();
    match class {
        _ if m <= 16 => Tile::T16x32,
        Class::Large if m >= 1024 && groups(Tile::T128x128) >= enough => Tile::T128x128,
        _ if groups(Tile::T64x64) >= enough => Tile::T64x64,
        _ => Tile::T32x32,
    }
}

/// Workgroups of one expert's product with `n` columns: for all `tokens`, since the device alone
/// knows which go through it.
pub fn expert_grid(tokens: usize, n: usize) -> [u32; 2] {
    [n.div_ceil(PANEL) as u32, tokens.div_ceil(16) as u32]
}

/// Words of `shaders/route.wgsl`'s result.
pub fn route_words(tokens: usize, experts: usize, chosen: usize) -> usize {
    experts * (1 + tokens) + chosen * tokens
}

/// Workgroups for `vectors` elements, one an invocation, folded into two axes; and how many
/// elements a row of workgroups covers.
pub fn flat_grid(vectors: usize) -> ([u32; 2], u32) {
    let groups = vectors.div_ceil(INVOCATIONS).max(1);
    let x = groups.min(MAX_GROUPS);
    ([x as u32, groups.div_ceil(x) as u32], (x * INVOCATIONS) as u32)
}

/// Invocations that share a query row of `attention.wgsl`: each holds at most ten vectors of query
/// and as many of the result in registers, for heads `head_dim` numbers apart.
pub fn attention_parts(head_dim: usize) -> usize {
    match head_dim {
        0..=40 => 1,
        41..=80 => 2,
        81..=128 => 4,
        _ => 8,
    }
}

/// Where attention keeps keys and values on an adapter of `class`. What an invocation by itself takes is
/// compiled in a third of a second for a head of 32 and in 20 for one of 256: large heads have the other
/// form.
pub fn attention_staging(class: Class, head_dim: usize) -> Staging {
    match class {
        Class::Software => Staging::Broadcast,
        Class::CpuAdapter if head_dim <= DIRECT_HEAD_DIM => Staging::Direct,
        _ => Staging::Workgroup,
    }
}

/// Rows of one text a workgroup of attention works on: 256 invocations at most.
pub fn attention_rows(head_dim: usize) -> usize {
    (256 / attention_parts(head_dim)).min(64)
}

/// One attention tile a line: first row of the text in the pack, tokens of the text, first query
/// row within the text, 0. The pack is sorted longest text first, and so are the tiles.
pub fn attention_tiles(batch: &PackedBatch, head_dim: usize) -> Vec<u32> {
    let mut tiles = Vec::new();
    for (text, pair) in batch.offsets.windows(2).enumerate() {
        let (start, length) = (pair[0], pair[1] - pair[0]);
        let hidden = batch.hidden.get(text).copied().unwrap_or(0);
        for query in (0..length).step_by(attention_rows(head_dim)) {
            tiles.extend_from_slice(&[start, length, query, hidden]);
        }
    }
    tiles
}
