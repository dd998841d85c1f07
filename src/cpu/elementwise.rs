//! Functions of one number after another, written so that the compiler turns them into vector
//! instructions inside `pulp`'s dispatch: exp, the activations, sums and largest numbers.
//!
//! The formulas are those of `shaders/lib/act_*.wgsl`, so both executors round alike.

use pulp::Arch;

use crate::model::spec::Activation;

/// e^x, within 1.5 units in the last place for x in [-87, 88]; clamped outside, so never infinite.
/// Cody and Waite's reduction with the polynomial of Cephes' `expf`.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.0, 88.0);
    // Adding and taking away 1.5 x 2^23 rounds to the nearest whole number.
    const ROUND: f32 = 12_582_912.0;
    let n = (x * std::f32::consts::LOG2_E + ROUND) - ROUND;
    let r = (x - n * 0.693_359_4) + n * 2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 0.166_666_66;
    let p = p * r + 0.5;
    let y = p * (r * r) + r + 1.0;
    // |n| <= 127 and whole, so the cast loses nothing.
    let power = ((n as i32 + 127) << 23) as u32;
    y * f32::from_bits(power)
}

#[inline(always)]
fn gelu(x: f32) -> f32 {
    // x/2 (1 + erf(x/√2)) = max(x, 0) - |x|/2 erfc(|x|/√2); polynomial from shaders/fit/erfc.py.
    let magnitude = x.abs();
    let z = std::f32::consts::FRAC_1_SQRT_2 * magnitude;
    let t = 1.0 / (1.0 + 0.5 * z);
    let p = 0.098_012_23;
    let p = p * t - 0.648_861_7;
    let p = p * t + 1.666_966_6;
    let p = p * t - 1.998_607_6;
    let p = p * t + 0.999_495_8;
    let p = p * t - 0.297_276_17;
    let p = p * t + 0.454_409_93;
    let p = p * t + 0.990_939_6;
    let p = p * t - 1.265_078_7;
    x.max(0.0) - 0.5 * magnitude * t * exp(p - z * z)
}

#[inline(always)]
fn gelu_tanh(x: f32) -> f32 {
    // x/2 (1 + tanh u) = x / (1 + exp(-2u))
    let u = 0.797_884_6 * (x + 0.044_715 * x * x * x);
    x / (1.0 + exp(-2.0 * u))
}

#[inline(always)]
fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

/// `activation` of every number.
pub fn activate(values: &mut [f32], activation: Activation) {
    let each = |values: &mut [f32], f: fn(f32) -> f32| {
        for v in values {
            *v = f(*v);
        }
    };
    match activation {
        Activation::Identity => {}
        Activation::Gelu => Arch::new().dispatch(
            #[inline(always)]
            || {
                for v in values {
                    *v = gelu(*v);
                }
            },
        ),
        Activation::GeluTanh => Arch::new().dispatch(
            #[inline(always)]
            || {
                for v in values {
                    *v = gelu_tanh(*v);
                }
            },
        ),
        Activation::Silu => Arch::new().dispatch(
            #[inline(always)]
            || {
                for v in values {
                    *v = silu(*v);
                }
            },
        ),
        // `max` would take the zero where x is NaN.
        Activation::Relu => each(values, |x| if x < 0.0 { 0.0 } else { x }),
        Activation::Tanh => each(values, f32::tanh),
    }
}

/// Sum of f(x) over the numbers in sixteen interleaved chains: the order depends on the length
/// alone, and the compiler may keep the chains in vector registers.
#[inline(always)]
pub fn sum(values: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let (blocks, rest) = values.as_chunks::<16>();
    let mut chains = [0f32; 16];
    for block in blocks {
        for (chain, &x) in chains.iter_mut().zip(block) {
            *chain += f(x);
        }
    }
    for (chain, &x) in chains.iter_mut().zip(rest) {
        *chain += f(x);
    }
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            chains[i] += chains[i + half];
        }
    }
    chains[0]
}

/// Softmax of each row of `scores` (rows, stride) over its first `n` numbers, scaled by `scale`
/// first (the base is 2 where log₂ e is in the scale); numbers past `n` are left alone.
pub fn softmax2_rows(scores: &mut [f32], stride: usize, n: usize, scale: f32) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for row in scores.chunks_exact_mut(stride) {
                let row = &mut row[..n];
                let mut largest = f32::MIN;
                for &s in row.iter() {
                    largest = largest.max(s);
                }
                // 2^y = e^(y ln 2)
                let scale = scale * std::f32::consts::LN_2;
                for s in row.iter_mut() {
                    *s = exp((*s - largest) * scale);
                }
                let factor = 1.0 / sum(row, |x| x);
                for s in row.iter_mut() {
                    *s *= factor;
                }
            }
        },
    );
}

/// γ (x − mean) / √(var + ε) + β of each row of `width` numbers, in rows `stride` apart; numbers
/// past `width` become zero. `weight` is (2, stride). Returns a row that is not finite, if any.
pub fn norm_rows(
    x: &[f32],
    y: &mut [f32],
    stride: usize,
    width: usize,
    weight: &[f32],
    eps: f32,
) -> Option<usize> {
    let (gamma, beta) = weight.split_at(stride);
    let mut bad = None;
    Arch::new().dispatch(
        #[inline(always)]
        || {
            let rows = x.chunks_exact(stride).zip(y.chunks_exact_mut(stride));
            for (i, (x, y)) in rows.enumerate() {
                let x = &x[..width];
                let mean = sum(x, |v| v) / width as f32;
                let var = sum(x, |v| (v - mean) * (v - mean)) / width as f32;
                let scale = 1.0 / (var + eps).sqrt();
                for (((y, x), g), b) in y.iter_mut().zip(x).zip(gamma).zip(beta) {
                    *y = (*x - mean) * scale * g + b;
                }
                y[width..].fill(0.0);
                // x * 0 is NaN where x is not finite, else 0.
                if sum(&y[..width], |v| v * 0.0) != 0.0 {
                    bad = bad.or(Some(i));
                }
            }
        },
    );
    bad
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_two_units_in_the_last_place() {
        let mut worst = 0f64;
        for i in 0..200_000 {
            let x = -87.0 + i as f32 * (175.0 / 200_000.0);
            let want = f64::from(x).exp();
            let ulp =
                f64::from(f32::from_bits((want as f32).to_bits() + 1)) - f64::from(want as f32);
            worst = worst.max((f64::from(exp(x)) - want).abs() / ulp);
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
            let worst = x
                .iter()
                .zip(&y)
                .map(|(&x, &y)| (f64::from(y) - formula(f64::from(x))).abs())
                .fold(0.0, f64::max);
            assert!(worst <= tolerance, "{activation}: {worst:e} > {tolerance:e}");
        }
        for activation in [Activation::Gelu, Activation::GeluTanh, Activation::Silu] {
            let mut y = [-1e4, -50.0, 0.0, 50.0, 1e4];
            activate(&mut y, activation);
            assert_eq!(y.map(f32::round), [0.0, 0.0, 0.0, 50.0, 1e4], "{activation}");
        }
    }
}
