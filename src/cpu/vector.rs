//! exp, the activations, sums and softmax on whole vector registers, by the crate `pulp`.
//!
//! The formulas are those of `shaders/lib/act_*.wgsl`, so both executors round alike. Each number
//! of a result depends on its own input alone (a sum: on its row alone), so a text's bits do not
//! depend on where its rows fall.

use pulp::{Arch, Simd, WithSimd};

use crate::model::spec::{Activation, NormKind};

/// Loads one register from the start of `x`.
#[inline(always)]
pub fn load<S: Simd>(_: S, x: &[f32]) -> S::f32s {
    bytemuck::pod_read_unaligned(bytemuck::cast_slice(&x[..S::F32_LANES]))
}

/// f of every number; the last register is filled up with zeros.
#[inline(always)]
fn map<S: Simd>(simd: S, values: &mut [f32], f: impl Fn(S::f32s) -> S::f32s) {
    let mut blocks = values.chunks_exact_mut(S::F32_LANES);
    for block in &mut blocks {
        let y = f(load(simd, block));
        block.copy_from_slice(bytemuck::cast_slice(&[y]));
    }
    let rest = blocks.into_remainder();
    if !rest.is_empty() {
        let y = f(simd.partial_load_f32s(rest));
        rest.copy_from_slice(&bytemuck::cast_slice(&[y])[..rest.len()]);
    }
}

/// e^x, within 2 units in the last place for x in [-87, 88]; clamped outside, so never infinite.
/// Cody and Waite's reduction with the polynomial of Cephes' `expf`.
#[inline(always)]
fn exp<S: Simd>(s: S, x: S::f32s) -> S::f32s {
    // NaN may be lost here; what calls this keeps it.
    let x = s.min_f32s(s.splat_f32s(88.0), s.max_f32s(s.splat_f32s(-87.0), x));
    // Adding 1.5 x 2^23 rounds to a whole number n, which then stands in the low bits.
    let shifted =
        s.mul_add_e_f32s(x, s.splat_f32s(std::f32::consts::LOG2_E), s.splat_f32s(12_582_912.0));
    let n = s.sub_f32s(shifted, s.splat_f32s(12_582_912.0));
    let r = s.mul_add_e_f32s(n, s.splat_f32s(-0.693_359_4), x);
    let r = s.mul_add_e_f32s(n, s.splat_f32s(2.121_944_4e-4), r);
    let p = s.splat_f32s(1.987_569_1e-4);
    let p = s.mul_add_e_f32s(p, r, s.splat_f32s(1.398_199_9e-3));
    let p = s.mul_add_e_f32s(p, r, s.splat_f32s(8.333_452e-3));
    let p = s.mul_add_e_f32s(p, r, s.splat_f32s(4.166_579_6e-2));
    let p = s.mul_add_e_f32s(p, r, s.splat_f32s(0.166_666_66));
    let p = s.mul_add_e_f32s(p, r, s.splat_f32s(0.5));
    let y = s.add_f32s(s.mul_add_e_f32s(p, s.mul_f32s(r, r), r), s.splat_f32s(1.0));
    let bits = s.wrapping_dyn_shl_u32s(s.transmute_u32s_f32s(shifted), s.splat_u32s(23));
    let power = s.transmute_f32s_u32s(s.add_u32s(bits, s.splat_u32s(0x3f80_0000)));
    s.mul_f32s(y, power)
}

/// x/2 (1 + erf(x/√2)) = max(x, 0) - |x|/2 erfc(|x|/√2); polynomial from shaders/fit/erfc.py.
#[inline(always)]
fn gelu<S: Simd>(s: S, x: S::f32s) -> S::f32s {
    let magnitude = s.abs_f32s(x);
    let z = s.mul_f32s(magnitude, s.splat_f32s(std::f32::consts::FRAC_1_SQRT_2));
    let t =
        s.div_f32s(s.splat_f32s(1.0), s.mul_add_e_f32s(z, s.splat_f32s(0.5), s.splat_f32s(1.0)));
    let p = s.splat_f32s(0.098_012_23);
    let p = s.mul_add_e_f32s(p, t, s.splat_f32s(-0.648_861_7));
    let p = s.mul_add_e_f32s(p, t, s.splat_f32s(1.666_966_6));
    let p = s.mul_add_e_f32s(p, t, s.splat_f32s(-1.998_607_6));
    let p = s.mul_add_e_f32s(p, t, s.splat_f32s(0.999_495_8));
    let p = s.mul_add_e_f32s(p, t, s.splat_f32s(-0.297_276_17));
    let p = s.mul_add_e_f32s(p, t, s.splat_f32s(0.454_409_93));
    let p = s.mul_add_e_f32s(p, t, s.splat_f32s(0.990_939_6));
    let p = s.mul_add_e_f32s(p, t, s.splat_f32s(-1.265_078_7));
    let tail = exp(s, s.sub_f32s(p, s.mul_f32s(z, z)));
    let half = s.mul_f32s(s.mul_f32s(s.splat_f32s(0.5), magnitude), t);
    // (x + |x|)/2 is max(x, 0), exactly, and NaN where x is.
    let positive = s.mul_f32s(s.splat_f32s(0.5), s.add_f32s(x, magnitude));
    s.sub_f32s(positive, s.mul_f32s(half, tail))
}

/// x/2 (1 + tanh u) = x / (1 + exp(-2u)), u = √(2/π)(x + 0.044715 x³).
#[inline(always)]
fn gelu_tanh<S: Simd>(s: S, x: S::f32s) -> S::f32s {
    let cubic = s.mul_f32s(s.mul_f32s(s.mul_f32s(s.splat_f32s(0.044_715), x), x), x);
    let u = s.mul_f32s(s.splat_f32s(-2.0 * 0.797_884_6), s.add_f32s(x, cubic));
    s.div_f32s(x, s.add_f32s(s.splat_f32s(1.0), exp(s, u)))
}

/// x / (1 + exp(-x)).
#[inline(always)]
fn silu<S: Simd>(s: S, x: S::f32s) -> S::f32s {
    let below = exp(s, s.neg_f32s(x));
    s.div_f32s(x, s.add_f32s(s.splat_f32s(1.0), below))
}

/// `activation` of every number.
pub fn activate(values: &mut [f32], activation: Activation) {
    struct Work<'a>(&'a mut [f32], Activation);
    impl WithSimd for Work<'_> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, s: S) {
            match self.1 {
                Activation::Gelu => map(
                    s,
                    self.0,
                    #[inline(always)]
                    |x| gelu(s, x),
                ),
                Activation::GeluTanh => map(
                    s,
                    self.0,
                    #[inline(always)]
                    |x| gelu_tanh(s, x),
                ),
                Activation::Silu => map(
                    s,
                    self.0,
                    #[inline(always)]
                    |x| silu(s, x),
                ),
                // (x + |x|)/2 is max(x, 0), exactly, and NaN where x is, as in PyTorch.
                Activation::Relu => map(
                    s,
                    self.0,
                    #[inline(always)]
                    |x| s.mul_f32s(s.splat_f32s(0.5), s.add_f32s(x, s.abs_f32s(x))),
                ),
                Activation::Identity => {}
                Activation::Tanh => self.0.iter_mut().for_each(|x| *x = x.tanh()),
            }
        }
    }
    Arch::new().dispatch(Work(values, activation));
}

/// Sum of f(x) over the numbers: a register of chains, then the tail. The order depends on the
/// length alone.
#[inline(always)]
fn sum<S: Simd>(s: S, values: &[f32], f: impl Fn(S::f32s) -> S::f32s) -> f32 {
    let mut chains = s.splat_f32s(0.0);
    let blocks = values.chunks_exact(S::F32_LANES);
    let rest = blocks.remainder();
    for block in blocks {
        chains = s.add_f32s(chains, f(load(s, block)));
    }
    let mut total = s.reduce_sum_f32s(chains);
    let filled = f(s.partial_load_f32s(rest));
    for y in bytemuck::cast_slice::<S::f32s, f32>(&[filled]).iter().take(rest.len()) {
        total += y;
    }
    total
}

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

#[cfg(test)]
mod tests {
    use super::*;

    /// exp of each number, through the vector code.
    fn exp_of(mut x: Vec<f32>) -> Vec<f32> {
        struct Work<'a>(&'a mut [f32]);
        impl WithSimd for Work<'_> {
            type Output = ();
            fn with_simd<S: Simd>(self, s: S) {
                map(
                    s,
                    self.0,
                    #[inline(always)]
                    |x| exp(s, x),
                );
            }
        }
        Arch::new().dispatch(Work(&mut x));
        x
    }

    #[test]
    fn exp_is_within_two_units_in_the_last_place() {
        let x: Vec<f32> = (0..200_001).map(|i| -87.0 + i as f32 * (175.0 / 200_000.0)).collect();
        let mut worst = 0f64;
        for (x, y) in x.iter().zip(exp_of(x.clone())) {
            let want = f64::from(*x).exp();
            let next = f32::from_bits((want as f32).to_bits() + 1);
            let unit = f64::from(next) - f64::from(want as f32);
            worst = worst.max((f64::from(y) - want).abs() / unit);
        }
        assert!(worst < 2.0, "{worst} units");
    }

    #[test]
    fn activations_are_those_of_their_formulas() {
        // The reference is f64; erf by its Maclaurin series (DLMF 7.6.1), exact for |x| <= 4.
        let erf = |x: f64| {
            let (mut term, mut total) = (x, x);
            for n in 1..200 {
                term *= -x * x / f64::from(n);
                total += term / f64::from(2 * n + 1);
            }
            total * 2.0 / std::f64::consts::PI.sqrt()
        };
        type Case<'a> = (Activation, &'a dyn Fn(f64) -> f64, f64);
        let cases: [Case<'_>; 5] = [
            (Activation::Gelu, &|x| x / 2.0 * (1.0 + erf(x / 2f64.sqrt())), 2.5e-7),
            (
                Activation::GeluTanh,
                &|x| {
                    let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
                    x / 2.0 * (1.0 + u.tanh())
                },
                5e-7,
            ),
            (Activation::Silu, &|x| x / (1.0 + (-x).exp()), 5e-7),
            (Activation::Relu, &|x| x.max(0.0), 0.0),
            (Activation::Tanh, &f64::tanh, 1e-7),
        ];
        for (activation, formula, tolerance) in cases {
            let x: Vec<f32> = (-400..=400).map(|i| i as f32 / 100.0).collect();
            let mut y = x.clone();
            activate(&mut y, activation);
            let error = |(&x, &y): (&f32, &f32)| (f64::from(y) - formula(f64::from(x))).abs();
            let worst = x.iter().zip(&y).map(error).fold(0.0, f64::max);
            assert!(worst <= tolerance, "{activation}: {worst:e} > {tolerance:e}");
        }
        for activation in [Activation::Gelu, Activation::GeluTanh, Activation::Silu] {
            let mut y = [-1e4, -50.0, 0.0, 50.0, 1e4];
            activate(&mut y, activation);
            assert_eq!(y.map(f32::round), [0.0, 0.0, 0.0, 50.0, 1e4], "{activation}");
        }
    }

    #[test]
    fn nan_stays_nan() {
        use Activation::{Gelu, GeluTanh, Relu, Silu, Tanh};
        for activation in [Gelu, GeluTanh, Relu, Silu, Tanh] {
            let mut y = [1.0, f32::NAN, 2.0];
            activate(&mut y, activation);
            assert!(y[1].is_nan() && y[0] > 0.0 && y[2] > 0.0, "{activation}: {y:?}");
        }
    }

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
