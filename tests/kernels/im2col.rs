//! `im2col.wgsl`: awkward sizes.

use everylayer::kernels::{Elem, Im2col};

use crate::toy::{Report, Rng, gpu};
use crate::{One, Shelf, both, open};

#[test]
fn im2col_stays_inside_each_text() {
    let Some(gpu) = gpu() else { return };
    let pair = open(Shelf::default(), &gpu, Elem::F32);
    let mut rng = Rng::new(31);
    let mut report = Report::new("im2col");
    for (lengths, taps, stride) in [
        (vec![1], 3, 4),
        (vec![1, 1, 1], 3, 12),
        (vec![2, 1, 3], 7, 8),
        (vec![70, 65, 5, 1], 5, 36),
        (vec![300, 200], 3, 388),
    ] {
        let rows: usize = lengths.iter().sum();
        let mut one = One::default();
        let places = lengths.iter().flat_map(|&n: &usize| 0..n as u32);
        let lines = one.words(places.flat_map(|place| [0, 0, 0, place]).collect());
        let numbers = rng.normals(rows * stride, 1.0);
        let x = one.input(&numbers, stride);
        let y = one.output(rows * taps, stride);
        one.dispatch(Im2col.over(rows, taps, stride), &[lines, x, y]);
        let (got, want) = both(&pair, &one.finish());
        let case = format!("{lengths:?} x {stride}, {taps} taps");
        report.compare(&case, &got, &want, |_| 0.0);
        // By its definition, text by text.
        let mut by_text = Vec::new();
        let mut first = 0;
        for &n in &lengths {
            for at in 0..(n * taps) as isize {
                let (token, tap) = (at / taps as isize, at % taps as isize);
                let near = token + tap - taps as isize / 2;
                match (0..n as isize).contains(&near) {
                    true => by_text.extend(&numbers[(first + near as usize) * stride..][..stride]),
                    false => by_text.extend(vec![0.0; stride]),
                }
            }
            first += n;
        }
        report.compare(format!("{case} by text"), &got[..by_text.len()], &by_text, |_| 0.0);
    }
    report.finish();
}
