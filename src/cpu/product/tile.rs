//! The innermost loops of the product: a tile of rows of A by one panel of W, in registers.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::Tiles;
use super::packed::Packed;
use super::prefetch;
use crate::math::simd::load;

/// Does the same for each row of a tile, written out: what is indexed by numbers alone stays in
/// registers.
macro_rules! each_row {
    ($rows:ident, $r:ident, $body:block) => {
        each_row!(@ $rows, $r, $body, 0 1 2 3 4 5 6 7 8 9 10 11)
    };
    (@ $rows:ident, $r:ident, $body:block, $($number:literal)*) => {
        $(if $number < $rows {
            // Never out of bounds; what is not run must compile as well.
            let $r = if $number < $rows { $number } else { 0 };
            $body
        })*
    };
}

/// Calls a tile of so many rows.
macro_rules! by_height {
    ($rows:expr, $tile:ident($($word:expr),*)) => {
        match $rows {
            12 => $tile::<S, C, 12>($($word),*),
            11 => $tile::<S, C, 11>($($word),*),
            10 => $tile::<S, C, 10>($($word),*),
            9 => $tile::<S, C, 9>($($word),*),
            8 => $tile::<S, C, 8>($($word),*),
            7 => $tile::<S, C, 7>($($word),*),
            6 => $tile::<S, C, 6>($($word),*),
            5 => $tile::<S, C, 5>($($word),*),
            4 => $tile::<S, C, 4>($($word),*),
            3 => $tile::<S, C, 3>($($word),*),
            2 => $tile::<S, C, 2>($($word),*),
            1 => $tile::<S, C, 1>($($word),*),
            _ => {}
        }
    };
}

/// Rows of a tile at most. Two vectors a row: 12 rows fill 24 of the 32 registers of AVX-512 and
/// NEON, 6 rows 12 of the 16 of AVX2. WebAssembly may have 16 as well, and adds in a register of its
/// own.
pub fn tallest() -> usize {
    struct Registers;
    impl WithSimd for Registers {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            match S::REGISTER_COUNT {
                _ if cfg!(target_arch = "wasm32") => 4,
                32.. => 12,
                _ => 6,
            }
        }
    }
    Arch::new().dispatch(Registers)
}

/// Where the numbers of C go: those of one row from the first column of some panels on.
pub trait OutputRows {
    fn row(&mut self, row: usize) -> &mut [f32];
}

/// Rows that lie apart.
pub struct Strided<'c> {
    pub c: &'c mut [f32],
    pub stride: usize,
}

impl OutputRows for Strided<'_> {
    #[inline(always)]
    fn row(&mut self, row: usize) -> &mut [f32] {
        &mut self.c[row * self.stride..]
    }
}

/// A part of each row from `first` on.
pub struct Segments<'c, 'r> {
    pub first: usize,
    pub c: &'r mut [&'c mut [f32]],
}

impl OutputRows for Segments<'_, '_> {
    #[inline(always)]
    fn row(&mut self, row: usize) -> &mut [f32] {
        self.c[row - self.first]
    }
}

/// The left side of a product.
#[derive(Clone, Copy)]
pub enum LeftRows<'a> {
    /// Those of a block, (tile, k, height).
    Packed(&'a [f32]),
    /// All, so many numbers apart.
    Strided(&'a [f32], usize),
}

/// A block of tiles by some panels of W.
pub struct TileWork<'a, 'w, C> {
    pub a: LeftRows<'a>,
    pub tiles: Tiles,
    pub block: Range<usize>,
    pub w: &'a Packed,
    pub panels: Range<usize>,
    pub c: &'w mut C,
}

impl<C: OutputRows> WithSimd for TileWork<'_, '_, C> {
    type Output = ();

    /// Each panel passes over all tiles.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { a, tiles, block, w, panels, c } = self;
        let (nr, k, top) = (2 * S::F32_LANES, w.k(), tiles.start(block.start));
        let first = panels.start * nr;
        let data = w.data().chunks_exact((nr * k).max(1)).enumerate();
        for (p, panel) in data.skip(panels.start).take(panels.len()) {
            let at = p * nr;
            let columns = at - first..at - first + nr.min(w.n() - at);
            for tile in block.clone() {
                let rows = tiles.rows(tile..tile + 1);
                let place = (rows.start, columns.clone());
                match a {
                    LeftRows::Packed(a) => {
                        let a = &a[(rows.start - top) * k..(rows.end - top) * k];
                        by_height!(rows.len(), packed_tile(simd, a, panel, place, c));
                    }
                    LeftRows::Strided(a, stride) => {
                        let a = (&a[rows.start * stride..], stride, k);
                        by_height!(rows.len(), strided_tile(simd, a, panel, place, c));
                    }
                }
            }
        }
    }
}

/// `MR` rows by one panel: `a` is (k, MR), `panel` (k, 2 vectors).
#[inline(always)]
fn packed_tile<S: Simd, C: OutputRows, const MR: usize>(
    simd: S,
    a: &[f32],
    panel: &[f32],
    place: (usize, Range<usize>),
    c: &mut C,
) {
    let lanes = S::F32_LANES;
    let mut sum = [[simd.splat_f32s(0.0); 2]; MR];
    let (a, _) = a.as_chunks::<MR>();
    for (a, w) in a.iter().zip(panel.chunks_exact(2 * lanes)) {
        prefetch::ahead(w);
        let (w0, w1) = (load(simd, w), load(simd, &w[lanes..]));
        each_row!(MR, r, {
            let a = simd.splat_f32s(a[r]);
            // Fused wherever the processor can; WebAssembly rounds between.
            sum[r][0] = simd.mul_add_e_f32s(a, w0, sum[r][0]);
            sum[r][1] = simd.mul_add_e_f32s(a, w1, sum[r][1]);
        });
    }
    put::<S, C, MR>(sum, place, c);
}

/// The same of rows of A that lie apart.
#[inline(always)]
fn strided_tile<S: Simd, C: OutputRows, const MR: usize>(
    simd: S,
    (a, stride, k): (&[f32], usize, usize),
    panel: &[f32],
    place: (usize, Range<usize>),
    c: &mut C,
) {
    let lanes = S::F32_LANES;
    let mut sum = [[simd.splat_f32s(0.0); 2]; MR];
    let a: [&[f32]; MR] = std::array::from_fn(|r| &a[r * stride..][..k]);
    for (i, w) in (0..k).zip(panel.chunks_exact(2 * lanes)) {
        prefetch::ahead(w);
        let (w0, w1) = (load(simd, w), load(simd, &w[lanes..]));
        each_row!(MR, r, {
            let a = simd.splat_f32s(a[r][i]);
            sum[r][0] = simd.mul_add_e_f32s(a, w0, sum[r][0]);
            sum[r][1] = simd.mul_add_e_f32s(a, w1, sum[r][1]);
        });
    }
    put::<S, C, MR>(sum, place, c);
}

#[inline(always)]
fn put<S: Simd, C: OutputRows, const MR: usize>(
    sum: [[S::f32s; 2]; MR],
    (row, columns): (usize, Range<usize>),
    c: &mut C,
) {
    each_row!(MR, r, {
        let line = sum[r];
        let numbers: &[f32] = bytemuck::cast_slice(&line);
        let c = &mut c.row(row + r)[columns.clone()];
        match c.len() == 2 * S::F32_LANES {
            true => c.copy_from_slice(&numbers[..2 * S::F32_LANES]),
            false => c.copy_from_slice(&numbers[..c.len()]),
        }
    });
}
