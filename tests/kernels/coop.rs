//! `matmul_coop.wgsl`: shapes around its tile, its ends, the same bits in any batch, and rows that f16
//! does not hold; on an adapter that has cooperative matrices.

use std::sync::{Arc, OnceLock};

use everylayer::ErrorKind;
use everylayer::gpu::device::{Gpu, GpuOptions, Pick};
use everylayer::kernels::{Elem, Matmul, Tile};
use everylayer::model::layout::Use;
use everylayer::model::spec::Activation;
use everylayer::schedule::recording::Bind;

use crate::toy::{Report, Rng};
use crate::{One, Pair, Shelf, both};

/// (n, k): around a panel of 64, steps of 16, parts of both.
const PRODUCTS: [(usize, usize); 6] =
    [(4, 4), (36, 12), (64, 16), (100, 108), (384, 384), (68, 1536)];
const ROWS: [usize; 8] = [1, 13, 31, 33, 64, 127, 129, 257];

/// A device that was opened for cooperative matrices, opened once.
fn coop() -> Option<(Arc<Gpu>, Tile)> {
    static GPU: OnceLock<Result<Arc<Gpu>, String>> = OnceLock::new();
    let gpu = GPU.get_or_init(|| {
        let options = GpuOptions { coop: true, ..GpuOptions::default() };
        match pollster::block_on(Gpu::open(&Pick::Any, &options)) {
            Ok(gpu) => Ok(Arc::new(gpu)),
            Err(e) if [ErrorKind::NoAdapter, ErrorKind::Usage].contains(&e.kind()) => {
                Err(e.to_string())
            }
            Err(e) => panic!("{e}"),
        }
    });
    match gpu {
        Ok(gpu) => gpu.abilities().coop.map(|tile| (Arc::clone(gpu), tile)),
        Err(why) => {
            println!("skipped: {why}");
            None
        }
    }
}

struct Product {
    n: usize,
    k: usize,
    matrix: Bind,
    bias: Bind,
}

/// The weights of [`PRODUCTS`], on both executors. Halves, so that what a unit multiplies is exact.
fn open(gpu: &Arc<Gpu>) -> (Pair, Vec<Product>) {
    let mut shelf = Shelf::default();
    let mut rng = Rng::new(1);
    let mut product = |&(n, k): &(usize, usize)| {
        let matrix = rng.normals(n * k, (k as f32).sqrt().recip());
        let matrix = shelf.add(Use::Matrix, (n, k), matrix);
        let bias = shelf.add(Use::Vector, (1, n), rng.normals(n, 1.0));
        Product { n, k, matrix, bias }
    };
    let products = PRODUCTS.iter().map(&mut product).collect();
    (crate::open(shelf, gpu, Elem::NativeF16), products)
}

/// `numbers` cut to the 11 bits of an f16, none of them below its range: its f32 is exact.
fn halved(numbers: Vec<f32>) -> Vec<f32> {
    let cut = |x: f32| f32::from_bits(x.to_bits() & 0xffff_e000);
    numbers.into_iter().map(|x| if x.abs() < 1e-4 { 0.0 } else { cut(x) }).collect()
}

/// C on the GPU and on the CPU.
fn multiply(
    pair: &Pair,
    product: &Product,
    a: &[f32],
    (tile, activation, residual, splits): (Tile, Activation, bool, u32),
) -> (Vec<f32>, Vec<f32>) {
    let &Product { n, k, matrix, bias } = product;
    let m = a.len() / k;
    let mut one = One::default();
    let from = one.input(a, k);
    let to = one.output(m * splits as usize, n);
    let mut binds = vec![from, matrix, bias, to];
    if residual {
        binds.push(one.input(&Rng::new(7).normals(m * n, 1.0), n));
    }
    let bare = Matmul::bare(tile, Elem::NativeF16);
    one.dispatch(Matmul { activation, residual, splits, ..bare }.over(m, n, k), &binds);
    both(pair, &one.finish())
}

#[test]
fn coop_of_every_shape_and_end() {
    let Some((gpu, tile)) = coop() else { return };
    let mut report = Report::new("matmul coop");
    let (pair, products) = open(&gpu);
    let ends = [
        (Activation::Identity, false, 1),
        (Activation::Gelu, false, 1),
        (Activation::Identity, true, 1),
        (Activation::Identity, false, 2),
        (Activation::Identity, false, 4),
    ];
    for product in &products {
        for m in ROWS {
            let a = halved(Rng::new(m as u64).normals(m * product.k, 1.0));
            for (activation, residual, splits) in ends {
                let (got, want) =
                    multiply(&pair, product, &a, (tile, activation, residual, splits));
                // Inputs are exact in f16 and sums are f32 in another order: √k roundings of sums of
                // size 1 that walk at random, with room for units that truncate; then as in matmul.rs.
                let slack = |i: usize| {
                    if i >= m * product.n * splits as usize {
                        return 0.0;
                    }
                    1e-6 * (product.k as f32).sqrt() + 5e-7 * want[i].abs().max(1.0)
                };
                let (n, k) = (product.n, product.k);
                let case =
                    format!("{tile}+{activation} {residual} parts {splits} m {m} n {n} k {k}");
                report.compare(case, &got, &want, slack);
            }
        }
    }
    report.finish();
}

#[test]
fn coop_gives_a_row_the_same_bits_in_any_batch() {
    let Some((gpu, tile)) = coop() else { return };
    let (pair, products) = open(&gpu);
    let mut wrong = Vec::new();
    for product in &products {
        let &Product { n, k, .. } = product;
        let end = (tile, Activation::Identity, false, 1);
        let a = Rng::new(3).normals(257 * k, 1.0);
        let (all, _) = multiply(&pair, product, &a, end);
        for row in [0, 5, 31, 32, 127, 128, 200, 256] {
            let (alone, _) = multiply(&pair, product, &a[row * k..(row + 1) * k], end);
            let bits = |c: &[f32]| c.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            if bits(&all[row * n..(row + 1) * n]) != bits(&alone[..n]) {
                wrong.push(format!("row {row} n {n} k {k}"));
            }
        }
    }
    assert!(wrong.is_empty(), "other bits alone: {}", wrong.join("; "));
}

#[test]
fn coop_writes_no_number_for_a_row_that_f16_does_not_hold() {
    let Some((gpu, tile)) = coop() else { return };
    let (pair, products) = open(&gpu);
    let mut wrong = Vec::new();
    // The last of them is the largest f16.
    for bad in [65_505.0, -65_536.0, 1e30, f32::INFINITY, f32::NAN, 65_504.0] {
        for product in &products {
            let &Product { n, k, .. } = product;
            // Relu hides a NaN that comes before it on some adapters.
            for (activation, splits) in [(Activation::Relu, 1), (Activation::Identity, 2)] {
                let mut a = Rng::new(4).normals(130 * k, 1.0);
                let row = 77;
                a[row * k + k - 1] = bad;
                let (c, _) = multiply(&pair, product, &a, (tile, activation, false, splits));
                for r in 0..130 {
                    // The row in every part, added up as `norm` does.
                    let sum = |j: usize| {
                        (0..splits as usize).map(|s| c[(s * 130 + r) * n + j]).sum::<f32>()
                    };
                    let finite = (0..n).filter(|&j| sum(j).is_finite()).count();
                    let want = if r == row && bad != 65_504.0 { 0 } else { n };
                    if finite != want {
                        wrong.push(format!(
                            "{bad} {activation} n {n} k {k} row {r}: {finite} of {n} finite"
                        ));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
