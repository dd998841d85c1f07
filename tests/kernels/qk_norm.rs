//! `qk_norm.wgsl`: awkward sizes.

use everylayer::kernels::{Elem, QkNorm};
use everylayer::model::layout::{Use, align4};

use crate::rows::padded;
use crate::toy::{Report, Rng, gpu};
use crate::{One, Shelf, both, open};

#[test]
fn qk_norm_of_every_head() {
    let Some(gpu) = gpu() else { return };
    let shapes = [(1, 1, 4), (2, 3, 10), (65, 6, 12), (33, 12, 64), (7, 5, 31)];
    let mut rng = Rng::new(32);
    let mut shelf = Shelf::default();
    let weights = shapes.map(|(_, heads, head_dim)| {
        let numbers = padded(rng.normals(4 * heads * head_dim, 1.0), head_dim);
        shelf.add(Use::Vector, (4, heads * align4(head_dim)), numbers)
    });
    let pair = open(shelf, &gpu, Elem::F32);
    let mut report = Report::new("qk_norm");
    for ((rows, heads, head_dim), weight) in shapes.into_iter().zip(weights) {
        let stride = align4(head_dim);
        let joined = heads * stride;
        let numbers = padded(rng.normals(rows * 3 * heads * head_dim, 2.0), head_dim);
        let mut one = One::default();
        let qkv = one.input(&numbers, 3 * joined);
        one.read(qkv);
        let call = QkNorm.over(rows, (heads, head_dim, stride), 1e-5);
        one.dispatch(call, &[weight, qkv]);
        let (got, want) = both(&pair, &one.finish());
        let case = format!("{rows} x {heads} x {head_dim}");
        // The two sums run in other orders and the division and root have 2.5 units each; γ and
        // what it multiplies are at most 4 each.
        report.compare(&case, &got, &want, |_| 1e-5);
        let values = |row: usize| row * 3 * joined + 2 * joined..(row + 1) * 3 * joined;
        let kept = (0..rows).all(|row| got[values(row)] == numbers[values(row)]);
        report.check(kept, || format!("{case}: values have changed"));
        let padding = |i: &usize| i % stride >= head_dim;
        let kept = (0..rows * 3 * joined).filter(padding).all(|i| got[i] == 0.0);
        report.check(kept, || format!("{case}: padding is not zero"));
    }
    report.finish();
}
