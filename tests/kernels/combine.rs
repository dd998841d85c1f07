//! `combine.wgsl`: every merge, and arrays larger than one row of workgroups.

use everylayer::kernels::grid::{INVOCATIONS, MAX_GROUPS, flat_grid};
use everylayer::kernels::{Combine, Elem, Merge, Variant};

use crate::toy::{Report, Rng, gpu};
use crate::{GUARD, One, Pair, Shelf, both, open};

#[test]
fn combine_of_every_merge() {
    let Some(gpu) = gpu() else { return };
    let pair = open(Shelf::default(), &gpu, Elem::F32);
    let mut report = Report::new("combine");
    for merge in Merge::ALL {
        for vectors in [1, 63, 64, 65, 4095, 4096, 12_345] {
            for first in [false, true] {
                for factor in [1.0, 0.25, -0.7] {
                    combine(&mut report, &pair, merge, vectors, first, factor);
                }
            }
        }
    }
    report.finish();
}

#[test]
fn combine_of_more_than_one_row_of_workgroups() {
    let Some(gpu) = gpu() else { return };
    let vectors = MAX_GROUPS * INVOCATIONS + 65;
    if gpu.max_binding() < 16 * (vectors + GUARD) as u64 {
        println!("skipped: {gpu:?} binds fewer than {vectors} vectors at once");
        return;
    }
    let pair = open(Shelf::default(), &gpu, Elem::F32);
    let mut report = Report::new("combine, two rows of workgroups");
    combine(&mut report, &pair, Merge::Linear, vectors, false, 0.5);
    report.finish();
}

fn combine(
    report: &mut Report,
    pair: &Pair,
    merge: Merge,
    vectors: usize,
    first: bool,
    factor: f32,
) {
    // A large array repeats a short one whose length is odd, so that no two rows of workgroups
    // see the same numbers at the same place.
    let mut rng = Rng::new(vectors as u64);
    let pool = rng.loud(9_973.min(8 * vectors));
    let numbers = |from: usize| -> Vec<f32> {
        pool.iter().copied().cycle().skip(from).take(4 * vectors).collect()
    };
    let (x, merged) = (numbers(0), numbers(17));
    let mut one = One::default();
    let from = one.input(&x, 4);
    let to = one.input(&merged, 4);
    one.read(to);
    let variant = Variant::from(Combine(merge));
    one.dispatch(Combine(merge).over(4 * vectors, factor, first), &[from, to]);
    let (got, want) = both(pair, &one.finish());
    let case = format!("{variant} vectors {vectors} first {first} factor {factor}");
    // One product and one sum, which may be fused: half a unit of either.
    report.compare(case, &got, &want, |i| match merge {
        Merge::Linear if !first && i < x.len() => {
            1.2e-7 * (merged[i].abs() + (factor * x[i]).abs())
        }
        _ => 0.0,
    });
}

#[test]
fn flat_grids_cover_every_vector_once() {
    let widest = MAX_GROUPS * INVOCATIONS;
    let mut report = Report::new("flat grid");
    for vectors in [1, 63, 64, 65, widest - 1, widest, widest + 1, 2 * widest, 2 * widest + 1] {
        let ([x, y], row) = flat_grid(vectors);
        let (x, y, row) = (x as usize, y as usize, row as usize);
        report.check(x <= MAX_GROUPS && y <= MAX_GROUPS, || {
            format!("{vectors}: {x} x {y} workgroups")
        });
        // Row y starts where row y - 1 ends, and none is without work.
        report.check(row == x * INVOCATIONS, || format!("{vectors}: rows of {row}"));
        report.check(y * row >= vectors && (y - 1) * row < vectors, || {
            format!("{vectors}: {y} rows of {row}")
        });
    }
    report.finish();
}
