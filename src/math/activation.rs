//! The functions between two products, on whole vector registers.
//!
//! The formulas are those of `shaders/lib/act_*.wgsl`, so both executors round alike. Each number
//! of a result depends on its own input alone.

use std::fmt;

use pulp::{Arch, Simd, WithSimd};

use super::simd::{exp, map};

/// The function between the two products of a feed-forward layer, each computed exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Activation {
    /// x.
    #[default]
    Identity,
    /// GELU with the error function: x/2 (1 + erf(x/√2)) (Hendrycks and Gimpel 2016, eq. 1).
    Gelu,
    /// GELU's tanh form: x/2 (1 + tanh(√(2/π)(x + 0.044715 x³))) (the same paper, section 2).
    GeluTanh,
    /// max(x, 0).
    Relu,
    /// x / (1 + exp(-x)).
    Silu,
    /// tanh(x), the pooler's.
    Tanh,
}

impl Activation {
    /// Every activation.
    pub const ALL: [Self; 6] =
        [Self::Identity, Self::Gelu, Self::GeluTanh, Self::Relu, Self::Silu, Self::Tanh];

    /// The names of `hidden_act` that are computed (`transformers/activations.py`, `ACT2CLS`). Those
    /// of GELU's tanh form differ in the order of the operations and in digits of √(2/π) that f32 does
    /// not hold.
    pub const NAMES: [(&str, Self); 12] = [
        ("gelu", Self::Gelu),
        ("gelu_python", Self::Gelu),
        ("gelu_new", Self::GeluTanh),
        ("gelu_fast", Self::GeluTanh),
        ("gelu_accurate", Self::GeluTanh),
        ("gelu_pytorch_tanh", Self::GeluTanh),
        ("gelu_python_tanh", Self::GeluTanh),
        ("relu", Self::Relu),
        ("silu", Self::Silu),
        ("swish", Self::Silu),
        ("tanh", Self::Tanh),
        ("linear", Self::Identity),
    ];

    /// The activation that Transformers calls `name`; `None` for one that is not computed here.
    pub fn from_config(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, activation)| *activation)
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identity => "identity",
            Self::Gelu => "gelu",
            Self::GeluTanh => "gelu-tanh",
            Self::Relu => "relu",
            Self::Silu => "silu",
            Self::Tanh => "tanh",
        })
    }
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
