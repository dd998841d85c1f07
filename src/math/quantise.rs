//! Quantising as sentence-transformers does.
//!
//! Formulas: `quantize_embeddings` and `_get_quantization_ranges`, sentence-transformers 6.2.0
//! `util/quantization.py`, in float32 step by step so that the integers are the same.

use crate::error::{Result, fail};

/// For each coordinate the value that becomes -128 and the step of one, from the rows of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranges {
    starts: Vec<f32>,
    steps: Vec<f32>,
}

impl Ranges {
    /// Measures `rows`, each of one width.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) for fewer than two rows: one row has no range.
    pub fn of<'a>(mut rows: impl Iterator<Item = &'a [f32]>) -> Result<Self> {
        let Some((first, second)) = rows.next().zip(rows.next()) else {
            return Err(fail!(
                Usage,
                "precision int8 takes its range from the vectors of the call and needs at least two: \
                 give more texts, or use f32, f16 or ubinary"
            ));
        };
        let (mut low, mut high) = (first.to_vec(), first.to_vec());
        for row in std::iter::once(second).chain(rows) {
            low.iter_mut().zip(row).for_each(|(a, &x)| *a = a.min(x));
            high.iter_mut().zip(row).for_each(|(a, &x)| *a = a.max(x));
        }
        let step = |(&low, &high): (&f32, &f32)| match (high - low) / 255.0 {
            0.0 => 1.0,
            step => step,
        };
        Ok(Self { steps: low.iter().zip(&high).map(step).collect(), starts: low })
    }

    /// The value of each coordinate that becomes -128.
    pub fn starts(&self) -> &[f32] {
        &self.starts
    }

    /// The step of each coordinate: `q` stands for the values from `start + (q + 128) * step` on, one
    /// step wide.
    pub fn steps(&self) -> &[f32] {
        &self.steps
    }

    /// The ranges of each row of the layer axis, as `{"start": [[..]], "step": [[..]]}`.
    pub fn to_json(all: &[Self]) -> serde_json::Value {
        let of = |part: fn(&Self) -> &[f32]| all.iter().map(part).collect::<Vec<_>>();
        serde_json::json!({ "start": of(Self::starts), "step": of(Self::steps) })
    }

    /// Appends `row` to `out`: `clip(floor((x - start) / step), 0, 255) - 128`.
    pub fn int8(&self, row: &[f32], out: &mut Vec<i8>) {
        out.extend(row.iter().zip(&self.starts).zip(&self.steps).map(|((&x, &start), &step)| {
            (((x - start) / step).floor().clamp(0.0, 255.0) - 128.0) as i8
        }));
    }
}

/// Appends the sign bits of `row` to `out`, in the order of `numpy.packbits`, the last byte filled
/// up with zeros.
pub fn ubinary(row: &[f32], out: &mut Vec<u8>) {
    out.extend(row.chunks(8).map(|eight| {
        eight.iter().enumerate().fold(0, |byte, (i, &x)| byte | (u8::from(x > 0.0) << (7 - i)))
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    /// `numpy.random.default_rng(7).normal(size=(3, 10))` rounded to three digits, coordinate 4
    /// made constant and one value zero.
    const ROWS: [[f32; 10]; 3] = [
        [0.001, 0.299, -0.274, -0.891, 0.25, 0.0, 0.06, 1.34, -0.492, -0.62],
        [0.49, 0.357, 0.105, -0.93, 0.25, 0.695, -1.344, -0.458, -1.901, -1.29],
        [-1.842, -0.235, -1.267, 0.271, 0.25, -0.187, -2.517, -0.539, -0.049, 0.113],
    ];

    #[test]
    fn int8_as_quantize_embeddings() {
        // sentence_transformers.util.quantize_embeddings(rows, "int8"), 6.2.0.
        let want = [
            [73, 102, 56, -120, -128, -74, 127, 126, 66, -7],
            [127, 127, 127, -128, -128, 127, -12, -118, -128, -128],
            [-128, -128, -128, 127, -128, -128, -128, -128, 127, 127],
        ];
        let ranges = Ranges::of(ROWS.iter().map(|row| row.as_slice())).unwrap();
        for (i, (row, want)) in ROWS.iter().zip(want).enumerate() {
            let mut got = Vec::new();
            ranges.int8(row, &mut got);
            assert_eq!(got, want, "row {i}");
        }
    }

    #[test]
    fn ubinary_as_quantize_embeddings() {
        // sentence_transformers.util.quantize_embeddings(rows, "ubinary"), 6.2.0.
        for (row, want) in ROWS.iter().zip([[203, 0], [236, 0], [24, 64]]) {
            let mut got = Vec::new();
            ubinary(row, &mut got);
            assert_eq!(got, want);
        }
    }

    #[test]
    fn one_row_has_no_range() {
        for n in 0..2 {
            let error = Ranges::of(ROWS[..n].iter().map(|row| row.as_slice())).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.to_string().contains("at least two"), "{error}");
        }
    }
}
