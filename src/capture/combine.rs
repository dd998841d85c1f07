//! How several hidden states become one, token by token: the grammar, the coefficients, and the
//! sum on the host.
//!
//! Combining comes first, before any pooling. Nothing here knows about tokens: a state is a list of
//! numbers, and coordinate i of the result depends on coordinate i of every state.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result, fail};
use crate::math::pool::larger;
use crate::quote::quote;
use crate::words::{plain, unknown};

/// What is done with the chosen hidden states.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Combine {
    /// Keep the layer axis.
    #[default]
    Stack,
    /// `sum h / n`.
    Mean,
    /// `sum h`.
    Sum,
    /// The largest value of each coordinate.
    Max,
    /// The states one after the other: width x layers.
    Concat,
    /// `sum w h / sum w`, one weight a chosen layer.
    Weighted(Vec<f32>),
    /// `gamma sum softmax(w) h`: AllenNLP's `ScalarMix` without its layer norm, as Flair's.
    ScalarMix {
        /// One a chosen layer, before the softmax.
        weights: Vec<f32>,
        /// The factor of the whole sum.
        gamma: f32,
    },
}

impl Combine {
    /// Whether `layers` chosen layers can be combined like this.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) where the number of weights is not `layers`, a
    /// weight or gamma is not finite, or the weights of `weighted` add up to zero.
    pub fn check(&self, layers: usize) -> Result<()> {
        let (weights, gamma) = match self {
            Self::Weighted(weights) => (weights, 1.0),
            Self::ScalarMix { weights, gamma } => (weights, *gamma),
            _ => return Ok(()),
        };
        if weights.len() != layers {
            return Err(fail!(
                Usage,
                "combine `{}` has {} weights for {layers} layers: give one weight per layer",
                self.quoted(),
                weights.len()
            ));
        }
        if let Some(bad) = weights.iter().chain([&gamma]).find(|w| !w.is_finite()) {
            let said = self.quoted();
            return Err(fail!(Usage, "combine `{said}`: {bad} is not a finite number"));
        }
        if matches!(self, Self::Weighted(_)) && sum(weights) == 0.0 {
            return Err(fail!(
                Usage,
                "combine `{}`: the weights add up to 0 and the sum is divided by that; use `sum`, or \
                 weights that do not cancel",
                self.quoted()
            ));
        }
        Ok(())
    }

    /// The factor of each of `layers` states, where the combination is a sum of them; `None` for
    /// stack, max and concat. Computed in f64. [`Combine::check`] comes before.
    pub fn coefficients(&self, layers: usize) -> Option<Vec<f64>> {
        match self {
            Self::Stack | Self::Max | Self::Concat => None,
            Self::Mean => Some(vec![1.0 / layers as f64; layers]),
            Self::Sum => Some(vec![1.0; layers]),
            Self::Weighted(weights) => {
                let total = sum(weights);
                Some(weights.iter().map(|&w| f64::from(w) / total).collect())
            }
            Self::ScalarMix { weights, gamma } => {
                let top = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let powers: Vec<f64> =
                    weights.iter().map(|&w| (f64::from(w) - f64::from(top)).exp()).collect();
                let total: f64 = powers.iter().sum();
                Some(powers.iter().map(|p| f64::from(*gamma) * p / total).collect())
            }
        }
    }

    /// Rows of the layer axis that come out of `layers` layers.
    pub fn layer_axis(&self, layers: usize) -> usize {
        if *self == Self::Stack { layers } else { 1 }
    }

    /// Width of a combined token, of `layers` states of `width`.
    pub fn widen(&self, width: usize, layers: usize) -> usize {
        if *self == Self::Concat { width * layers } else { width }
    }

    /// How it is written, for a message: there may be any number of weights.
    pub(crate) fn quoted(&self) -> String {
        quote(self.to_string())
    }

    /// The one state that a linear combination or `max` makes of `states`, all of one length;
    /// sums in f64. `None` for stack and concat, which keep the states apart.
    pub fn apply(&self, states: &[&[f32]]) -> Option<Vec<f32>> {
        let (first, rest) = states.split_first()?;
        if *self == Self::Max {
            let mut out = first.to_vec();
            for state in rest {
                out.iter_mut().zip(*state).for_each(|(a, &b)| *a = larger(*a, b));
            }
            return Some(out);
        }
        let coefficients = self.coefficients(states.len())?;
        let mut acc = vec![0f64; first.len()];
        for (state, c) in states.iter().zip(coefficients) {
            acc.iter_mut().zip(*state).for_each(|(a, &h)| *a += c * f64::from(h));
        }
        Some(acc.iter().map(|&a| a as f32).collect())
    }
}

fn sum(weights: &[f32]) -> f64 {
    weights.iter().map(|&w| f64::from(w)).sum()
}

impl FromStr for Combine {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        let (name, weights) = match text.split_once('=') {
            Some((name, weights)) => (plain(name), Some(weights)),
            None => (plain(text), None),
        };
        match (name.as_str(), weights) {
            ("stack", None) => Ok(Self::Stack),
            ("mean", None) => Ok(Self::Mean),
            ("sum", None) => Ok(Self::Sum),
            ("max", None) => Ok(Self::Max),
            ("concat", None) => Ok(Self::Concat),
            ("weighted", Some(weights)) => numbers(text, weights).map(Self::Weighted),
            ("scalar-mix", Some(rest)) => {
                let (weights, gamma) = match rest.split_once(';') {
                    Some((weights, gamma)) => (weights, number(text, gamma)?),
                    None => (rest, 1.0),
                };
                Ok(Self::ScalarMix { weights: numbers(text, weights)?, gamma })
            }
            ("weighted" | "scalar-mix", None) => {
                let text = quote(text);
                Err(fail!(
                    Usage,
                    "combine `{text}` needs one weight per layer, such as `{name}=1,2,1`"
                ))
            }
            ("stack" | "mean" | "sum" | "max" | "concat", Some(_)) => {
                let text = quote(text);
                Err(fail!(Usage, "combine `{text}`: `{name}` takes no weights"))
            }
            _ => Err(unknown("combine", text, &NAMES)),
        }
    }
}

/// How a combination is written.
const NAMES: [&str; 7] =
    ["stack", "mean", "sum", "max", "concat", "weighted=w0,w1,..", "scalar-mix=w0,w1,..[;gamma]"];

fn numbers(whole: &str, list: &str) -> Result<Vec<f32>> {
    list.split(',').map(|item| number(whole, item)).collect()
}

fn number(whole: &str, text: &str) -> Result<f32> {
    match text.trim().parse::<f32>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => {
            let (whole, text) = (quote(whole), quote(text));
            Err(fail!(Usage, "combine `{whole}`: `{text}` is not a finite number"))
        }
    }
}

impl fmt::Display for Combine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, weights) = match self {
            Self::Stack => return f.write_str("stack"),
            Self::Mean => return f.write_str("mean"),
            Self::Sum => return f.write_str("sum"),
            Self::Max => return f.write_str("max"),
            Self::Concat => return f.write_str("concat"),
            Self::Weighted(weights) => ("weighted", weights),
            Self::ScalarMix { weights, .. } => ("scalar-mix", weights),
        };
        for (i, weight) in weights.iter().enumerate() {
            if i == 0 { write!(f, "{name}={weight}")? } else { write!(f, ",{weight}")? }
        }
        match self {
            Self::ScalarMix { gamma, .. } if *gamma != 1.0 => write!(f, ";{gamma}"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::ErrorKind;

    const A: &[f32] = &[1.0, 2.0, -3.0];
    const B: &[f32] = &[3.0, 0.0, -5.0];

    #[test]
    fn hand_computed() {
        let mix = Combine::ScalarMix { weights: vec![0.0, 3f32.ln()], gamma: 2.0 };
        let cases: Vec<(Combine, [f32; 3])> = vec![
            (Combine::Mean, [2.0, 1.0, -4.0]),
            (Combine::Sum, [4.0, 2.0, -8.0]),
            (Combine::Max, [3.0, 2.0, -3.0]),
            (Combine::Weighted(vec![3.0, 1.0]), [1.5, 1.5, -3.5]),
            (Combine::Weighted(vec![-1.0, 2.0]), [5.0, -2.0, -7.0]),
            (mix, [5.0, 1.0, -9.0]),
        ];
        for (i, (combine, want)) in cases.iter().enumerate() {
            combine.check(2).unwrap();
            let got = combine.apply(&[A, B]).unwrap();
            let close = got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-5);
            assert!(close, "{i}: {combine}: got {got:?}, want {want:?}");
        }
        assert_eq!(Combine::Stack.apply(&[A, B]), None);
        assert_eq!(Combine::Concat.apply(&[A, B]), None);
        assert_eq!(Combine::Mean.apply(&[]), None);
        assert!(Combine::Max.apply(&[&[f32::NAN], &[1.0]]).unwrap()[0].is_nan());
    }

    #[test]
    fn softmax_of_large_weights_stays_finite() {
        let mix = Combine::ScalarMix { weights: vec![3e38, 3e38, -3e38], gamma: 1.0 };
        assert_eq!(mix.coefficients(3).unwrap(), [0.5, 0.5, 0.0]);
    }

    #[test]
    fn checks() {
        let bad = [
            (Combine::Weighted(vec![1.0]), 2, "1 weights for 2 layers"),
            (Combine::Weighted(vec![]), 1, "0 weights for 1 layers"),
            (Combine::Weighted(vec![1.0, -1.0]), 2, "add up to 0"),
            (Combine::Weighted(vec![f32::NAN, 1.0]), 2, "NaN"),
            (Combine::ScalarMix { weights: vec![0.0; 3], gamma: 1.0 }, 2, "3 weights"),
            (Combine::ScalarMix { weights: vec![0.0], gamma: f32::INFINITY }, 1, "inf"),
        ];
        for (i, (combine, layers, want)) in bad.iter().enumerate() {
            let error = combine.check(*layers).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.to_string().contains(want), "{i}: got `{error}`, want `{want}`");
        }
        Combine::ScalarMix { weights: vec![1.0, -1.0], gamma: 0.0 }.check(2).unwrap();
    }

    #[test]
    fn words() {
        let good = [
            ("weighted=1,2.5,-3e2", Combine::Weighted(vec![1.0, 2.5, -300.0])),
            ("weighted=1", Combine::Weighted(vec![1.0])),
            ("scalar-mix=0,1", Combine::ScalarMix { weights: vec![0.0, 1.0], gamma: 1.0 }),
            ("scalar-mix=0, 1; 0.5", Combine::ScalarMix { weights: vec![0.0, 1.0], gamma: 0.5 }),
            (" concat ", Combine::Concat),
            ("Mean", Combine::Mean),
            ("scalar_mix=1", Combine::ScalarMix { weights: vec![1.0], gamma: 1.0 }),
        ];
        for (text, want) in good {
            assert_eq!(text.parse::<Combine>().unwrap(), want, "{text}");
        }
        let bad = [
            "",
            "average",
            "mean=1",
            "weighted",
            "weighted=",
            "weighted=1,",
            "weighted=a",
            "weighted=nan",
            "weighted=1;2",
            "scalar-mix=",
            "scalar-mix=1;",
            "scalar-mix=1;inf",
            "scalar-mix=1;2;3",
            "weighted=1e39",
        ];
        for text in bad {
            let got = text.parse::<Combine>();
            assert!(
                matches!(&got, Err(e) if e.kind() == ErrorKind::Usage),
                "`{text}`: got {got:?}"
            );
        }
    }

    fn finite() -> impl Strategy<Value = f32> {
        any::<f32>().prop_filter("finite", |x| x.is_finite())
    }

    fn combine() -> impl Strategy<Value = Combine> {
        prop_oneof![
            prop::sample::select(vec![
                Combine::Stack,
                Combine::Mean,
                Combine::Sum,
                Combine::Max,
                Combine::Concat
            ]),
            prop::collection::vec(finite(), 1..5).prop_map(Combine::Weighted),
            (prop::collection::vec(finite(), 1..5), finite())
                .prop_map(|(weights, gamma)| Combine::ScalarMix { weights, gamma }),
        ]
    }

    proptest! {
        #[test]
        fn written_and_read_back(combine in combine()) {
            prop_assert_eq!(combine.to_string().parse::<Combine>().unwrap(), combine);
        }
    }
}
