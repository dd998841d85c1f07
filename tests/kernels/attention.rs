//! `attention.wgsl`: every head stride, texts around its tiles, scores up to 80.

use everylayer::kernels::{
    AdapterFeatures, Attention, AttentionShape, Class, Elem, Scores, Staging, Variant, Vendor,
    attention_parts, attention_rows,
};

use crate::toy::{Report, Rng, gpu, stagings};
use crate::{One, Pair, Shelf, both, largest, open};

#[test]
fn attention_of_every_head_stride() {
    let Some(gpu) = gpu() else { return };
    let pair = open(Shelf::default(), &gpu, Elem::F32);
    let mut report = Report::new("attention");
    let mixed: &[usize] = &[512, 130, 65, 64, 63, 17, 5, 4, 3, 2, 1, 1];
    for staging in stagings(&gpu) {
        for head_dim in [4, 12, 16, 32, 64, 80, 128, 160, 256] {
            // However many invocations share a row, its bits are the same.
            let mut first: Option<Vec<Vec<u32>>> = None;
            for kernel in plain(staging, head_dim, false) {
                let short: &[&[usize]] = &[&[1], &[63], &[64], &[65], &[1, 7, 1]];
                let mut results = Vec::new();
                for &lengths in short {
                    results.push(attention(&mut report, &pair, kernel, 1, lengths, 1.0));
                }
                for spread in [1.0, 17.0] {
                    results.push(attention(&mut report, &pair, kernel, 2, mixed, spread));
                }
                let want = first.get_or_insert_with(|| results.clone());
                assert!(*want == results, "{} has other bits", Variant::from(kernel));
            }
        }
        for length in [511, 513] {
            for kernel in plain(staging, 32, false) {
                attention(&mut report, &pair, kernel, 3, &[length], 17.0);
            }
        }
    }
    report.finish();
}

/// Attention over heads of `head_dim` in each number of parts that a vendor's GPU shares a row among.
pub fn plain(staging: Staging, head_dim: usize, narrow: bool) -> Vec<Attention> {
    let of = |class, vendor| {
        let can = AdapterFeatures { class, vendor, ..AdapterFeatures::default() };
        let parts = attention_parts(&can, head_dim, Scores::Plain);
        Attention { staging, head_dim: head_dim as u32, scores: Scores::Plain, narrow, parts }
    };
    let mut all = match staging {
        Staging::Workgroup => Vendor::ALL.map(|vendor| of(Class::Small, vendor)).to_vec(),
        _ => vec![of(Class::CpuAdapter, Vendor::Portable)],
    };
    all.sort_by_key(|kernel| kernel.parts);
    all.dedup();
    all
}

/// The bits of the GPU's result. `spread` is the deviation of the scores: 17 makes some of 512 x 512
/// reach 80.
pub fn attention(
    report: &mut Report,
    pair: &Pair,
    kernel: Attention,
    heads: usize,
    lengths: &[usize],
    spread: f32,
) -> Vec<u32> {
    let Attention { head_dim, narrow, parts, .. } = kernel;
    let head_dim = head_dim as usize;
    let tokens: usize = lengths.iter().sum();
    let joined = heads * head_dim;
    let mut rng = Rng::new((head_dim * 1000 + tokens) as u64);
    let mut qkv = Vec::with_capacity(tokens * 3 * joined);
    for _ in 0..tokens {
        qkv.extend(rng.normals(2 * joined, spread.sqrt()));
        qkv.extend(rng.loud(joined));
    }
    let values = qkv.chunks_exact(joined).skip(2).step_by(3).map(largest).fold(0.0, f32::max);
    let mut lines = Vec::new();
    let mut first = 0;
    for &length in lengths {
        for query in (0..length).step_by(attention_rows(parts)) {
            lines.extend([first as u32, length as u32, query as u32, 0]);
        }
        first += length;
    }
    let count = lines.len() / 4;
    let mut one = One::over(lengths.len());
    let from = one.input_in(narrow, &qkv, 3 * joined);
    let tiles = one.words(lines);
    let to = one.output_in(narrow, tokens, joined);
    let shape = AttentionShape { heads, kv_heads: heads, divisor: head_dim, reach: 0, line: 0 };
    let variant = Variant::from(kernel);
    one.dispatch(kernel.over(shape, count, (0, heads), 0), &[from, tiles, to]);
    let (got, want) = both(pair, &one.finish());
    // A score has a size of `spread`, up to 5 of them; scaling it rounds it once (on q on one side,
    // on the score on the other) and its d products and sums walk at random for √d units more. Its
    // error is a relative error of e^score, and that moves the weighted mean of the values by as
    // much of their size.
    let score = 6e-8 * spread * (5.0 + (head_dim as f32).sqrt());
    // In 16 bits a result may be rounded to either side of a middle: one unit, 2⁻¹⁰ of it.
    let unit = if narrow { values / 1024.0 } else { 0.0 };
    let tolerance = (1e-6 + score) * values + unit;
    let case = format!("{variant} heads {heads} lengths {lengths:?} spread {spread}");
    report.compare(case, &got, &want, |i| if i < tokens * joined { tolerance } else { 0.0 });
    got.iter().map(|x| x.to_bits()).collect()
}
