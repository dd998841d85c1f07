//! The matrix product of the CPU executor: C = A Wᵀ with W packed once into panels.
//!
//! Written here, not taken from the crate `gemm`, for two reasons. Bits: `gemm` picks its blocking
//! of K, its matrix-vector and its small-matrix kernels by the number of rows, so a text's vectors
//! would depend on its batch; here each number of C is one chain of fused multiply-adds over
//! k = 0, 1, 2, ... whatever stands beside it. Speed: `gemm` packs W at every call.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::math::simd::load;

/// Rows of A that are packed and worked on together; a multiple of both tile heights below.
const ROW_BLOCK: usize = 48;

/// W, (n, k), packed as panels of `lanes` columns: (n / lanes, k, lanes), zero past n.
#[derive(Debug, Clone, Default)]
pub struct Packed {
    data: Vec<f32>,
    n: usize,
    k: usize,
}

/// Columns of a panel: two vectors of the widest instructions this processor has.
pub fn panel_width() -> usize {
    struct Lanes;
    impl WithSimd for Lanes {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            2 * S::F32_LANES
        }
    }
    Arch::new().dispatch(Lanes)
}

impl Packed {
    /// Packs `w`, (n, k) row-major.
    pub fn new(w: &[f32], n: usize, k: usize) -> Self {
        let mut packed = Self::default();
        packed.pack_columns(n, k, |j| &w[j * k..(j + 1) * k]);
        packed
    }

    /// Packs n columns of k numbers, `column(j)` being number j, into the memory this holds.
    pub fn pack_columns<'a>(&mut self, n: usize, k: usize, column: impl Fn(usize) -> &'a [f32]) {
        let nr = self.reset(n, k);
        for j in 0..n {
            let panel = &mut self.data[j / nr * nr * k..][..nr * k];
            for (line, number) in panel.chunks_exact_mut(nr).zip(column(j)) {
                line[j % nr] = *number;
            }
        }
    }

    /// Packs k lines of n numbers, `line(i)` being number i of every column.
    pub fn pack_lines<'a>(&mut self, n: usize, k: usize, line: impl Fn(usize) -> &'a [f32]) {
        let nr = self.reset(n, k);
        for i in 0..k {
            for (p, part) in line(i)[..n].chunks(nr).enumerate() {
                self.data[(p * k + i) * nr..][..part.len()].copy_from_slice(part);
            }
        }
    }

    /// Makes room for (n, k), zeros past n; the width of a panel.
    fn reset(&mut self, n: usize, k: usize) -> usize {
        let nr = panel_width();
        self.n = n;
        self.k = k;
        self.data.clear();
        self.data.resize(n.div_ceil(nr) * nr * k, 0.0);
        nr
    }

    /// A copy of columns' numbers `range` along k: (n, range.len()).
    pub fn depth(&self, range: std::ops::Range<usize>) -> Self {
        let nr = panel_width();
        let mut data = Vec::with_capacity(self.data.len() / self.k.max(1) * range.len());
        for panel in self.data.chunks_exact(nr * self.k) {
            data.extend_from_slice(&panel[nr * range.start..nr * range.end]);
        }
        Self { data, n: self.n, k: range.len() }
    }

    /// Columns of C.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Depth of the product.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        (self.data.len() * 4) as u64
    }
}

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
    let work = Work { a, a_stride, rows, w, c, c_stride, scratch };
    Arch::new().dispatch(work);
}

/// [`product`] over many rows on all threads, then `finish(first row, rows of C)` on each block
/// while it is in cache.
pub fn product_parallel(
    a: &[f32],
    rows: usize,
    w: &Packed,
    c: &mut [f32],
    finish: impl Fn(usize, &mut [f32]) + Sync,
) {
    let (n, k) = (w.n, w.k);
    if rows == 0 || n == 0 {
        return;
    }
    // Blocks small enough that every thread has one, and no larger than what stays in cache.
    let share = rows.div_ceil(rayon::current_num_threads()).next_multiple_of(12);
    let block = share.min(ROW_BLOCK);
    c[..rows * n].par_chunks_mut(block * n).enumerate().for_each_init(
        Scratch::default,
        |scratch, (i, c)| {
            let first = i * block;
            product(&a[first * k..], k, c.len() / n, w, c, n, scratch);
            finish(first, c);
        },
    );
}

struct Work<'a> {
    a: &'a [f32],
    a_stride: usize,
    rows: usize,
    w: &'a Packed,
    c: &'a mut [f32],
    c_stride: usize,
    scratch: &'a mut Scratch,
}

impl WithSimd for Work<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        // Two vectors a row: 12 rows fill 24 of the 32 registers of AVX-512 and NEON, 6 rows 12
        // of the 16 of AVX2. WebAssembly may have 16 as well, and adds in a register of its own.
        let tall = match S::REGISTER_COUNT {
            _ if cfg!(target_arch = "wasm32") => 4,
            32.. => 12,
            _ => 6,
        };
        let mut done = 0;
        while done < self.rows {
            let block = ROW_BLOCK.min(self.rows - done);
            self.block(simd, done, block, tall);
            done += block;
        }
    }
}

impl Work<'_> {
    /// Rows `first..first + rows` of C: their rows of A are packed in sub-blocks of equal height,
    /// then each panel of W passes over all of them.
    #[inline(always)]
    fn block<S: Simd>(&mut self, simd: S, first: usize, rows: usize, tall: usize) {
        let k = self.w.k;
        let nr = 2 * S::F32_LANES;
        let packed = &mut self.scratch.0;
        packed.clear();
        packed.resize(rows * k, 0.0);
        let mut row = 0;
        while row < rows {
            let height = height(rows - row, tall);
            let part = &mut packed[row * k..(row + height) * k];
            for r in 0..height {
                let from = (first + row + r) * self.a_stride;
                for (i, &number) in self.a[from..from + k].iter().enumerate() {
                    part[i * height + r] = number;
                }
            }
            row += height;
        }
        for (p, panel) in self.w.data.chunks_exact((nr * k).max(1)).enumerate() {
            let column = p * nr;
            let columns = nr.min(self.w.n - column);
            let mut row = 0;
            while row < rows {
                let height = height(rows - row, tall);
                let part = &packed[row * k..(row + height) * k];
                let at = (first + row) * self.c_stride + column;
                let out = &mut self.c[at..];
                match height {
                    12 => tile::<S, 12>(simd, part, panel, out, self.c_stride, columns),
                    6 => tile::<S, 6>(simd, part, panel, out, self.c_stride, columns),
                    4 => tile::<S, 4>(simd, part, panel, out, self.c_stride, columns),
                    2 => tile::<S, 2>(simd, part, panel, out, self.c_stride, columns),
                    _ => tile::<S, 1>(simd, part, panel, out, self.c_stride, columns),
                }
                row += height;
            }
        }
    }
}

/// The tallest tile for `left` rows.
#[inline(always)]
fn height(left: usize, tall: usize) -> usize {
    match left {
        12.. if tall == 12 => 12,
        6.. if tall >= 6 => 6,
        4.. => 4,
        2.. => 2,
        _ => 1,
    }
}

/// `MR` rows by one panel: `a` is (k, MR), `panel` (k, 2 vectors).
#[inline(always)]
fn tile<S: Simd, const MR: usize>(
    simd: S,
    a: &[f32],
    panel: &[f32],
    c: &mut [f32],
    c_stride: usize,
    columns: usize,
) {
    let lanes = S::F32_LANES;
    let mut sum = [[simd.splat_f32s(0.0); 2]; MR];
    let (a, _) = a.as_chunks::<MR>();
    for (a, w) in a.iter().zip(panel.chunks_exact(2 * lanes)) {
        let (w0, w1) = (load(simd, w), load(simd, &w[lanes..]));
        for r in 0..MR {
            let a = simd.splat_f32s(a[r]);
            // Fused wherever the processor can; WebAssembly rounds between.
            sum[r][0] = simd.mul_add_e_f32s(a, w0, sum[r][0]);
            sum[r][1] = simd.mul_add_e_f32s(a, w1, sum[r][1]);
        }
    }
    for (r, sum) in sum.iter().enumerate() {
        let numbers: &[f32] = bytemuck::cast_slice(sum);
        let at = r * c_stride;
        c[at..at + columns].copy_from_slice(&numbers[..columns]);
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
        for &(m, n, k) in
            &[(1, 1, 1), (1, 7, 3), (5, 33, 17), (13, 64, 5), (47, 31, 64), (97, 100, 40)]
        {
            let (a, w) = (numbers(m * k, 1), numbers(n * k, 2));
            let mut c = vec![f32::NAN; m * n];
            product_parallel(&a, m, &Packed::new(&w, n, k), &mut c, |_, _| {});
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
