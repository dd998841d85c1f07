//! Softmax of rows, on whole vector registers: a row's bits depend on that row alone.

use pulp::{Arch, Simd, WithSimd};

use super::simd::{exp, load, map, sum};

/// Softmax in base 2 of each row of `n` scores, scaled by `scale` first (log₂ e is in it).
pub fn softmax2_rows(scores: &mut [f32], n: usize, scale: f32) {
    struct Work<'a>(&'a mut [f32], usize, f32);
    impl WithSimd for Work<'_> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, s: S) {
            // 2^y = e^(y ln 2)
            let scale = s.splat_f32s(self.2 * std::f32::consts::LN_2);
            for row in self.0.chunks_exact_mut(self.1) {
                let blocks = row.chunks_exact(S::F32_LANES);
                let rest = blocks.remainder().iter().fold(f32::MIN, |a, &b| a.max(b));
                let largest = blocks.fold(
                    s.splat_f32s(rest),
                    #[inline(always)]
                    |a, b| s.max_f32s(a, load(s, b)),
                );
                let largest = s.splat_f32s(s.reduce_max_f32s(largest));
                map(
                    s,
                    row,
                    #[inline(always)]
                    |x| {
                        let y = s.mul_f32s(s.sub_f32s(x, largest), scale);
                        // + 0 y: NaN stays NaN on every processor.
                        s.mul_add_e_f32s(y, s.splat_f32s(0.0), exp(s, y))
                    },
                );
                let factor = s.splat_f32s(
                    1.0 / sum(
                        s,
                        row,
                        #[inline(always)]
                        |x| x,
                    ),
                );
                map(
                    s,
                    row,
                    #[inline(always)]
                    |x| s.mul_f32s(x, factor),
                );
            }
        }
    }
    if n > 0 {
        Arch::new().dispatch(Work(scores, n, scale));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_keeps_nan() {
        let mut scores = [0.0, f32::NAN, 1.0, 2.0];
        softmax2_rows(&mut scores, 4, 1.0);
        assert!(scores[1].is_nan() && scores[0].is_nan(), "{scores:?}");
    }

    #[test]
    fn softmax_sums_to_one_at_any_length() {
        for n in [1, 2, 15, 16, 17, 33, 512] {
            let mut scores: Vec<f32> = (0..2 * n).map(|i| (i * 37 % 101) as f32 - 50.0).collect();
            softmax2_rows(&mut scores, n, std::f32::consts::LOG2_E);
            for row in scores.chunks(n) {
                let total: f64 = row.iter().map(|&x| f64::from(x)).sum();
                assert!((total - 1.0).abs() < 1e-6, "{n}: {total}");
            }
        }
    }
}
