//! The host path for one text: the token rows of every chosen layer become the rows of the result.
//!
//! This is the *stream* route, and the reference for what the device does on the *fold* route.
//! Layers are combined first, tokens pooled after; what follows a pooling (Dense, normalise,
//! dimensions, precision) is in [`vector`](crate::math::vector) and [`precision`](super::precision).

use std::ops::Range;

use super::combine::Combine;
use super::pool::{PoolMode, WordPool};
use crate::error::{Result, fail};
use crate::math::pool::pool_into;

/// What becomes of the tokens of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduction<'a> {
    /// A row a token.
    Tokens,
    /// A row a word.
    Words {
        /// How the tokens of a word are pooled.
        mode: WordPool,
        /// The tokens of each word.
        words: &'a [Range<usize>],
    },
    /// One row.
    Text {
        /// Joined in this order.
        modes: &'a [PoolMode],
        /// Tokens at the start that are left out: those of a prompt that is not to be pooled.
        skip: usize,
    },
}

/// The rows of one text.
#[derive(Debug, Clone, PartialEq)]
pub struct Reduced {
    /// (`layer_axis`, `rows`, `width`)
    pub values: Vec<f32>,
    /// Layers that are kept apart; 1 where they were combined.
    pub layer_axis: usize,
    /// Tokens, words, or 1.
    pub rows: usize,
    /// Numbers of a row.
    pub width: usize,
}

/// Reduces one text. `states` holds one (tokens, `width`) slice a chosen layer, in the caller's
/// order. What a device has combined already is passed as one state with [`Combine::Stack`].
///
/// With [`Combine::Concat`] a token is (layers x `width`) wide before it is pooled, so a joined
/// pooling such as mean-max is the mean over all layers, then the maximum over all layers.
///
/// # Errors
/// [`ErrorKind::Usage`](crate::ErrorKind::Usage) for weights that do not fit the layers
/// ([`Combine::check`]), states of different sizes, or a word outside the text;
/// [`ErrorKind::Text`](crate::ErrorKind::Text) where no token is left to pool.
pub fn reduce_text(
    states: &[&[f32]],
    width: usize,
    combine: &Combine,
    how: &Reduction<'_>,
) -> Result<Reduced> {
    combine.check(states.len())?;
    let tokens = token_count(states, width)?;
    let (spans, modes) = match *how {
        Reduction::Tokens => ((0..tokens).map(|i| i..i + 1).collect(), [PoolMode::Cls].as_slice()),
        Reduction::Words { mode, words } => {
            if let Some((i, word)) =
                words.iter().enumerate().find(|(_, w)| w.is_empty() || w.end > tokens)
            {
                let Range { start, end } = *word;
                return Err(fail!(
                    Usage,
                    "word {i} covers tokens {start}..{end} of a text of {tokens} tokens"
                ));
            }
            (words.to_vec(), mode.modes())
        }
        Reduction::Text { modes, skip } => {
            if skip >= tokens {
                return Err(fail!(
                    Text,
                    "no token is left to pool: the text has {tokens} tokens and the prompt takes {skip}; \
                     shorten the prompt or raise the token limit"
                ));
            }
            (vec![Range { start: skip, end: tokens }], modes)
        }
    };

    let combined = combine.apply(states);
    let one = combined.as_deref().map(|state| [state]);
    // Each group becomes one row of the layer axis, its states joined within a mode.
    let groups: Vec<&[&[f32]]> = match &one {
        Some(state) => vec![state.as_slice()],
        None if *combine == Combine::Concat => vec![states],
        None => states.chunks(1).collect(),
    };

    let wide = combine.widen(width, states.len()) * modes.len();
    let mut values = Vec::with_capacity(groups.len() * spans.len() * wide);
    for group in &groups {
        for span in &spans {
            for &mode in modes {
                for state in *group {
                    let rows = &state[span.start * width..span.end * width];
                    pool_into(mode, rows, width, span.start, &mut values);
                }
            }
        }
    }
    Ok(Reduced { values, layer_axis: groups.len(), rows: spans.len(), width: wide })
}

/// Tokens of the text, from states that must all be (tokens, `width`).
fn token_count(states: &[&[f32]], width: usize) -> Result<usize> {
    let Some(first) = states.first() else {
        return Err(fail!(Usage, "no layer was given to reduce"));
    };
    if width == 0 || first.len() % width != 0 {
        return Err(fail!(
            Usage,
            "a state of {} numbers is not a list of tokens of width {width}",
            first.len()
        ));
    }
    if let Some((i, state)) = states.iter().enumerate().find(|(_, s)| s.len() != first.len()) {
        return Err(fail!(
            Usage,
            "state {i} has {} numbers, the first has {}",
            state.len(),
            first.len()
        ));
    }
    Ok(first.len() / width)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    /// Two layers of three tokens of width 2.
    const A: &[f32] = &[1.0, 2.0, 3.0, 4.0, 5.0, 0.0];
    const B: &[f32] = &[10.0, 20.0, 30.0, 40.0, 50.0, 0.0];
    const MEAN: Reduction<'_> = Reduction::Text { modes: &[PoolMode::Mean], skip: 0 };
    const MEAN_MAX: Reduction<'_> =
        Reduction::Text { modes: &[PoolMode::Mean, PoolMode::Max], skip: 0 };

    #[test]
    fn shapes_and_values() {
        let word = [0..1, 1..3];
        let first_last = Reduction::Words { mode: WordPool::FirstLast, words: &word };
        type Case<'a> = (Combine, Reduction<'a>, (usize, usize, usize), &'a [f32]);
        let cases: &[Case<'_>] = &[
            (Combine::Stack, MEAN, (2, 1, 2), &[3.0, 2.0, 30.0, 20.0]),
            (Combine::Mean, MEAN, (1, 1, 2), &[16.5, 11.0]),
            (Combine::Max, MEAN, (1, 1, 2), &[30.0, 20.0]),
            (Combine::Concat, MEAN, (1, 1, 4), &[3.0, 2.0, 30.0, 20.0]),
            (Combine::Stack, MEAN_MAX, (2, 1, 4), &[3.0, 2.0, 5.0, 4.0, 30.0, 20.0, 50.0, 40.0]),
            // The mean over all layers, then the maximum over all layers.
            (Combine::Concat, MEAN_MAX, (1, 1, 8), &[3.0, 2.0, 30.0, 20.0, 5.0, 4.0, 50.0, 40.0]),
            (
                Combine::Stack,
                Reduction::Text { modes: &[PoolMode::Cls], skip: 1 },
                (2, 1, 2),
                &[3.0, 4.0, 30.0, 40.0],
            ),
            (
                Combine::Weighted(vec![1.0, 0.0]),
                Reduction::Text { modes: &[PoolMode::WeightedMean], skip: 1 },
                (1, 1, 2),
                &[21.0 / 5.0, 8.0 / 5.0],
            ),
            (Combine::Sum, Reduction::Tokens, (1, 3, 2), &[11.0, 22.0, 33.0, 44.0, 55.0, 0.0]),
            (
                Combine::Concat,
                Reduction::Tokens,
                (1, 3, 4),
                &[1.0, 2.0, 10.0, 20.0, 3.0, 4.0, 30.0, 40.0, 5.0, 0.0, 50.0, 0.0],
            ),
            (
                Combine::Concat,
                first_last,
                (1, 2, 8),
                &[
                    1.0, 2.0, 10.0, 20.0, 1.0, 2.0, 10.0, 20.0, 3.0, 4.0, 30.0, 40.0, 5.0, 0.0,
                    50.0, 0.0,
                ],
            ),
            (Combine::Sum, Reduction::Words { mode: WordPool::Mean, words: &[] }, (1, 0, 2), &[]),
        ];
        for (i, (combine, how, shape, want)) in cases.iter().enumerate() {
            let got = reduce_text(&[A, B], 2, combine, how).unwrap();
            assert_eq!((got.layer_axis, got.rows, got.width), *shape, "{i}: {combine} {how:?}");
            assert_eq!(got.values, *want, "{i}: {combine} {how:?}");
        }
        let tokens = reduce_text(&[A, B], 2, &Combine::Stack, &Reduction::Tokens).unwrap();
        assert_eq!((tokens.layer_axis, tokens.rows, tokens.width), (2, 3, 2));
        assert_eq!(tokens.values, [A, B].concat());
    }

    #[test]
    fn concat_is_tokens_joined_first_then_pooled() {
        let joined: Vec<f32> =
            A.chunks(2).zip(B.chunks(2)).flat_map(|(a, b)| [a, b].concat()).collect();
        let words = [0..2, 2..3];
        let hows = [
            MEAN,
            MEAN_MAX,
            Reduction::Tokens,
            Reduction::Text {
                modes: &[PoolMode::WeightedMean, PoolMode::Last, PoolMode::MeanSqrt],
                skip: 1,
            },
            Reduction::Words { mode: WordPool::FirstLast, words: &words },
        ];
        for how in hows {
            let at_once = reduce_text(&[A, B], 2, &Combine::Concat, &how).unwrap();
            let one_state = reduce_text(&[&joined], 4, &Combine::Stack, &how).unwrap();
            assert_eq!(at_once, one_state, "{how:?}");
        }
    }

    #[test]
    fn refusals() {
        let far = [0..1, 0..4];
        let none = [0..1, 1..1];
        type Case<'a> = (&'a [&'a [f32]], usize, Combine, Reduction<'a>, ErrorKind);
        let cases: &[Case<'_>] = &[
            (&[], 2, Combine::Stack, MEAN, ErrorKind::Usage),
            (&[A], 0, Combine::Stack, MEAN, ErrorKind::Usage),
            (&[A], 4, Combine::Stack, MEAN, ErrorKind::Usage),
            (&[A, &B[..4]], 2, Combine::Mean, MEAN, ErrorKind::Usage),
            (&[A, B], 2, Combine::Weighted(vec![1.0]), MEAN, ErrorKind::Usage),
            (
                &[A],
                2,
                Combine::Stack,
                Reduction::Words { mode: WordPool::Mean, words: &far },
                ErrorKind::Usage,
            ),
            (
                &[A],
                2,
                Combine::Stack,
                Reduction::Words { mode: WordPool::Mean, words: &none },
                ErrorKind::Usage,
            ),
            (
                &[A],
                2,
                Combine::Stack,
                Reduction::Text { modes: &[PoolMode::Max], skip: 3 },
                ErrorKind::Text,
            ),
            (&[&[]], 2, Combine::Stack, MEAN, ErrorKind::Text),
        ];
        for (i, (states, width, combine, how, kind)) in cases.iter().enumerate() {
            let got = reduce_text(states, *width, combine, how);
            assert!(matches!(&got, Err(e) if e.kind() == *kind), "{i}: got {got:?}, want {kind:?}");
        }
    }
}
