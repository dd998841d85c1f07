//! How the tokens of a text become rows: the names, what a checkpoint's `1_Pooling` says, and the
//! arithmetic on host rows of one state.
//!
//! Layers are combined before; [`reduce`](super::reduce) puts the two together. The pooler's dense
//! layer is model code and is not here.

mod names;

use std::ops::Range;

use crate::math::pool::pool_into;
pub use crate::math::pool::{PoolMode, pool_rows};
pub use crate::model::pipeline::Pooling;

/// What one row of the result stands for and how it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Pool {
    /// What the checkpoint's `modules.json` and `1_Pooling` say; the mean where there is none.
    #[default]
    Model,
    /// A row a token, special tokens included.
    Tokens,
    /// A row a word of the input text.
    Words(WordPool),
    /// The mean over the tokens, special ones included.
    Mean,
    /// The first token.
    Cls,
    /// The last token.
    Last,
    /// The largest value of each coordinate.
    Max,
    /// The smallest value of each coordinate.
    Min,
    /// `sum / sqrt n`.
    MeanSqrt,
    /// The mean weighted by position 1..=n.
    WeightedMean,
    /// The mean, then the largest values: twice the width (BERT-as-Service `REDUCE_MEAN_MAX`).
    MeanMax,
    /// `tanh(W h_cls + b)` of the last layer.
    Pooler,
}

/// How the tokens of a word become its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum WordPool {
    /// Their mean.
    #[default]
    Mean,
    /// The first one.
    First,
    /// The last one.
    Last,
    /// The first, then the last: twice the width.
    FirstLast,
}

impl Pool {
    /// Width of a row made of tokens of `width`. For [`Pool::Model`] this is `width`; the
    /// checkpoint's pooling may widen: see [`Pooling::widen`].
    pub fn widen(self, width: usize) -> usize {
        match self {
            Self::Words(words) => width * words.modes().len(),
            Self::MeanMax => width * 2,
            _ => width,
        }
    }

    /// The elementary poolings, joined in this order, that make one row of a text; `checkpoint`
    /// answers for [`Pool::Model`]. [`Pool::Pooler`] takes the first token, its dense layer being
    /// the model's. `None` for tokens and words.
    pub fn modes(self, checkpoint: &Pooling) -> Option<Vec<PoolMode>> {
        Some(match self {
            Self::Tokens | Self::Words(_) => return None,
            Self::Model => checkpoint.modes.clone(),
            Self::Mean => vec![PoolMode::Mean],
            Self::Cls | Self::Pooler => vec![PoolMode::Cls],
            Self::Last => vec![PoolMode::Last],
            Self::Max => vec![PoolMode::Max],
            Self::Min => vec![PoolMode::Min],
            Self::MeanSqrt => vec![PoolMode::MeanSqrt],
            Self::WeightedMean => vec![PoolMode::WeightedMean],
            Self::MeanMax => vec![PoolMode::Mean, PoolMode::Max],
        })
    }
}

impl WordPool {
    /// The elementary poolings, joined in this order, over the tokens of a word.
    pub fn modes(self) -> &'static [PoolMode] {
        match self {
            Self::Mean => &[PoolMode::Mean],
            Self::First => &[PoolMode::Cls],
            Self::Last => &[PoolMode::Last],
            Self::FirstLast => &[PoolMode::Cls, PoolMode::Last],
        }
    }
}

/// Pools each word to a row: `rows` is (tokens, `width`), `words` are token ranges. The result is
/// (words, `width` x 1 or 2), a word beyond the tokens or without any being zeros.
pub fn pool_words(mode: WordPool, rows: &[f32], width: usize, words: &[Range<usize>]) -> Vec<f32> {
    let mut out = Vec::with_capacity(words.len() * mode.modes().len() * width);
    for word in words {
        let tokens = rows
            .get(word.start.saturating_mul(width)..word.end.saturating_mul(width))
            .unwrap_or_default();
        mode.modes().iter().for_each(|&mode| pool_into(mode, tokens, width, 0, &mut out));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (4, 2)
    const ROWS: &[f32] = &[1.0, -2.0, 3.0, 0.0, 5.0, 7.0, -1.0, 4.0];

    #[test]
    fn words() {
        let words = [0..1, 1..4];
        let cases = [
            (WordPool::Mean, vec![1.0, -2.0, 7.0 / 3.0, 11.0 / 3.0]),
            (WordPool::First, vec![1.0, -2.0, 3.0, 0.0]),
            (WordPool::Last, vec![1.0, -2.0, -1.0, 4.0]),
            (WordPool::FirstLast, vec![1.0, -2.0, 1.0, -2.0, 3.0, 0.0, -1.0, 4.0]),
        ];
        for (mode, want) in cases {
            assert_eq!(pool_words(mode, ROWS, 2, &words), want, "{mode:?}");
        }
    }

    #[test]
    fn words_beyond_the_text_are_zeros() {
        assert_eq!(pool_words(WordPool::Mean, ROWS, 2, &[3..9, 0..0]), [0.0; 4]);
    }

    #[test]
    fn widths_are_those_of_the_modes() {
        let checkpoint = Pooling::default();
        for pool in Pool::ALL {
            let modes = match pool {
                Pool::Words(words) => words.modes().len(),
                Pool::Tokens => 1,
                _ => pool.modes(&checkpoint).unwrap().len(),
            };
            assert_eq!(pool.widen(384), 384 * modes, "{pool}");
        }
    }
}
