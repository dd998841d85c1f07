//! Random numbers for the cases.

use crate::model::layout::align4;

/// Seeded random numbers (SplitMix64, Steele et al. 2014).
pub struct Rng(u64);

impl Rng {
    /// The same numbers for the same `seed`.
    pub fn new(seed: usize) -> Self {
        Self(seed as u64)
    }

    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A whole number in 0..n.
    pub fn below(&mut self, n: usize) -> u32 {
        (self.word() % n as u64) as u32
    }

    /// Numbers close to normal ones with deviation `scale`: the sum of four uniform ones.
    pub fn normals(&mut self, count: usize, scale: f32) -> Vec<f32> {
        let mut normal = || {
            let word = self.word();
            let sum: u64 = (0..4).map(|i| word >> (16 * i) & 0xffff).sum();
            // Mean 2 and variance 4 / 12.
            (sum as f64 / 65_535.0 - 2.0) * 3f64.sqrt()
        };
        (0..count).map(|_| scale * normal() as f32).collect()
    }

    /// Rows of `width` such numbers, zero up to the stride.
    pub fn rows(&mut self, rows: usize, width: usize, scale: f32) -> Vec<f32> {
        let mut numbers = vec![0.0; rows * align4(width)];
        for row in numbers.chunks_exact_mut(align4(width)) {
            row[..width].copy_from_slice(&self.normals(width, scale));
        }
        numbers
    }
}
