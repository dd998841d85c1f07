//! What an adapter adds to the rows of one tensor, and the arithmetic of adding it.

use std::ops::Range;

/// scale · L R, added to some rows of a tensor; with magnitudes, each row then gets that length.
///
/// The sum is in f64 and rounded to f32 once, with the weight in it: what peft adds in f32, in an
/// order of its own, differs from it by roundings alone.
#[derive(Debug)]
pub(crate) struct Delta {
    /// The rows of the tensor that it lands on: a part of them where the tensor holds several
    /// matrices one above the other.
    pub rows: Range<usize>,
    /// L, (rows, rank).
    pub left: Vec<f32>,
    /// R, (rank, width of a row).
    pub right: Vec<f32>,
    /// The inner axis of the product.
    pub rank: usize,
    /// `lora_alpha` / r, or / √r.
    pub scale: f64,
    /// Lengths of the rows (DoRA, Liu et al. 2024), (rows,).
    pub magnitude: Option<Vec<f32>>,
}

impl Delta {
    /// Adds it to `values`, the rows `taken` of the tensor, `width` numbers each.
    pub fn add(&self, values: &mut [f32], taken: Range<usize>, width: usize) {
        let mut sums = vec![0f64; width];
        for row in taken.start.max(self.rows.start)..taken.end.min(self.rows.end) {
            let own = row - self.rows.start;
            let left = &self.left[own * self.rank..][..self.rank];
            let line = &mut values[(row - taken.start) * width..][..width];
            sums.fill(0.0);
            for (l, right) in left.iter().zip(self.right.chunks_exact(width)) {
                sums.iter_mut()
                    .zip(right)
                    .for_each(|(sum, r)| *sum += f64::from(*l) * f64::from(*r));
            }
            let pairs = sums.iter_mut().zip(line.iter());
            pairs.for_each(|(sum, value)| *sum = f64::from(*value) + self.scale * *sum);
            let factor = self.magnitude.as_ref().map_or(1.0, |lengths| {
                f64::from(lengths[own]) / sums.iter().map(|x| x * x).sum::<f64>().sqrt()
            });
            line.iter_mut().zip(&sums).for_each(|(value, sum)| *value = (factor * sum) as f32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_in_pieces_are_the_rows_of_the_whole() {
        let delta = Delta {
            rows: 1..4,
            left: vec![1.0, 2.0, 0.5, -1.0, 3.0, 0.0],
            right: vec![1.0, 0.0, 2.0, 0.0, 1.0, 1.0],
            rank: 2,
            scale: 0.5,
            magnitude: None,
        };
        let base: Vec<f32> = (0..15).map(|i| i as f32).collect();
        let mut whole = base.clone();
        delta.add(&mut whole, 0..5, 3);
        // Row 1: 3 4 5 + ½ (1·[1 0 2] + 2·[0 1 1]).
        assert_eq!(whole[..6], [0.0, 1.0, 2.0, 3.5, 5.0, 7.0]);
        assert_eq!(whole[12..], base[12..]);
        for taken in [0..2, 2..5, 1..1, 3..4] {
            let mut piece = base[taken.start * 3..taken.end * 3].to_vec();
            delta.add(&mut piece, taken.clone(), 3);
            assert_eq!(piece, whole[taken.start * 3..taken.end * 3], "{taken:?}");
        }
        let mut long = base.clone();
        let magnitude = Some(vec![2.0, 3.0, 4.0]);
        Delta { magnitude, ..delta }.add(&mut long, 0..5, 3);
        for (row, length) in [(1, 2.0), (2, 3.0), (3, 4.0)] {
            let line = &long[row * 3..][..3];
            let square: f64 = line.iter().map(|x| f64::from(*x).powi(2)).sum();
            assert!((square.sqrt() - length).abs() < 1e-6, "{line:?}");
        }
    }
}
