//! The right side of a product, packed once.

use pulp::{Arch, Simd, WithSimd};

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

    /// The panels.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// How many panels there are.
    pub fn panels(&self) -> usize {
        self.n.div_ceil(panel_width())
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
