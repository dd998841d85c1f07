//! Activations in 16 bits: every kernel that reads or writes them, and what becomes of a number that
//! f16 does not hold.

use everylayer::kernels::{Elem, Gate, Matmul, Narrow, Staging, Tile, Variant};
use everylayer::math::f16;
use everylayer::model::layout::Use;
use everylayer::model::spec::Activation;

use crate::attention::{attention, plain};
use crate::matmul::{elems, matmul, products};
use crate::toy::{Report, Rng, gpu};
use crate::{One, Pair, Shelf, both, open};

#[test]
fn products_that_read_or_write_16_bits() {
    let Some(gpu) = gpu() else { return };
    let mut report = Report::new("matmul in 16 bits");
    for weights in elems(&gpu).into_iter().filter(|elem| *elem != Elem::F32) {
        let mut shelf = Shelf::default();
        let products = products(&mut shelf);
        let pair = open(shelf, &gpu, weights);
        let of = |tile, narrow, activation, residual, splits| Matmul {
            tile,
            weights,
            activation,
            residual,
            splits,
            narrow,
            ..Matmul::bare(tile, weights)
        };
        let bare = Activation::Identity;
        for tile in Tile::PORTABLE {
            let variants = [
                of(tile, Narrow::C, bare, false, 1),
                of(tile, Narrow::A, bare, false, 1),
                of(tile, Narrow::A, bare, true, 1),
                of(tile, Narrow::A, bare, false, 2),
            ];
            for product in &products {
                for variant in variants {
                    for m in [1, 13, 65, 130] {
                        matmul(&mut report, &pair, product, m, variant);
                    }
                }
            }
        }
        for activation in Activation::ALL {
            for product in &products[..7] {
                let variant = of(Tile::T32x32, Narrow::C, activation, false, 1);
                matmul(&mut report, &pair, product, 65, variant);
            }
        }
    }
    report.finish();
}

#[test]
fn attention_over_16_bits() {
    let Some(gpu) = gpu() else { return };
    let pair = open(Shelf::default(), &gpu, Elem::F32);
    let mut report = Report::new("attention in 16 bits");
    for staging in [Staging::Workgroup, Staging::Direct] {
        for head_dim in [4, 12, 16, 32, 64, 80, 128, 256] {
            for kernel in plain(staging, head_dim, true) {
                for lengths in [&[1][..], &[65], &[130, 65, 17, 5, 1]] {
                    attention(&mut report, &pair, kernel, 2, lengths, 1.0);
                }
            }
        }
    }
    report.finish();
}

/// One unit of f16 at a number: two results on two sides of a middle are rounded apart.
fn unit(want: f32) -> f32 {
    want.abs().max(6e-5) / 1024.0
}

#[test]
fn gate_over_16_bits() {
    let Some(gpu) = gpu() else { return };
    let pair = open(Shelf::default(), &gpu, Elem::F32);
    let mut report = Report::new("gate");
    for narrow in [false, true] {
        for activation in [Activation::Gelu, Activation::GeluTanh, Activation::Silu] {
            for (rows, inner) in [(1, 4), (65, 100), (3, 260)] {
                let mut rng = Rng::new((rows * inner) as u64);
                let mut one = One::default();
                let both_of = rng.normals(2 * rows * inner, 2.0);
                let from = one.input_in(narrow, &both_of, 2 * inner);
                let to = one.output_in(narrow, rows, inner);
                let kernel = Gate { activation, narrow };
                let variant = Variant::from(kernel);
                one.dispatch(kernel.over(rows, inner), &[from, to]);
                let (got, want) = both(&pair, &one.finish());
                // The activation's exponential (3 + 2|x| units, WGSL) and a product of numbers up to
                // 8; then one unit of f16.
                report.compare(format!("{variant} {rows} x {inner}"), &got, &want, |i| {
                    match i < rows * inner {
                        true => 1e-5 + if narrow { unit(want[i]) } else { 0.0 },
                        false => 0.0,
                    }
                });
            }
        }
    }
    report.finish();
}

/// A product that f16 does not hold is NaN to whoever reads it, never the largest f16 and never a
/// number that a driver makes of it: `norm` finds NaN.
#[test]
fn what_f16_does_not_hold_is_read_as_nan() {
    let Some(gpu) = gpu() else { return };
    let (m, n, k) = (3usize, 8usize, 16usize);
    let mut shelf = Shelf::default();
    let matrix = shelf.add(Use::Matrix, (n, k), vec![1.0; n * k]);
    let bias = shelf.add(Use::Vector, (1, n), vec![0.0; n]);
    let pair = open(shelf, &gpu, Elem::PackedF16);
    let mut report = Report::new("beyond f16");
    // The last two are held.
    let numbers =
        [65_520.0, 65_504.5, -1e9, f32::MAX, f32::INFINITY, f32::NAN, 65_504.0, -65_504.0];
    for number in numbers {
        let holds = number.abs() <= 65_504.0;
        let kernel = Matmul {
            // It keeps what is above zero as it is; what is below it may not hide.
            activation: if number < 0.0 { Activation::Identity } else { Activation::Relu },
            narrow: Narrow::C,
            ..Matmul::bare(Tile::T32x32, Elem::PackedF16)
        };
        let mut a = vec![0.0; m * k];
        a[k + 5] = number;
        let mut one = One::default();
        let from = one.input(&a, k);
        let between = one.output_in(true, m, n);
        one.dispatch(kernel.over(m, n, k), &[from, matrix, bias, between]);
        let (on_gpu, on_cpu) = both(&pair, &one.finish());
        for (device, c) in [("GPU", on_gpu), ("CPU", on_cpu)] {
            let row = &c[n..2 * n];
            let right = match holds {
                true => row.iter().all(|x| *x == number),
                false => row.iter().all(|x| x.is_nan()),
            };
            let others = c[..n].iter().chain(&c[2 * n..3 * n]).all(|x| *x == 0.0);
            report.check(right && others, || format!("{device}: {number}: {c:?}"));
        }
        // And every kernel that reads it goes on with NaN.
        check_readers(&mut report, &pair, (matrix, bias), number, holds);
    }
    report.finish();
}

type Linear = (everylayer::schedule::recording::Bind, everylayer::schedule::recording::Bind);

/// A row of A with what was made of `number` in it.
fn check_readers(
    report: &mut Report,
    pair: &Pair,
    (matrix, bias): Linear,
    number: f32,
    holds: bool,
) {
    let (m, n, k) = (3usize, 8usize, 16usize);
    let mut words = vec![0; m * k / 2];
    let mut a = vec![0.0; m * k];
    a[k + 5] = number;
    f16::pack(&a, &mut words);
    let mut one = One::default();
    let from = one.input_in(true, &f16::unpack(&words), k);
    let to = one.output(m, n);
    let kernel = Matmul { narrow: Narrow::A, ..Matmul::bare(Tile::T32x32, Elem::PackedF16) };
    one.dispatch(kernel.over(m, n, k), &[from, matrix, bias, to]);
    let (on_gpu, on_cpu) = both(pair, &one.finish());
    for (device, c) in [("GPU", on_gpu), ("CPU", on_cpu)] {
        let lost = c[n..2 * n].iter().any(|x| x.is_finite()) && !holds;
        report.check(!lost, || format!("{device}: {number} was lost: {:?}", &c[n..2 * n]));
    }
}
