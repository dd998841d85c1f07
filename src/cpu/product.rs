//! The matrix product of the CPU executor: C = A Wᵀ with W packed once into panels.
//!
//! Written here, not taken from the crate `gemm`, for two reasons. Bits: `gemm` picks its blocking
//! of K, its matrix-vector and its small-matrix kernels by the number of rows, so a text's vectors
//! would depend on its batch; here each number of C is one chain of fused multiply-adds over
//! k = 0, 1, 2, ... whatever stands beside it. Speed: `gemm` packs W at every call.

mod packed;
mod prefetch;
mod tile;

use std::cell::Cell;
use std::ops::Range;

use pulp::Arch;
use rayon::prelude::*;

pub use packed::{Packed, panel_width};
use tile::{LeftRows, Segments, Strided, TileWork, tallest};

/// Numbers of A that are packed and worked on together: what stays in the second cache while panels of
/// W go by, each of which is read once a block.
const BLOCK: usize = 96 << 10;
/// Tiles of a block at least.
const BLOCK_TILES: usize = 4;
/// Parts of a product for each thread at least, so that none waits long for the others.
const TASKS: usize = 2;
/// Multiply-adds that are worth a task.
const TASK_WORK: usize = 1 << 18;
/// Numbers of A that are worth packing on several threads.
const PACK_WORK: usize = 1 << 15;
/// Numbers of a cache's page: rows that lie a multiple of them apart share one set of the first cache,
/// which holds fewer lines than a tile has rows.
const PAGE: usize = 1024;
/// Columns of W, or numbers along k, for which rows of A are not packed: they are read too seldom, or
/// lie close together as it is.
const DIRECT: usize = 64;
/// Numbers along k of each row that are packed in turn: what stays in the first cache.
const PACK_DEPTH: usize = 16;

/// Scratch of one thread: packed rows of A.
#[derive(Debug, Default)]
pub struct Scratch(Vec<f32>);

/// C (rows, n) = A Wᵀ for `rows` rows of A that lie `a_stride` numbers apart, k of each taken;
/// the rows of C lie `c_stride` apart.
pub fn product(
    a: &[f32],
    a_stride: usize,
    rows: usize,
    w: &Packed,
    c: &mut [f32],
    c_stride: usize,
    scratch: &mut Scratch,
) {
    let tiles = Tiles::of(rows);
    let mut c = Strided { c, stride: c_stride };
    for block in tiles.blocks(tiles.block_count(w.k())) {
        let a = match packs(a_stride, w) {
            true => LeftRows::Packed(tiles.pack(a, a_stride, w.k(), block.clone(), &mut scratch.0)),
            false => LeftRows::Strided(a, a_stride),
        };
        Arch::new().dispatch(TileWork { a, tiles, block, w, panels: 0..w.panels(), c: &mut c });
    }
}

/// [`product`] over many rows on all threads, then `finish(row, first column, numbers of C)` on each
/// part of a row while it is in cache.
pub fn product_parallel(
    a: &[f32],
    rows: usize,
    w: &Packed,
    c: &mut [f32],
    finish: impl Fn(usize, usize, &mut [f32]) + Sync,
) {
    let (n, k) = (w.n(), w.k());
    if rows == 0 || n == 0 {
        return;
    }
    let (tiles, threads) = (Tiles::of(rows), rayon::current_num_threads());
    let c = &mut c[..rows * n];
    let blocks = tiles.block_count(k);
    if blocks >= TASKS * threads {
        let blocks = blocks.next_multiple_of(threads).min(tiles.count);
        tiles.split(c, n, blocks, &[n]).into_par_iter().for_each_init(
            Scratch::default,
            |scratch, mut part| {
                let rows = match packs(k, w) {
                    true => {
                        LeftRows::Packed(tiles.pack(a, k, k, part.block.clone(), &mut scratch.0))
                    }
                    false => LeftRows::Strided(a, k),
                };
                part.multiply(rows, tiles, w, 0..w.panels());
                part.finish(&finish);
            },
        );
        return;
    }
    // Few rows: threads share the columns as well, so that each reads a part of W alone. Rows of A
    // that are packed are so once for all.
    let mut packed = PACKED.take();
    let all = packs(k, w).then(|| tiles.pack_parallel(a, k, &mut packed));
    let by_work = rows * n * k / TASK_WORK;
    let groups = (TASKS * threads).div_ceil(blocks).min(by_work).clamp(1, w.panels());
    let panel = |group: usize| w.panels() * group / groups;
    let ends: Vec<usize> = (1..=groups).map(|g| (panel(g) * panel_width()).min(n)).collect();
    let parts = tiles.split(c, n, blocks, &ends);
    parts.into_par_iter().for_each(|mut part| {
        let rows = tiles.rows(part.block.clone());
        let rows = match all {
            Some(all) => LeftRows::Packed(&all[rows.start * k..rows.end * k]),
            None => LeftRows::Strided(a, k),
        };
        part.multiply(rows, tiles, w, panel(part.group)..panel(part.group + 1));
        part.finish(&finish);
    });
    PACKED.set(packed);
}

/// Whether rows of A that lie `stride` numbers apart are packed first. Elsewhere the lines of a tile's
/// rows stay in the first cache while all their numbers are read, and to pack them costs up to a third
/// of the product.
fn packs(stride: usize, w: &Packed) -> bool {
    stride.is_multiple_of(PAGE) && w.n().min(w.k()) > DIRECT
}

thread_local! {
    /// Rows of A that were packed for all threads. Taken out while it is used: a thread that waits
    /// for others may begin another product.
    static PACKED: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// Rows of A in tiles of almost the same height, the tallest that the registers hold.
#[derive(Debug, Clone, Copy)]
struct Tiles {
    rows: usize,
    count: usize,
}

impl Tiles {
    fn of(rows: usize) -> Self {
        Self { rows, count: rows.div_ceil(tallest()) }
    }

    /// First row of tile `i`.
    fn start(self, i: usize) -> usize {
        self.rows * i / self.count.max(1)
    }

    /// The rows of some tiles.
    fn rows(self, tiles: Range<usize>) -> Range<usize> {
        self.start(tiles.start)..self.start(tiles.end)
    }

    /// How many blocks all tiles are worked on in, with rows of `k` numbers.
    fn block_count(self, k: usize) -> usize {
        let tiles = BLOCK / (tallest() * k.max(1));
        self.count.div_ceil(tiles.max(BLOCK_TILES))
    }

    /// All tiles in `blocks` parts of almost as many.
    fn blocks(self, blocks: usize) -> impl Iterator<Item = Range<usize>> {
        let at = move |i: usize| self.count * i / blocks.max(1);
        (0..blocks).map(move |i| at(i)..at(i + 1))
    }

    /// The part of `packed`, (tile, k, height), that each of `tiles` takes, with its first row.
    fn parts(
        self,
        k: usize,
        tiles: Range<usize>,
        packed: &mut [f32],
    ) -> impl Iterator<Item = (usize, &mut [f32])> {
        let mut rest = packed;
        tiles.map(move |tile| {
            let rows = self.rows(tile..tile + 1);
            let (part, after) = std::mem::take(&mut rest).split_at_mut(rows.len() * k);
            rest = after;
            (rows.start, part)
        })
    }

    /// The rows of `tiles` (rows, k) as (tile, k, height).
    fn pack<'p>(
        self,
        a: &[f32],
        a_stride: usize,
        k: usize,
        tiles: Range<usize>,
        packed: &'p mut Vec<f32>,
    ) -> &'p [f32] {
        let numbers = self.rows(tiles.clone()).len() * k;
        packed.resize(numbers.max(packed.len()), 0.0);
        for (row, part) in self.parts(k, tiles, &mut packed[..numbers]) {
            pack_tile(&a[row * a_stride..], a_stride, k, part);
        }
        &packed[..numbers]
    }

    /// [`Tiles::pack`] of all rows, which lie k apart, on all threads where that is worth it.
    fn pack_parallel<'p>(self, a: &[f32], k: usize, packed: &'p mut Vec<f32>) -> &'p [f32] {
        let numbers = self.rows * k;
        if numbers < PACK_WORK {
            return self.pack(a, k, k, 0..self.count, packed);
        }
        packed.resize(numbers.max(packed.len()), 0.0);
        let parts: Vec<_> = self.parts(k, 0..self.count, &mut packed[..numbers]).collect();
        parts.into_par_iter().for_each(|(row, part)| pack_tile(&a[row * k..], k, k, part));
        &packed[..numbers]
    }

    /// C (rows, n) in parts: blocks of tiles by groups of columns that end at `ends`.
    fn split<'c>(
        self,
        c: &'c mut [f32],
        n: usize,
        blocks: usize,
        ends: &[usize],
    ) -> Vec<OutputPart<'c>> {
        let mut parts = Vec::with_capacity(blocks * ends.len());
        let mut rest = c.chunks_exact_mut(n);
        for block in self.blocks(blocks) {
            let (first, count) = (self.start(block.start), self.rows(block.clone()).len());
            let at = parts.len();
            let mut column = 0;
            for (group, &end) in ends.iter().enumerate() {
                let c = Vec::with_capacity(count);
                parts.push(OutputPart { block: block.clone(), group, first, column, c });
                column = end;
            }
            for mut row in rest.by_ref().take(count) {
                let mut column = 0;
                for (part, &end) in parts[at..].iter_mut().zip(ends) {
                    let (here, after) = std::mem::take(&mut row).split_at_mut(end - column);
                    part.c.push(here);
                    (row, column) = (after, end);
                }
            }
        }
        parts
    }
}

/// `a` is rows `a_stride` apart, `packed` (k, height): as many rows as it has room for.
fn pack_tile(a: &[f32], a_stride: usize, k: usize, packed: &mut [f32]) {
    let height = packed.len() / k.max(1);
    for (block, packed) in packed.chunks_mut(PACK_DEPTH * height.max(1)).enumerate() {
        for r in 0..height {
            let numbers = &a[r * a_stride..][..k][PACK_DEPTH * block..];
            for (line, &number) in packed.chunks_exact_mut(height).zip(numbers) {
                line[r] = number;
            }
        }
    }
}

/// A part of C that one thread computes.
struct OutputPart<'c> {
    block: Range<usize>,
    /// Which of the groups of columns.
    group: usize,
    /// Its first row and column.
    first: usize,
    column: usize,
    /// Its rows.
    c: Vec<&'c mut [f32]>,
}

impl OutputPart<'_> {
    fn multiply(&mut self, a: LeftRows<'_>, tiles: Tiles, w: &Packed, panels: Range<usize>) {
        let block = self.block.clone();
        let c = &mut Segments { first: self.first, c: &mut self.c };
        Arch::new().dispatch(TileWork { a, tiles, block, w, panels, c });
    }

    fn finish(&mut self, finish: &impl Fn(usize, usize, &mut [f32])) {
        for (i, c) in self.c.iter_mut().enumerate() {
            finish(self.first + i, self.column, c);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / 8_388_608.0 - 1.0
            })
            .collect()
    }

    #[test]
    fn equals_a_chain_of_fused_multiply_adds() {
        let mut failed = Vec::new();
        for &(m, n, k) in &[
            (1, 1, 1),
            (1, 7, 3),
            (5, 33, 17),
            (13, 64, 5),
            (47, 31, 64),
            (97, 100, 40),
            (7, 260, 300),
            (31, 129, 70),
            (29, 70, 1024),
            (3, 200, 2048),
            (200, 96, 65),
            (200, 96, 1024),
            (12 * 48 + 5, 65, 9),
        ] {
            let (a, w) = (numbers(m * k, 1), numbers(n * k, 2));
            let mut c = vec![f32::NAN; m * n];
            product_parallel(&a, m, &Packed::new(&w, n, k), &mut c, |_, _, _| {});
            for i in 0..m {
                for j in 0..n {
                    let want = (0..k).fold(0f32, |s, l| a[i * k + l].mul_add(w[j * k + l], s));
                    if want.to_bits() != c[i * n + j].to_bits() {
                        failed.push(((m, n, k), (i, j), c[i * n + j], want));
                    }
                }
            }
        }
        assert!(failed.is_empty(), "{} differ, first {:?}", failed.len(), &failed[..1]);
    }
}
