//! Every kernel on the GPU against its CPU twin: recordings of one dispatch, awkward sizes first.
//!
//! Behind each array that a kernel reads lie rows of NaN, and the array it writes starts as a
//! number nobody computes and ends in rows that must keep it: the shaders run without bounds
//! checks, so a read or a write past the end has to show here.
//!
//! Whole forward passes are in `forward.rs`; the shaders as text in `shaders.rs`.

#![cfg(feature = "gpu")]

mod common;

use std::sync::Arc;

use common::{Held, Pair, Report, Rng, gpu, run};
use everylayer::ErrorKind;
use everylayer::execute::Execute;
use everylayer::gpu::device::Gpu;
use everylayer::model::layout::{Layout, Use, Weight, WeightId, align4};
use everylayer::model::spec::Activation;
use everylayer::schedule::params::{
    AttentionParams, CombineParams, EmbedParams, MatmulParams, NormParams, Params, PoolParams,
};
use everylayer::schedule::recording::{
    Bind, Buffer, BufferId, Dispatch, Fill, Readback, Recording, Submit,
};
use everylayer::schedule::{Elem, Merge, Output, Reduce, Variant, tiles};

/// What the written array holds before: no kernel computes it.
const UNTOUCHED: f32 = -7777.0;
/// Rows past the end of each array.
const GUARD: usize = 3;
const ELEMS: [Elem; 2] = [Elem::F32, Elem::F16];
const ACTIVATIONS: [Activation; 6] = [
    Activation::Identity,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::Relu,
    Activation::Silu,
    Activation::Tanh,
];

/// Weights of any shape, in the layout of no model.
#[derive(Default)]
struct Shelf {
    weights: Vec<Weight>,
    numbers: Vec<Vec<f32>>,
}

impl Shelf {
    fn add(&mut self, usage: Use, (rows, cols): (usize, usize), numbers: Vec<f32>) -> Bind {
        assert_eq!(numbers.len(), rows * cols);
        let label = format!("weight {}", self.weights.len());
        self.weights.push(Weight { label, usage, rows, cols, parts: Vec::new() });
        self.numbers.push(numbers);
        Bind::Weight(WeightId(self.weights.len() - 1))
    }

    fn open(mut self, gpu: &Arc<Gpu>, elem: Elem) -> Pair {
        if self.weights.is_empty() {
            self.add(Use::Table, (1, 4), vec![0.0; 4]);
        }
        let first = WeightId(0);
        let layout = Layout {
            weights: self.weights,
            width: 4,
            head_dim: 4,
            inner: 4,
            word: first,
            position: first,
            token_type: first,
            embedding_norm: first,
            blocks: Vec::new(),
            pooler: None,
        };
        Pair::new(gpu, &Arc::new(layout), &Arc::new(Held(self.numbers)), elem)
    }
}

/// A recording of one submit, each array in a slot of its own.
#[derive(Default)]
struct One {
    buffers: Vec<Buffer>,
    uploads: Vec<(BufferId, Fill)>,
    submit: Submit,
    texts: usize,
}

impl One {
    fn words(&mut self, words: Vec<u32>) -> Bind {
        let id = BufferId(self.buffers.len());
        let bytes = 4 * words.len() as u64;
        self.buffers.push(Buffer { name: "array", shape: vec![words.len()], bytes, slot: id.0 });
        self.uploads.push((id, Fill::Words(words)));
        Bind::Buffer(id)
    }

    /// `numbers` with rows of NaN behind them.
    fn input(&mut self, numbers: &[f32], row: usize) -> Bind {
        let guard = std::iter::repeat_n(f32::NAN, GUARD * row);
        self.words(numbers.iter().copied().chain(guard).map(f32::to_bits).collect())
    }

    /// An array to be written and read back, with rows behind it.
    fn output(&mut self, rows: usize, row: usize) -> Bind {
        let bind = self.words(vec![UNTOUCHED.to_bits(); (rows + GUARD) * row]);
        self.read(bind);
        bind
    }

    fn status(&mut self, states: usize) -> Bind {
        let bind = self.words(vec![0; states]);
        let Bind::Buffer(buffer) = bind else { unreachable!("words makes a buffer") };
        self.submit.readbacks.push(Readback { output: Output::Status, buffer });
        bind
    }

    fn read(&mut self, bind: Bind) {
        let Bind::Buffer(buffer) = bind else { panic!("weights are not read back") };
        self.submit.readbacks.push(Readback { output: Output::Combined, buffer });
    }

    fn dispatch(&mut self, variant: Variant, params: Params, binds: &[Bind], grid: [u32; 2]) {
        let binds = binds.to_vec();
        let label = variant.to_string();
        self.submit.dispatches.push(Dispatch { variant, params, binds, grid, flops: 0, label });
    }

    fn finish(self) -> Recording {
        Recording {
            tokens: 0,
            texts: self.texts,
            slots: self.buffers.iter().map(|b| b.bytes).collect(),
            buffers: self.buffers,
            uploads: self.uploads,
            submits: vec![self.submit],
        }
    }
}

/// The one array that `recording` brings back, on the GPU and on the CPU.
fn both(pair: &Pair, recording: &Recording) -> (Vec<f32>, Vec<f32>) {
    let one = |executor: &dyn Execute| {
        let mut outputs = run(executor, recording)
            .unwrap_or_else(|e| panic!("{}: {e}\n{recording}", executor.device()));
        assert_eq!(outputs.len(), 1, "{recording}");
        outputs.remove(0).1
    };
    (one(&pair.gpu), one(&pair.cpu))
}

fn root_mean_square(numbers: &[f32]) -> f32 {
    let sum: f64 = numbers.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    (sum / numbers.len() as f64).sqrt() as f32
}

fn largest(numbers: &[f32]) -> f32 {
    numbers.iter().fold(0.0, |m, x| x.abs().max(m))
}

// ---- matmul ----

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
const ROWS: [usize; 8] = [1, 2, 13, 63, 64, 65, 512, 513];

struct Product {
    n: usize,
    k: usize,
    matrix: Bind,
    bias: Bind,
}

fn products(shelf: &mut Shelf) -> Vec<Product> {
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

fn matmul(
    report: &mut Report,
    pair: &Pair,
    product: &Product,
    m: usize,
    (weights, activation, residual): (Elem, Activation, bool),
) {
    let &Product { n, k, matrix, bias } = product;
    let mut rng = Rng::new((m * 10_000 + n + k) as u64);
    let a = rng.loud(m * k);
    let mut one = One::default();
    let from = one.input(&a, k);
    let to = one.output(m, n);
    let mut binds = vec![from, matrix, bias, to];
    if residual {
        let numbers = rng.loud(m * n);
        binds.push(one.input(&numbers, n));
    }
    let params = MatmulParams {
        m: m as u32,
        n4: (n / 4) as u32,
        k4: (k / 4) as u32,
        k_steps: k.div_ceil(tiles::MATMUL_K) as u32,
    };
    let variant = Variant::Matmul { weights, activation, residual };
    one.dispatch(variant, Params::Matmul(params), &binds, tiles::matmul_grid(m, n));
    let (got, want) = both(pair, &one.finish());
    // Both sides add the same products in the same order; a fused multiply-add may be split, which
    // rounds k products and sums once more each, and these roundings walk at random: √k units of
    // the sum's own size, which for weights of variance 1/k is the root mean square of the row of
    // A. The activation adds what exp is allowed (3 + 2|x| units, WGSL) and the last roundings.
    let rounding = |i: usize| {
        let row = i / n;
        if row >= m {
            return 0.0;
        }
        let size = root_mean_square(&a[row * k..(row + 1) * k]).max(1.0);
        3e-7 * (k as f32).sqrt() * size + 5e-7 * want[i].abs().max(1.0)
    };
    report.compare(format!("{variant} m {m} n {n} k {k}"), &got, &want, rounding);
}

#[test]
fn matmul_of_every_shape() {
    let Some(gpu) = gpu() else { return };
    let mut report = Report::new("matmul shapes");
    for elem in ELEMS {
        let mut shelf = Shelf::default();
        let products = products(&mut shelf);
        let pair = shelf.open(&gpu, elem);
        for product in &products {
            for m in ROWS {
                matmul(&mut report, &pair, product, m, (elem, Activation::Identity, m % 2 == 1));
            }
        }
    }
    report.finish();
}

#[test]
fn matmul_of_every_variant() {
    let Some(gpu) = gpu() else { return };
    let mut report = Report::new("matmul variants");
    for elem in ELEMS {
        let mut shelf = Shelf::default();
        let products = products(&mut shelf);
        let pair = shelf.open(&gpu, elem);
        for activation in ACTIVATIONS {
            for residual in [false, true] {
                for product in products.iter().filter(|p| [12, 100, 388].contains(&p.n)) {
                    for m in [1, 65, 200] {
                        matmul(&mut report, &pair, product, m, (elem, activation, residual));
                    }
                }
            }
        }
    }
    report.finish();
}

// ---- embed and norm ----

/// Widths of a model; those that are no multiple of four are padded.
const WIDTHS: [usize; 13] = [1, 4, 10, 12, 30, 36, 100, 108, 255, 256, 257, 384, 388];

/// γ and β of a row of `width` numbers, zero past it: (2, stride).
fn gamma_beta(rng: &mut Rng, width: usize) -> Vec<f32> {
    let stride = align4(width);
    let mut numbers = vec![0.0; 2 * stride];
    for i in 0..width {
        numbers[i] = 1.0 + 0.3 * rng.normal();
        numbers[stride + i] = 0.5 * rng.normal();
    }
    numbers
}

/// Rows of `width` numbers, zero up to the stride.
fn padded(numbers: Vec<f32>, width: usize) -> Vec<f32> {
    let stride = align4(width);
    let mut rows = vec![0.0; numbers.len() / width * stride];
    for (row, numbers) in rows.chunks_exact_mut(stride).zip(numbers.chunks_exact(width)) {
        row[..width].copy_from_slice(numbers);
    }
    rows
}

/// What the two executors may differ by after normalising `row`, a number of it, with `gamma`.
///
/// Their sums run in different orders (a tree, sixteen chains): each is within some units of the
/// largest number, and what is left after the mean is taken away is divided by the deviation,
/// where WGSL allows 2.5 units for each division and for the root.
fn norm_rounding(row: &[f32], width: usize, eps: f32, gamma: f32, beta: f32) -> f32 {
    let x: Vec<f64> = row[..width].iter().map(|&v| f64::from(v)).collect();
    let mean = x.iter().sum::<f64>() / width as f64;
    let var = x.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / width as f64;
    let scale = f64::from(largest(row)) / (var + f64::from(eps)).sqrt();
    8e-7 * (scale as f32).max(1.0) * gamma.abs() + 2e-7 * beta.abs()
}

#[test]
fn norm_of_every_width() {
    let Some(gpu) = gpu() else { return };
    let mut rng = Rng::new(2);
    let mut shelf = Shelf::default();
    let weights: Vec<_> = WIDTHS
        .iter()
        .map(|&width| {
            let numbers = gamma_beta(&mut rng, width);
            (width, numbers.clone(), shelf.add(Use::Vector, (2, align4(width)), numbers))
        })
        .collect();
    let pair = shelf.open(&gpu, Elem::F32);
    let mut report = Report::new("norm");
    for (width, numbers, weight) in &weights {
        let (&width, stride) = (width, align4(*width));
        for rows in [1, 2, 63, 64, 65, 513] {
            for eps in [1e-12, 1e-5] {
                let mut x = padded(rng.loud(rows * width), width);
                // The rows of a real model are not centred; and one is constant.
                for row in x.chunks_exact_mut(stride).skip(1).step_by(3) {
                    row[..width].iter_mut().for_each(|v| *v += 20.0);
                }
                if rows > 2 {
                    x[2 * stride..2 * stride + width].fill(0.5);
                }
                let mut one = One::default();
                let from = one.input(&x, stride);
                let to = one.output(rows, stride);
                let status = one.status(5);
                let params = NormParams {
                    rows: rows as u32,
                    stride4: (stride / 4) as u32,
                    width: width as u32,
                    eps,
                    state: 4,
                    pad: [0; 3],
                };
                let grid = tiles::row_grid(rows);
                let binds = [from, *weight, to, status];
                one.dispatch(Variant::Norm, Params::Norm(params), &binds, grid);
                let (got, want) = both(&pair, &one.finish());
                let case = format!("norm rows {rows} width {width} eps {eps:e}");
                zero_padding(&mut report, &case, &got[..rows * stride], width);
                report.compare(case, &got, &want, |i| {
                    let (row, column) = (i / stride, i % stride);
                    if row >= rows || column >= width {
                        return 0.0;
                    }
                    let (gamma, beta) = (numbers[column], numbers[stride + column]);
                    norm_rounding(&x[row * stride..][..stride], width, eps, gamma, beta)
                });
            }
        }
    }
    report.finish();
}

/// Columns past the width are zero: every later sum over a whole row counts on it.
fn zero_padding(report: &mut Report, case: &str, rows: &[f32], width: usize) {
    let stride = align4(width);
    let filled = rows.chunks_exact(stride).position(|r| r[width..].iter().any(|&v| v != 0.0));
    report.check(filled.is_none(), || {
        format!("{case}: row {} has numbers past its width", filled.unwrap_or_default())
    });
}

const VOCAB: usize = 61;
const POSITIONS: usize = 520;

#[test]
fn embed_of_every_width() {
    let Some(gpu) = gpu() else { return };
    let mut report = Report::new("embed");
    for (elem, types) in [(Elem::F32, 2), (Elem::F16, 1)] {
        let mut rng = Rng::new(3);
        let mut shelf = Shelf::default();
        let models: Vec<_> = WIDTHS
            .iter()
            .map(|&width| {
                let stride = align4(width);
                let mut table = |rows: usize, scale| {
                    let numbers = padded(rng.normals(rows * width, scale), width);
                    (numbers.clone(), shelf.add(Use::Table, (rows, stride), numbers))
                };
                let tables = [table(VOCAB, 1.0), table(POSITIONS, 0.5), table(types, 0.2)];
                let numbers = gamma_beta(&mut rng, width);
                let norm = shelf.add(Use::Vector, (2, stride), numbers.clone());
                (width, tables, numbers, norm)
            })
            .collect();
        let pair = shelf.open(&gpu, elem);
        for (width, [word, position, token_type], numbers, norm) in &models {
            let (&width, stride) = (width, align4(*width));
            for rows in [1, 2, 63, 64, 65, 513] {
                for gathered in [false, true] {
                    let mut lines = Vec::new();
                    for i in 0..rows {
                        // The last row of each table is among them.
                        let id = if i == 0 { VOCAB - 1 } else { rng.below(VOCAB) };
                        let at = if i == 1 { POSITIONS - 1 } else { rng.below(POSITIONS) };
                        lines.extend([id as u32, at as u32, ((i + 1) % types) as u32, 0]);
                    }
                    let mut one = One::default();
                    let tokens = one.words(lines.clone());
                    let table = if gathered { one.input(&word.0, stride) } else { word.1 };
                    let to = one.output(rows, stride);
                    let status = one.status(1);
                    let eps = 1e-12;
                    let params = EmbedParams {
                        rows: rows as u32,
                        stride4: (stride / 4) as u32,
                        width: width as u32,
                        eps,
                        state: 0,
                        pad: [0; 3],
                    };
                    let variant = Variant::Embed { tables: elem, gathered };
                    let binds = [tokens, table, position.1, token_type.1, *norm, to, status];
                    one.dispatch(variant, Params::Embed(params), &binds, tiles::row_grid(rows));
                    let (got, want) = both(&pair, &one.finish());
                    let case = format!("{variant} rows {rows} width {width} types {types}");
                    zero_padding(&mut report, &case, &got[..rows * stride], width);
                    let sums: Vec<f32> = lines
                        .chunks_exact(4)
                        .flat_map(|l| {
                            let at = |t: &[f32], r: u32, c| t[r as usize * stride + c];
                            (0..stride).map(move |c| {
                                at(&word.0, l[0], c)
                                    + at(&position.0, l[1], c)
                                    + at(&token_type.0, l[2], c)
                            })
                        })
                        .collect();
                    // The sum of three rows is the same on both sides; then as `norm`.
                    report.compare(case, &got, &want, |i| {
                        let (row, column) = (i / stride, i % stride);
                        if row >= rows || column >= width {
                            return 0.0;
                        }
                        let (gamma, beta) = (numbers[column], numbers[stride + column]);
                        norm_rounding(&sums[row * stride..][..stride], width, eps, gamma, beta)
                    });
                }
            }
        }
    }
    report.finish();
}

// ---- attention ----

#[test]
fn attention_of_every_head_stride() {
    let Some(gpu) = gpu() else { return };
    let pair = Shelf::default().open(&gpu, Elem::F32);
    let mut report = Report::new("attention");
    let mixed: &[usize] = &[512, 130, 65, 64, 63, 17, 5, 4, 3, 2, 1, 1];
    for head_dim in [4, 12, 16, 32, 64, 80, 128, 256] {
        let short: &[&[usize]] = &[&[1], &[63], &[64], &[65], &[1, 7, 1]];
        for &lengths in short {
            attention(&mut report, &pair, head_dim, 1, lengths, 1.0);
        }
        for spread in [1.0, 17.0] {
            attention(&mut report, &pair, head_dim, 2, mixed, spread);
        }
    }
    for length in [511, 513] {
        attention(&mut report, &pair, 32, 3, &[length], 17.0);
    }
    report.finish();
}

/// `spread` is the deviation of the scores: 17 makes some of 512 x 512 reach 80.
fn attention(
    report: &mut Report,
    pair: &Pair,
    head_dim: usize,
    heads: usize,
    lengths: &[usize],
    spread: f32,
) {
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
        for query in (0..length).step_by(tiles::ATTENTION_ROWS) {
            lines.extend([first as u32, length as u32, query as u32, 0]);
        }
        first += length;
    }
    let grid = [(lines.len() / 4) as u32, heads as u32];
    let mut one = One { texts: lengths.len(), ..One::default() };
    let from = one.input(&qkv, 3 * joined);
    let tiles = one.words(lines);
    let to = one.output(tokens, joined);
    let params = AttentionParams {
        qkv4: (3 * joined / 4) as u32,
        out4: (joined / 4) as u32,
        scale: std::f32::consts::LOG2_E / (head_dim as f32).sqrt(),
        pad: 0,
    };
    let variant = Variant::Attention { head_dim: head_dim as u32 };
    one.dispatch(variant, Params::Attention(params), &[from, tiles, to], grid);
    let (got, want) = both(pair, &one.finish());
    // A score has a size of `spread`, up to 5 of them; scaling it rounds it once (on q on one side,
    // on the score on the other) and its d products and sums walk at random for √d units more. Its
    // error is a relative error of e^score, and that moves the weighted mean of the values by as
    // much of their size.
    let score = 6e-8 * spread * (5.0 + (head_dim as f32).sqrt());
    let tolerance = (1e-6 + score) * values;
    let case = format!("{variant} heads {heads} lengths {lengths:?} spread {spread}");
    report.compare(case, &got, &want, |i| if i < tokens * joined { tolerance } else { 0.0 });
}

// ---- combine ----

#[test]
fn combine_of_every_merge() {
    let Some(gpu) = gpu() else { return };
    let pair = Shelf::default().open(&gpu, Elem::F32);
    let mut report = Report::new("combine");
    for merge in [Merge::Linear, Merge::Max] {
        for vectors in [1, 63, 64, 65, 4095, 4096, 12_345] {
            for first in [0, 1] {
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
    let vectors = tiles::MAX_GROUPS * tiles::INVOCATIONS + 65;
    if gpu.max_binding() < 16 * (vectors + GUARD) as u64 {
        println!("skipped: {gpu:?} binds fewer than {vectors} vectors at once");
        return;
    }
    let pair = Shelf::default().open(&gpu, Elem::F32);
    let mut report = Report::new("combine, two rows of workgroups");
    combine(&mut report, &pair, Merge::Linear, vectors, 0, 0.5);
    report.finish();
}

fn combine(
    report: &mut Report,
    pair: &Pair,
    merge: Merge,
    vectors: usize,
    first: u32,
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
    let (grid, row) = tiles::flat_grid(vectors);
    let params = CombineParams { vectors: vectors as u32, row, factor, first };
    let variant = Variant::Combine(merge);
    one.dispatch(variant, Params::Combine(params), &[from, to], grid);
    let (got, want) = both(pair, &one.finish());
    let case = format!("{variant} vectors {vectors} first {first} factor {factor}");
    // One product and one sum, which may be fused: half a unit of either.
    report.compare(case, &got, &want, |i| match merge {
        Merge::Linear if first == 0 && i < x.len() => {
            1.2e-7 * (merged[i].abs() + (factor * x[i]).abs())
        }
        _ => 0.0,
    });
}

#[test]
fn flat_grids_cover_every_vector_once() {
    let widest = tiles::MAX_GROUPS * tiles::INVOCATIONS;
    let mut report = Report::new("flat grid");
    for vectors in [1, 63, 64, 65, widest - 1, widest, widest + 1, 2 * widest, 2 * widest + 1] {
        let ([x, y], row) = tiles::flat_grid(vectors);
        let (x, y, row) = (x as usize, y as usize, row as usize);
        report.check(x <= tiles::MAX_GROUPS && y <= tiles::MAX_GROUPS, || {
            format!("{vectors}: {x} x {y} workgroups")
        });
        // Row y starts where row y - 1 ends, and none is without work.
        report.check(row == x * tiles::INVOCATIONS, || format!("{vectors}: rows of {row}"));
        report.check(y * row >= vectors && (y - 1) * row < vectors, || {
            format!("{vectors}: {y} rows of {row}")
        });
    }
    report.finish();
}

// ---- pool ----

#[test]
fn pool_of_every_reduce() {
    let Some(gpu) = gpu() else { return };
    let pair = Shelf::default().open(&gpu, Elem::F32);
    let mut report = Report::new("pool");
    let reduces = [
        Reduce::Mean,
        Reduce::Cls,
        Reduce::Last,
        Reduce::Max,
        Reduce::MeanSqrt,
        Reduce::WeightedMean,
    ];
    let packs: [&[usize]; 4] = [&[1], &[2], &[512], &[511, 65, 64, 33, 17, 16, 15, 3, 1, 1]];
    for reduce in reduces {
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
    reduce: Reduce,
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
    let mut one = One { texts, ..One::default() };
    let from = one.input(&x, stride);
    let ranges = one.words(ranges);
    let to = one.output(3 * texts, out);
    let params = PoolParams {
        stride4: (stride / 4) as u32,
        out4: (out / 4) as u32,
        start4: (part * texts * out / 4) as u32,
        pad: 0,
    };
    let grid = [texts as u32, (stride / 4).div_ceil(tiles::INVOCATIONS) as u32];
    let variant = Variant::Pool(reduce);
    one.dispatch(variant, Params::Pool(params), &[from, ranges, to], grid);
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
            Reduce::Cls | Reduce::Last | Reduce::Max => 0.0,
            Reduce::Mean => walk / n + 2e-7 * want[i].abs(),
            Reduce::MeanSqrt => walk / n.sqrt() + 2e-7 * want[i].abs(),
            // Weights up to n over a divisor of n²/2.
            Reduce::WeightedMean => 2.0 * walk / n + 2e-7 * want[i].abs(),
        }
    });
}

// ---- what is not finite ----

#[test]
fn what_is_not_finite_is_told_with_its_state() {
    let Some(gpu) = gpu() else { return };
    let mut rng = Rng::new(5);
    let mut shelf = Shelf::default();
    let widths = [4, 10, 36, 257, 388];
    let weights = widths.map(|width| {
        let numbers = gamma_beta(&mut rng, width);
        let norm = shelf.add(Use::Vector, (2, align4(width)), numbers);
        let table = padded(rng.normals(9 * width, 1.0), width);
        (width, norm, shelf.add(Use::Table, (9, align4(width)), table))
    });
    let pair = shelf.open(&gpu, Elem::F32);
    let mut report = Report::new("not finite");
    for (width, norm, table) in weights {
        let stride = align4(width);
        for number in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX * 2.0] {
            for column in [0, width / 2, width - 1] {
                for row in [0, 40, 69] {
                    let mut x = padded(rng.loud(70 * width), width);
                    x[row * stride + column] = number;
                    for embeds in [false, true] {
                        let mut one = One::default();
                        let from = one.input(&x, stride);
                        let to = one.output(70, stride);
                        let status = one.status(7);
                        let (rows, stride4) = (70, (stride / 4) as u32);
                        let (width, eps, state, pad) = (width as u32, 1e-12, 5, [0; 3]);
                        let grid = tiles::row_grid(70);
                        if embeds {
                            let lines = (0..70).flat_map(|i| [i, i % 9, i % 9, 0]).collect();
                            let tokens = one.words(lines);
                            let params = EmbedParams { rows, stride4, width, eps, state, pad };
                            let variant = Variant::Embed { tables: Elem::F32, gathered: true };
                            let binds = [tokens, from, table, table, norm, to, status];
                            one.dispatch(variant, Params::Embed(params), &binds, grid);
                        } else {
                            let params = NormParams { rows, stride4, width, eps, state, pad };
                            let binds = [from, norm, to, status];
                            one.dispatch(Variant::Norm, Params::Norm(params), &binds, grid);
                        }
                        let recording = one.finish();
                        for executor in [&pair.gpu as &dyn Execute, &pair.cpu] {
                            let said = run(executor, &recording).map_err(|e| {
                                (e.kind() == ErrorKind::NotFinite, e.to_string())
                            });
                            let want = format!("state 5 holds NaN or infinity (token {row} of");
                            let told =
                                matches!(&said, Err((true, text)) if text.starts_with(&want));
                            report.check(told, || {
                                format!(
                                    "{}: {number} at row {row} column {column} of {width}, embed \
                                     {embeds}: {:?}",
                                    executor.device(),
                                    said.map(|_| "nothing was said")
                                )
                            });
                        }
                    }
                }
            }
        }
    }
    report.finish();
}

#[test]
fn of_several_states_the_lowest_is_named() {
    let Some(gpu) = gpu() else { return };
    let mut shelf = Shelf::default();
    let norm = shelf.add(Use::Vector, (2, 4), vec![1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    let pair = shelf.open(&gpu, Elem::F32);
    let mut one = One::default();
    let bad = one.input(&[f32::NAN, 1.0, 2.0, 3.0], 4);
    let good = one.input(&[1.0, 2.0, 3.0, 4.0], 4);
    let outs = [4, 2, 3, 0].map(|state| (state, one.output(1, 4)));
    let status = one.status(6);
    for (state, to) in outs {
        let from = if state == 0 { good } else { bad };
        let params = NormParams { rows: 1, stride4: 1, width: 4, eps: 1e-12, state, pad: [0; 3] };
        one.dispatch(Variant::Norm, Params::Norm(params), &[from, norm, to, status], [1, 1]);
    }
    let recording = one.finish();
    for executor in [&pair.gpu as &dyn Execute, &pair.cpu] {
        let e = run(executor, &recording).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::NotFinite, "{}", executor.device());
        assert!(e.to_string().starts_with("state 2 holds"), "{}: {e}", executor.device());
    }
}
