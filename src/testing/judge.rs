//! How far two arrays are apart. What is not a number is infinitely far.

/// Largest |got - want|; infinite where a number of either is not finite or one has more.
pub fn difference(got: &[f32], want: &[f32]) -> f32 {
    if got.len() != want.len() {
        return f32::INFINITY;
    }
    // A difference with NaN or infinity in it is NaN or infinite, and `max` would drop NaN.
    let apart = got.iter().zip(want).map(|(g, w)| (g - w).abs());
    apart.fold(0.0, |most: f32, d| if d.is_nan() { f32::INFINITY } else { most.max(d) })
}

/// Largest |got - want| / max(1, |want|), for numbers that were rounded; infinite as [`difference`].
pub fn rounded(got: &[f32], want: &[f32]) -> f32 {
    let scaled = |numbers: &[f32]| -> Vec<f32> {
        numbers.iter().zip(want).map(|(x, want)| x / want.abs().max(1.0)).collect()
    };
    if got.len() == want.len() { difference(&scaled(got), &scaled(want)) } else { f32::INFINITY }
}

/// Smallest cosine between two rows of `width` numbers; 0 where there is none.
pub fn cosine(got: &[f32], want: &[f32], width: usize) -> f64 {
    if got.len() != want.len() || width == 0 {
        return 0.0;
    }
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let rows = got.chunks_exact(width).zip(want.chunks_exact(width));
    let cosines = rows.map(|(g, w)| dot(g, w) / (dot(g, g) * dot(w, w)).sqrt());
    cosines.fold(1.0, |least: f64, c| if c.is_nan() { 0.0 } else { least.min(c) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_array_is_far() {
        let want = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(difference(&want, &want), 0.0);
        assert_eq!(difference(&[1.0, 2.0, 3.0, 4.5], &want), 0.5);
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            // Whether it comes first or last.
            assert_eq!(difference(&[wrong, 2.0, 3.0, 4.0], &want), f32::INFINITY);
            assert_eq!(difference(&[1.0, 2.0, 3.0, wrong], &want), f32::INFINITY);
            // An oracle that is not finite proves nothing.
            assert_eq!(difference(&[wrong], &[wrong]), f32::INFINITY);
        }
        assert_eq!(difference(&want[..3], &want), f32::INFINITY);
    }

    #[test]
    fn what_was_rounded_is_judged_by_its_size() {
        assert_eq!(rounded(&[0.5, 9.0], &[0.0, 8.0]), 0.5);
        assert_eq!(rounded(&[0.0, 16.0], &[0.0, 8.0]), 1.0);
        for wrong in [f32::NAN, f32::INFINITY] {
            assert_eq!(rounded(&[wrong], &[1.0]), f32::INFINITY);
            assert_eq!(rounded(&[1.0], &[wrong]), f32::INFINITY);
        }
        assert_eq!(rounded(&[], &[1.0]), f32::INFINITY);
    }

    #[test]
    fn the_worst_row_counts() {
        let want = [1.0, 0.0, 0.0, 1.0];
        assert_eq!(cosine(&want, &want, 2), 1.0);
        assert_eq!(cosine(&[1.0, 0.0, 1.0, 0.0], &want, 2), 0.0);
        assert_eq!(cosine(&[f32::NAN, 0.0, 0.0, 1.0], &want, 2), 0.0);
        assert_eq!(cosine(&want[..2], &want, 2), 0.0);
    }
}
