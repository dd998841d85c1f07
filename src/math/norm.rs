//! Normalisation of rows, on whole vector registers: a row's bits depend on that row alone.

use pulp::{Arch, Simd, WithSimd};

use super::simd::sum;

/// What a normalisation divides by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum NormKind {
    /// γ (x − mean)/√(var + ε) + β (Ba et al. 2016).
    #[default]
    Layer,
    /// γ x/√(mean x² + ε) (Zhang and Sennrich 2019).
    Rms,
    /// x as it is; a kernel that would normalise only looks for NaN and infinity.
    None,
}

impl NormKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Layer, Self::Rms, Self::None];
}

/// γ (x − mean) / √(var + ε) + β, or what else `kind` says, of each row of `width` numbers, in rows `stride` apart; numbers
/// past `width` become zero. `weight` is (2, stride). Returns bit i for row i of at most 32 where it is
/// not finite.
pub fn norm_rows(
    x: &[f32],
    y: &mut [f32],
    stride: usize,
    width: usize,
    kind: NormKind,
    weight: &[f32],
    eps: f32,
) -> u32 {
    struct Work<'a> {
        x: &'a [f32],
        y: &'a mut [f32],
        stride: usize,
        width: usize,
        kind: NormKind,
        weight: &'a [f32],
        eps: f32,
    }
    impl WithSimd for Work<'_> {
        type Output = u32;
        #[inline(always)]
        fn with_simd<S: Simd>(self, s: S) -> u32 {
            let (gamma, beta) = self.weight.split_at(self.stride);
            let n = self.width as f32;
            let mut bad = 0;
            let rows = self.x.chunks_exact(self.stride).zip(self.y.chunks_exact_mut(self.stride));
            for (i, (x, y)) in rows.enumerate() {
                let x = &x[..self.width];
                let mean = match self.kind {
                    NormKind::Layer => {
                        sum(
                            s,
                            x,
                            #[inline(always)]
                            |v| v,
                        ) / n
                    }
                    NormKind::Rms | NormKind::None => 0.0,
                };
                let wide = s.splat_f32s(mean);
                let square = sum(
                    s,
                    x,
                    #[inline(always)]
                    |v| {
                        let d = s.sub_f32s(v, wide);
                        s.mul_f32s(d, d)
                    },
                );
                let scale = 1.0 / (square / n + self.eps).sqrt();
                if self.kind == NormKind::None {
                    y[..self.width].copy_from_slice(x);
                } else {
                    for (((y, x), g), b) in y.iter_mut().zip(x).zip(gamma).zip(beta) {
                        *y = (*x - mean) * scale * g + b;
                    }
                }
                y[self.width..].fill(0.0);
                // x * 0 is NaN where x is not finite, else 0.
                if sum(
                    s,
                    &y[..self.width],
                    #[inline(always)]
                    |v| s.mul_f32s(v, s.splat_f32s(0.0)),
                ) != 0.0
                {
                    bad |= 1_u32 << i;
                }
            }
            bad
        }
    }
    Arch::new().dispatch(Work { x, y, stride, width, kind, weight, eps })
}
