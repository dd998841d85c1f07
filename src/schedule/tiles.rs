//! Which cut of a kernel is taken, by its sizes and the adapter.

use crate::kernels::{
    AdapterFeatures, Class, DIRECT_HEAD_DIM, RowSum, Scores, Staging, Tile, attention_rows,
    matmul_grid,
};
use crate::text::pack::PackedBatch;

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

/// The cut of a product with `m` rows, `n` columns and `splits` on an adapter that `can` do so much: the
/// largest of its vendor that still gives every compute unit work (two workgroups each of 80 units on a
/// discrete GPU).
pub fn matmul_tile(can: &AdapterFeatures, m: usize, n: usize, splits: usize) -> Tile {
    let enough = match can.class {
        Class::Software => return Tile::Broadcast,
        Class::CpuAdapter => return Tile::Direct,
        Class::Small => 16,
        Class::Large => 160,
    };
    let groups = |tile| matmul_grid(tile, m, n, splits).iter().product::<u32>();
    let largest = can.class == Class::Large && Tile::T128x128.is_for(can.vendor) && m >= 1024;
    match m {
        0..=16 => Tile::T16x32,
        _ if largest && groups(Tile::T128x128) >= enough => Tile::T128x128,
        _ if groups(Tile::T64x64) >= enough => Tile::T64x64,
        _ => Tile::T32x32,
    }
}

/// Where attention keeps keys and values on an adapter of `class`. What an invocation by itself takes is
/// compiled in a third of a second for a head of 32 and in 20 for one of 256: large heads have the other
/// form.
pub fn attention_staging(class: Class, head_dim: usize, scores: Scores) -> Staging {
    match class {
        // DeBERTa's has one form for every processor.
        _ if class.is_processor() && scores == Scores::Disentangled => Staging::Direct,
        Class::Software => Staging::Broadcast,
        Class::CpuAdapter if head_dim <= DIRECT_HEAD_DIM => Staging::Direct,
        _ => Staging::Workgroup,
    }
}

/// A line a token: first row of its text in the pack, tokens of the text, its place in it, and how many of
/// the text, from the first, are keys.
pub fn token_lines(batch: &PackedBatch) -> Vec<u32> {
    let mut lines = Vec::new();
    for (text, pair) in batch.offsets.windows(2).enumerate() {
        let (start, length) = (pair[0], pair[1] - pair[0]);
        let hidden = batch.hidden.get(text).copied().unwrap_or(0);
        lines.extend((0..length).flat_map(|place| [start, length, place, length - hidden]));
    }
    lines
}

/// One attention tile a line: first row of the text in the pack, tokens of the text, first query
/// row within the text, 0. The pack is sorted longest text first, and so are the tiles.
/// `parts` invocations share a row.
pub fn attention_tiles(batch: &PackedBatch, parts: u32) -> Vec<u32> {
    let mut tiles = Vec::new();
    for (text, pair) in batch.offsets.windows(2).enumerate() {
        let (start, length) = (pair[0], pair[1] - pair[0]);
        let hidden = batch.hidden.get(text).copied().unwrap_or(0);
        for query in (0..length).step_by(attention_rows(parts)) {
            tiles.extend_from_slice(&[start, length, query, hidden]);
        }
    }
    tiles
}
