//! `pool.wgsl`: every way to make one row of a text, alone and as a part of a wider result.

use everylayer::kernels::{Elem, Pool, Variant};
use everylayer::math::pool::PoolMode;

use crate::toy::{Report, Rng, gpu};
use crate::{One, Pair, Shelf, both, largest, open};

#[test]
fn pool_of_every_reduce() {
    let Some(gpu) = gpu() else { return };
    let pair = open(Shelf::default(), &gpu, Elem::F32);
    let mut report = Report::new("pool");
    let packs: [&[usize]; 4] = [&[1], &[2], &[512], &[511, 65, 64, 33, 17, 16, 15, 3, 1, 1]];
    for reduce in PoolMode::ALL {
        for lengths in packs {
            for stride in [4, 12, 100, 256, 260, 388] {
                // Alone, and as the second of three parts beside a wider one.
                for (part, out) in [(0, stride), (1, stride + 8)] {
                    pool(&mut report, &pair, reduce, lengths, stride, part, out);
                }
            }
        }
    }
    report.finish();
}

fn pool(
    report: &mut Report,
    pair: &Pair,
    reduce: PoolMode,
    lengths: &[usize],
    stride: usize,
    part: usize,
    out: usize,
) {
    let texts = lengths.len();
    let tokens: usize = lengths.iter().sum();
    let mut rng = Rng::new((tokens * 1000 + stride) as u64);
    let x = rng.loud(tokens * stride);
    let mut ranges = Vec::new();
    let mut first = 0;
    for &length in lengths {
        ranges.extend([first as u32, length as u32]);
        first += length;
    }
    let mut one = One::over(texts);
    let from = one.input(&x, stride);
    let ranges = one.words(ranges);
    let to = one.output(3 * texts, out);
    let variant = Variant::from(Pool(reduce));
    one.dispatch(Pool(reduce).over(texts, stride, part * texts, out), &[from, ranges, to]);
    let (got, want) = both(pair, &one.finish());
    let case = format!("{variant} lengths {lengths:?} stride {stride} part {part} of {out}");
    report.compare(case, &got, &want, |i| {
        let Some(text) = (i / out).checked_sub(part * texts).filter(|&t| t < texts) else {
            return 0.0;
        };
        // The twin sums in f64. Here blocks of 16 rows: 16 roundings in a block, n / 16 of the
        // blocks, each half a unit of a sum that walks at random to √n of the numbers' size.
        let n = lengths[text] as f32;
        let walk = 6e-8 * (n / 16.0 + 16.0).sqrt() * n.sqrt() * largest(&x);
        match reduce {
            PoolMode::Mean => walk / n + 2e-7 * want[i].abs(),
            PoolMode::MeanSqrt => walk / n.sqrt() + 2e-7 * want[i].abs(),
            // Weights up to n over a divisor of n²/2.
            PoolMode::WeightedMean => 2.0 * walk / n + 2e-7 * want[i].abs(),
            // The others pick one of the numbers.
            _ => 0.0,
        }
    });
}
