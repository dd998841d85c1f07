//! `matmul.wgsl`: shapes around its tiles, and every variant.

use everylayer::kernels::{Elem, Matmul, Tile, Variant};
use everylayer::model::layout::Use;
use everylayer::model::spec::Activation;
use everylayer::schedule::recording::Bind;

use crate::toy::{Report, Rng, gpu, tiles as cuts};
use crate::{One, Pair, Shelf, both, open};
use everylayer::gpu::device::Gpu;

/// (n, k): neither a multiple of a tile, one of them, both.
const PRODUCTS: [(usize, usize); 13] = [
    (4, 4),
    (12, 36),
    (36, 12),
    (60, 68),
    (64, 16),
    (68, 20),
    (100, 108),
    (108, 100),
    (388, 36),
    (384, 384),
    (384, 388),
    (1536, 384),
    (384, 1536),
];
const ROWS: [usize; 9] = [1, 2, 13, 33, 63, 64, 65, 127, 257];

pub struct Product {
    n: usize,
    k: usize,
    matrix: Bind,
    bias: Bind,
}

pub fn products(shelf: &mut Shelf) -> Vec<Product> {
    let mut rng = Rng::new(1);
    PRODUCTS
        .iter()
        .map(|&(n, k)| Product {
            n,
            k,
            matrix: shelf.add(Use::Matrix, (n, k), rng.normals(n * k, (k as f32).sqrt().recip())),
            bias: shelf.add(Use::Vector, (1, n), rng.normals(n, 1.0)),
        })
        .collect()
}

pub fn matmul(report: &mut Report, pair: &Pair, product: &Product, m: usize, kernel: Matmul) {
    let Matmul { residual, splits, .. } = kernel;
    let variant = Variant::from(kernel);
    let &Product { n, k, matrix, bias } = product;
    let mut rng = Rng::new((m * 10_000 + n + k) as u64);
    let a = rng.loud(m * k);
    let mut one = One::default();
    let from = one.input_in(variant.reads_narrow(), &a, k);
    let to = one.output_in(variant.writes_narrow(), m * splits as usize, n);
    let mut binds = vec![from, matrix, bias, to];
    if residual {
        let numbers = rng.loud(m * n);
        binds.push(one.input(&numbers, n));
    }
    one.dispatch(kernel.over(m, n, k), &binds);
    let (got, want) = both(pair, &one.finish());
    // Both sides add the same products in the same order; a fused multiply-add may be split, which
    // rounds k products and sums once more each, and these roundings walk at random: √k units of
    // the sum's own size, which for weights of variance 1/k is the root mean square of the row of
    // A. The activation adds what exp is allowed (3 + 2|x| units, WGSL) and the last roundings; and a
    // conversion to f16 one unit of that, 2⁻¹⁰ of the number, where the two lie on two sides of a middle.
    let rounding = |i: usize| {
        let row = i / n % m;
        if i >= m * n * splits as usize {
            return 0.0;
        }
        let size = root_mean_square(&a[row * k..(row + 1) * k]).max(1.0);
        let unit = if variant.writes_narrow() { want[i].abs().max(6e-5) / 1024.0 } else { 0.0 };
        3e-7 * (k as f32).sqrt() * size + 5e-7 * want[i].abs().max(1.0) + unit
    };
    report.compare(format!("{variant} m {m} n {n} k {k}"), &got, &want, rounding);
}

#[test]
fn matmul_of_every_shape() {
    let Some(gpu) = gpu() else { return };
    let mut report = Report::new("matmul shapes");
    for elem in elems(&gpu) {
        let mut shelf = Shelf::default();
        let products = products(&mut shelf);
        let pair = open(shelf, &gpu, elem);
        for (tile, product) in pairs(&cuts(&gpu), &products) {
            for m in ROWS {
                let variant = Matmul { residual: m % 2 == 1, ..Matmul::bare(tile, elem) };
                matmul(&mut report, &pair, product, m, variant);
            }
        }
    }
    report.finish();
}

#[test]
fn matmul_of_every_variant() {
    let Some(gpu) = gpu() else { return };
    let mut report = Report::new("matmul variants");
    for elem in elems(&gpu) {
        let mut shelf = Shelf::default();
        let products = products(&mut shelf);
        let pair = open(shelf, &gpu, elem);
        for activation in Activation::ALL {
            for residual in [false, true] {
                for (tile, product) in pairs(&cuts(&gpu), &products) {
                    // The end of a product is the same text in every cut of `matmul.wgsl`: one of them
                    // has more shapes.
                    let shapes = match tile {
                        Tile::T32x32 | Tile::Broadcast => ([12, 100, 388], &[1, 65, 200][..]),
                        _ if elem == Elem::F32 => ([100; 3], &[65][..]),
                        _ => continue,
                    };
                    if shapes.0.contains(&product.n) {
                        for &m in shapes.1 {
                            let variant =
                                Matmul { activation, residual, ..Matmul::bare(tile, elem) };
                            matmul(&mut report, &pair, product, m, variant);
                        }
                    }
                }
            }
        }
    }
    report.finish();
}

#[test]
fn matmul_in_parts_along_k() {
    let Some(gpu) = gpu() else { return };
    let mut report = Report::new("matmul parts");
    for elem in [Elem::F32] {
        let mut shelf = Shelf::default();
        let products = products(&mut shelf);
        let pair = open(shelf, &gpu, elem);
        let mut cuts = cuts(&gpu);
        cuts.retain(|tile| *tile != Tile::Broadcast);
        for (tile, product) in pairs(&cuts, &products) {
            for m in [1, 65, 130] {
                for splits in [2, 4] {
                    let variant = Matmul { splits, ..Matmul::bare(tile, elem) };
                    matmul(&mut report, &pair, product, m, variant);
                }
            }
        }
    }
    report.finish();
}

/// The storage types that `gpu` reads.
pub fn elems(gpu: &Gpu) -> Vec<Elem> {
    Elem::ALL.into_iter().filter(|elem| *elem != Elem::NativeF16 || gpu.abilities().half).collect()
}

/// Every cut of every product.
fn pairs<'a>(cuts: &[Tile], products: &'a [Product]) -> Vec<(Tile, &'a Product)> {
    cuts.iter().flat_map(|&cut| products.iter().map(move |product| (cut, product))).collect()
}

fn root_mean_square(numbers: &[f32]) -> f32 {
    let sum: f64 = numbers.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    (sum / numbers.len() as f64).sqrt() as f32
}
