//! The elementary poolings over host rows: slices of (n, width), sums in f64.
//!
//! Formulas: sentence-transformers 6.2.0 `sentence_transformer/modules/pooling.py`,
//! `Pooling._forward_padded`, for one text without padding.

use std::fmt;

/// How a text's rows become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PoolMode {
    /// Mean of the rows.
    Mean,
    /// Row 0.
    Cls,
    /// The last row.
    Last,
    /// Largest number of each column.
    Max,
    /// Smallest number of each column.
    Min,
    /// Sum of the rows / √n.
    MeanSqrt,
    /// Mean with weights 1..=n.
    WeightedMean,
}

impl PoolMode {
    /// Every mode.
    pub const ALL: [Self; 7] = [
        Self::Mean,
        Self::Cls,
        Self::Last,
        Self::Max,
        Self::Min,
        Self::MeanSqrt,
        Self::WeightedMean,
    ];

    /// Whether it adds up rows, each times its weight.
    pub(crate) fn is_sum(self) -> bool {
        matches!(self, Self::Mean | Self::MeanSqrt | Self::WeightedMean)
    }
}

impl fmt::Display for PoolMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mean => "mean",
            Self::Cls => "cls",
            Self::Last => "last",
            Self::Max => "max",
            Self::Min => "min",
            Self::MeanSqrt => "mean-sqrt",
            Self::WeightedMean => "weighted-mean",
        })
    }
}

/// Pools all of `rows`, (n, `width`), to one row of `width`; of no rows, zeros.
pub fn pool_rows(mode: PoolMode, rows: &[f32], width: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(width);
    pool_into(mode, rows, width, 0, &mut out);
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
        PoolMode::Max => each(rows, width, larger, out),
        PoolMode::Min => each(rows, width, |a, b| -larger(-a, -b), out),
        PoolMode::Mean => weighted(rows, width, |_| 1.0, n as f64, out),
        PoolMode::MeanSqrt => weighted(rows, width, |_| 1.0, (n as f64).sqrt(), out),
        PoolMode::WeightedMean => {
            let weight = |i: usize| (first + i + 1) as f64;
            weighted(rows, width, weight, (0..n).map(weight).sum(), out);
        }
    }
}

/// Appends what `of` makes of the first row and each row after it, number by number.
fn each(rows: &[f32], width: usize, of: impl Fn(f32, f32) -> f32, out: &mut Vec<f32>) {
    let start = out.len();
    out.extend_from_slice(&rows[..width]);
    for row in rows[width..].chunks_exact(width) {
        out[start..].iter_mut().zip(row).for_each(|(a, &b)| *a = of(*a, b));
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

/// The larger of two numbers; NaN wins, as in torch, so that it is not lost.
pub(crate) fn larger(a: f32, b: f32) -> f32 {
    if b > a || b.is_nan() { b } else { a }
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
            // That of the numbers' negatives, negated.
            (PoolMode::Min, 0, [-1.0, -2.0]),
            (PoolMode::Min, 2, [-1.0, 4.0]),
        ];
        for (i, (mode, skip, want)) in cases.into_iter().enumerate() {
            let mut got = Vec::new();
            pool_into(mode, &ROWS[skip * 2..], 2, skip, &mut got);
            let close = got.len() == 2 && got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-6);
            assert!(close, "{i}: {mode:?} after {skip}: got {got:?}, want {want:?}");
        }
    }

    #[test]
    fn nothing_to_pool_is_zeros() {
        assert_eq!(pool_rows(PoolMode::Max, &[], 2), [0.0, 0.0]);
        assert_eq!(pool_rows(PoolMode::Min, &[], 2), [0.0, 0.0]);
        assert!(pool_rows(PoolMode::Min, &[1.0, f32::NAN, 2.0], 1)[0].is_nan());
        assert!(pool_rows(PoolMode::Mean, ROWS, 0).is_empty());
    }

    #[test]
    fn many_large_rows_keep_their_digits() {
        // In f32 the running sum would lose the small part.
        let rows: Vec<f32> = (0..4096).map(|i| if i % 2 == 0 { 1e7 } else { -1e7 + 1.0 }).collect();
        assert_eq!(pool_rows(PoolMode::Mean, &rows, 1), [0.5]);
    }
}
