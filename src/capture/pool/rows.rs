//! The elementary poolings over host rows: slices of (n, width), sums in f64.
//!
//! Formulas: sentence-transformers 6.2.0 `sentence_transformer/modules/pooling.py`,
//! `Pooling._forward_padded`, for one text without padding.

use std::ops::Range;

use super::{PoolMode, WordPool};
use crate::capture::combine::larger;

/// Pools all of `rows`, (n, `width`), to one row of `width`; of no rows, zeros.
pub fn pool_rows(mode: PoolMode, rows: &[f32], width: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(width);
    pool_into(mode, rows, width, 0, &mut out);
    out
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

/// Appends one row of `width` to `out`, pooled from `rows`, whose first is at position `first`
/// (from 0) of its text; of no rows, zeros.
pub(crate) fn pool_into(
    mode: PoolMode,
    rows: &[f32],
    width: usize,
    first: usize,
    out: &mut Vec<f32>,
) {
    let end = out.len() + width;
    if width == 0 || rows.len() < width {
        return out.resize(end, 0.0);
    }
    let n = rows.len() / width;
    match mode {
        PoolMode::Cls => out.extend_from_slice(&rows[..width]),
        PoolMode::Last => out.extend_from_slice(&rows[(n - 1) * width..n * width]),
        PoolMode::Max => {
            let start = out.len();
            out.extend_from_slice(&rows[..width]);
            for row in rows.chunks_exact(width) {
                out[start..].iter_mut().zip(row).for_each(|(a, &b)| *a = larger(*a, b));
            }
        }
        PoolMode::Mean => weighted(rows, width, |_| 1.0, n as f64, out),
        PoolMode::MeanSqrt => weighted(rows, width, |_| 1.0, (n as f64).sqrt(), out),
        PoolMode::WeightedMean => {
            let weight = |i: usize| (first + i + 1) as f64;
            weighted(rows, width, weight, (0..n).map(weight).sum(), out);
        }
    }
}

/// Appends `sum weight(i) row_i / divisor`.
fn weighted(
    rows: &[f32],
    width: usize,
    weight: impl Fn(usize) -> f64,
    divisor: f64,
    out: &mut Vec<f32>,
) {
    let mut acc = vec![0f64; width];
    for (i, row) in rows.chunks_exact(width).enumerate() {
        let w = weight(i);
        acc.iter_mut().zip(row).for_each(|(a, &h)| *a += w * f64::from(h));
    }
    out.extend(acc.iter().map(|a| (a / divisor) as f32));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (4, 2)
    const ROWS: &[f32] = &[1.0, -2.0, 3.0, 0.0, 5.0, 7.0, -1.0, 4.0];

    #[test]
    fn same_as_sentence_transformers() {
        // Pooling(2, mode, include_prompt=skip == 0) of sentence-transformers 6.2.0 over ROWS with
        // prompt_length = skip.
        let cases = [
            (PoolMode::Cls, 0, [1.0, -2.0]),
            (PoolMode::Cls, 2, [5.0, 7.0]),
            (PoolMode::Max, 0, [5.0, 7.0]),
            (PoolMode::Max, 2, [5.0, 7.0]),
            (PoolMode::Mean, 0, [2.0, 2.25]),
            (PoolMode::Mean, 2, [2.0, 5.5]),
            (PoolMode::MeanSqrt, 0, [4.0, 4.5]),
            (PoolMode::MeanSqrt, 2, [2.828_427, 7.778_175]),
            (PoolMode::WeightedMean, 0, [1.8, 3.5]),
            (PoolMode::WeightedMean, 2, [1.571_428_5, 5.285_714]),
            (PoolMode::Last, 0, [-1.0, 4.0]),
            (PoolMode::Last, 2, [-1.0, 4.0]),
        ];
        for (i, (mode, skip, want)) in cases.into_iter().enumerate() {
            let mut got = Vec::new();
            pool_into(mode, &ROWS[skip * 2..], 2, skip, &mut got);
            let close = got.len() == 2 && got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-6);
            assert!(close, "{i}: {mode:?} after {skip}: got {got:?}, want {want:?}");
        }
    }

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
    fn nothing_to_pool_is_zeros() {
        assert_eq!(pool_rows(PoolMode::Max, &[], 2), [0.0, 0.0]);
        assert!(pool_rows(PoolMode::Mean, ROWS, 0).is_empty());
        assert_eq!(pool_words(WordPool::Mean, ROWS, 2, &[3..9, 0..0]), [0.0; 4]);
    }

    #[test]
    fn many_large_rows_keep_their_digits() {
        // In f32 the running sum would lose the small part.
        let rows: Vec<f32> = (0..4096).map(|i| if i % 2 == 0 { 1e7 } else { -1e7 + 1.0 }).collect();
        assert_eq!(pool_rows(PoolMode::Mean, &rows, 1), [0.5]);
    }
}
