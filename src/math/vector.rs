//! Rows of numbers: scaling to length 1, keeping the first coordinates, exchanging axes.

use crate::error::{Result, fail};

/// Smallest length divided by: torch `nn.functional.normalize(eps=1e-12)`.
const EPS: f64 = 1e-12;

/// Scales `row` to L2 length 1: `x / max(||x||, 1e-12)` as torch `nn.functional.normalize`, the sum
/// of squares in f64. A row of zeros stays a row of zeros.
pub fn normalize(row: &mut [f32]) {
    let squares: f64 = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    let length = squares.sqrt().max(EPS);
    row.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
}

/// Keeps the first `dims` of `row` and scales them to length 1 again.
///
/// # Errors
/// [`ErrorKind::Usage`](crate::ErrorKind::Usage) where `dims` is 0 or more than the row has.
pub fn keep_dims(row: &mut Vec<f32>, dims: usize) -> Result<()> {
    check_dims(dims, row.len())?;
    row.truncate(dims);
    normalize(row);
    Ok(())
}

/// What comes after pooling: `values` is (rows, `width`); each row is scaled to length 1 where
/// `normalize` is `Some(true)`, then cut to its first `dims` and scaled again. An explicit
/// `Some(false)` keeps `dims` from scaling. Gives back the values and their new width.
///
/// # Errors
/// As [`keep_dims`].
pub fn finish(
    mut values: Vec<f32>,
    width: usize,
    normalize_rows: Option<bool>,
    dims: Option<usize>,
) -> Result<(Vec<f32>, usize)> {
    if let Some(dims) = dims {
        check_dims(dims, width)?;
    }
    if width == 0 {
        return Ok((values, width));
    }
    if normalize_rows == Some(true) {
        values.chunks_exact_mut(width).for_each(normalize);
    }
    let Some(dims) = dims else { return Ok((values, width)) };
    let mut kept: Vec<f32> =
        values.chunks_exact(width).flat_map(|row| &row[..dims]).copied().collect();
    if normalize_rows != Some(false) {
        kept.chunks_exact_mut(dims).for_each(normalize);
    }
    Ok((kept, dims))
}

fn check_dims(dims: usize, width: usize) -> Result<()> {
    if dims == 0 || dims > width {
        return Err(fail!(
            Usage,
            "{dims} dimensions cannot be kept: the vectors have {width}; use 1 to {width}"
        ));
    }
    Ok(())
}

/// `values`, (rows, columns), with its axes exchanged.
pub fn transposed(values: &[f32], columns: usize) -> Vec<f32> {
    let column = |c: usize| values.iter().skip(c).step_by(columns.max(1)).copied();
    (0..columns).flat_map(column).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        let mut row = [3.0, -4.0];
        normalize(&mut row);
        assert_eq!(row, [0.6, -0.8]);
        let mut zeros = [0.0, -0.0];
        normalize(&mut zeros);
        assert_eq!(zeros, [0.0, 0.0]);
        // torch: F.normalize(torch.tensor([3e-13, 4e-13]), dim=0) divides by 1e-12, not by 5e-13.
        let mut tiny = [3e-13, 4e-13];
        normalize(&mut tiny);
        assert!((tiny[0] - 0.3).abs() < 1e-6 && (tiny[1] - 0.4).abs() < 1e-6, "{tiny:?}");
        // The squares overflow f32 but not f64.
        let mut huge = [3e30, 4e30];
        normalize(&mut huge);
        assert!((huge[0] - 0.6).abs() < 1e-6, "{huge:?}");
    }

    #[test]
    fn first_dimensions() {
        let mut row = vec![3.0, 4.0, 12.0];
        keep_dims(&mut row, 2).unwrap();
        assert_eq!(row, [0.6, 0.8]);
        for dims in [0, 3] {
            let error = keep_dims(&mut row.clone(), dims).unwrap_err().to_string();
            assert!(error.contains(&dims.to_string()) && error.contains('2'), "{error}");
        }
    }

    #[test]
    fn finishing_two_rows() {
        let rows = || vec![3.0, 4.0, 12.0, 0.0, 5.0, 0.0];
        assert_eq!(finish(rows(), 3, None, None).unwrap(), (rows(), 3));
        let (unit, _) = finish(rows(), 3, Some(true), None).unwrap();
        assert_eq!(unit[3..], [0.0, 1.0, 0.0]);
        assert!((unit[2] - 12.0 / 13.0).abs() < 1e-7);
        assert_eq!(finish(rows(), 3, None, Some(2)).unwrap(), (vec![0.6, 0.8, 0.0, 1.0], 2));
        assert_eq!(finish(rows(), 3, Some(false), Some(2)).unwrap(), (vec![3.0, 4.0, 0.0, 5.0], 2));
        assert!(finish(rows(), 3, None, Some(4)).is_err());
        assert!(finish(Vec::new(), 3, None, Some(4)).is_err(), "whatever the number of rows");
    }

    #[test]
    fn axes_are_exchanged() {
        assert_eq!(transposed(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    }
}
