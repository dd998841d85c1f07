//! The cases: each variant of each kernel over a few shapes, those around the edges of its tiles.
//!
//! Pure: a case is a recording and the weights it reads. `tests/kernels/` goes over many more
//! shapes; these are what finds a driver that miscompiles, in seconds; one of each variant is run
//! before a model uses it.

use crate::kernels::{
    Attention, AttentionShape, Call, Combine, Elem, Embed, Gate, Matmul, Norm, NormInput,
    NormParams, Pool, Rope, RopeShape, RowCut, Scores, Sizes, Slice, SliceShape, Variant,
};
use crate::model::layout::{Use, align4};
use crate::schedule::recording::{Bind, Recording};
use crate::schedule::tiles;
use crate::text::pack::PackedBatch;

use super::conv::{self, IM2COLS};
use super::judge::{difference, rounded};
use super::maps;
use super::moe::{self, ROUTES};
use super::qk_norm::{self, JOINED};
use super::rng::Rng;
use super::{Shelf, Single};

/// (rows, width) of states: padded and not, around a workgroup's 64 invocations of four numbers.
const ROWS: [(usize, usize); 5] = [(1, 10), (65, 36), (64, 256), (3, 257), (130, 388)];
/// Numbers of a row: one vector an invocation, and several; the model's own are added.
const HELD: [usize; 2] = [256, 1024];
/// (m, n, k) of products: below, at and past one tile of 64 x 64 x 16.
const PRODUCTS: [(usize, usize, usize); 4] =
    [(1, 12, 36), (13, 100, 108), (65, 388, 36), (130, 64, 388)];
/// Tokens of each text of a pack: around the 64 rows of an attention tile.
const TEXTS: [&[usize]; 3] = [&[1], &[64, 63, 2, 1], &[130, 65, 17, 5, 1]];
/// Numbers between two heads; the model's own is added.
const HEADS: [usize; 6] = [4, 12, 32, 64, 80, 128];
/// Vectors of an array that is combined.
const VECTORS: [usize; 3] = [1, 65, 4097];
/// Rows of a state that is pooled, in numbers: less than a workgroup covers, and more.
const STRIDES: [usize; 2] = [12, 260];
/// Deviation of attention's scores: sharp, so that the running maximum moves.
const SPREAD: f32 = 4.0;
/// How far tables of distances and windows reach: less than the longer texts.
pub(super) const REACH: usize = 20;
/// Arrays that a normalisation adds up.
const PARTS: usize = 3;
/// Rows of a table of places.
const PLACES: usize = 9;
/// Rows of the tables: words, positions, token types.
const TABLES: [usize; 3] = [61, 200, 2];

/// The kernels in the order of the forward pass, and what each may differ by: numbers are of size
/// 1 to 8, so one unit in their last place is 1e-7 to 5e-7.
///
/// * `embed`, `norm`: sums in another order, then a division and a root of 2.5 units each (WGSL),
///   times γ;
/// * `matmul`: √k roundings where a fused multiply-add is split, k up to 388, then the activation's
///   exponential, 3 + 2|x| units (WGSL);
/// * `attention`: scores up to 20, whose rounding is a relative error of the weights;
/// * `rope`: two products and a sum of numbers up to 16;
/// * `gate`: the activation's exponential and a product of numbers up to 8;
/// * `im2col` copies;
/// * `qk_norm`: as `norm`;
/// * `route`: exponentials of 3 + 2|x| units (WGSL) over their sum, at most 1;
/// * `expert`: as `matmul`;
/// * `weigh`: weights of at most 1, as `attention`;
/// * `digest`: sums over 300 keys of weights that add up to 1, times distances up to 300, and logarithms of
///   3 units (WGSL);
/// * `slice`: a sum of three numbers and a bias, in one order;
/// * `combine`: one product and one sum;
/// * `pool`: sums of up to 130 rows, which the CPU adds up in f64;
/// * what is stored as f16: a sum that is within the tolerance above may lie on the other side of the
///   middle between two f16, and WGSL lets a conversion round either way: one unit of f16, which is
///   at most 2⁻¹⁰ of a number, and so is what such a row shows: differences against max(1, |number|).
pub const TOLERANCES: [(&str, f32); 18] = [
    ("embed", 1e-5),
    ("norm", 1e-5),
    ("matmul", 2e-5),
    ("attention", 5e-5),
    ("rope", 2e-6),
    ("gate", 1e-5),
    ("im2col", 0.0),
    ("qk_norm", 1e-5),
    ("route", 5e-6),
    ("expert", 2e-5),
    ("weigh", 2e-6),
    ("digest", 1e-4),
    ("slice", 1e-6),
    ("combine", 1e-6),
    ("pool", 5e-6),
    ("matmul f16", F16),
    ("attention f16", F16),
    ("gate f16", F16),
];
/// One unit of f16 and what f32 adds to it.
const F16: f32 = 1e-3;
/// Products on cooperative matrices, where the adapter has them. Their inputs are exact in f16, and
/// they add up in f32 in an order of their own: √388 units that walk at random, with room for units
/// that truncate, then as `matmul`.
pub const COOP: [(&str, f32); 2] = [("matmul coop", 4e-5), ("matmul coop f16", F16)];

/// The row that a case of `variant` belongs to.
pub fn row_of(variant: &Variant) -> &'static str {
    match (variant.kernel(), variant.is_coop(), variant.writes_narrow()) {
        (_, true, false) => "matmul coop",
        (_, true, true) => "matmul coop f16",
        ("matmul", _, true) => "matmul f16",
        ("attention", _, true) => "attention f16",
        ("gate", _, true) => "gate f16",
        (kernel, ..) => kernel,
    }
}

/// How far what was computed with `variant` is off: as [`TOLERANCES`] mean it.
pub fn apart(variant: &Variant, got: &[Vec<f32>], want: &[Vec<f32>]) -> f32 {
    let apart = if variant.writes_narrow() { rounded } else { difference };
    apart(&got.concat(), &want.concat())
}

/// What [`apart`] may be for `variant`.
pub fn tolerance(variant: &Variant) -> f32 {
    let row = row_of(variant);
    let known = TOLERANCES.iter().chain(&COOP).find(|(name, _)| *name == row);
    known.map_or(0.0, |(_, tolerance)| *tolerance)
}

/// The sizes of a model that its kernels follow from.
#[derive(Debug, Clone, Copy)]
pub struct ModelSizes {
    /// Numbers between two heads.
    pub head_dim: usize,
    /// Numbers between two rows of a hidden state.
    pub stride: usize,
}

/// Every case of the variants whose weights are stored as `elem`, those without weights under
/// [`Elem::F32`].
pub fn cases(elem: Elem, own: Option<ModelSizes>, shelf: &mut Shelf) -> Vec<(Variant, Recording)> {
    let with = |known: &[usize], own: Option<usize>| {
        let mut sizes: Vec<usize> = known.iter().copied().chain(own).collect();
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    };
    let heads = with(&HEADS, own.map(|own| own.head_dim));
    let heads: Vec<u32> = heads.into_iter().map(|d| d as u32).collect();
    let strides = with(&HELD, own.map(|own| own.stride));
    let mut cases = Vec::new();
    let sizes = Sizes { head_dims: &heads, strides: &strides };
    for variant in Variant::all(sizes).into_iter().filter(|v| v.weights() == elem) {
        cases.extend(of(variant, false, shelf).into_iter().map(|recording| (variant, recording)));
    }
    cases
}

/// One case of `variant`, whose sizes fit none of its tiles.
pub fn one(variant: Variant, shelf: &mut Shelf) -> Option<Recording> {
    of(variant, true, shelf).pop()
}

/// The cases of `variant`, or the last of them.
fn of(variant: Variant, last: bool, shelf: &mut Shelf) -> Vec<Recording> {
    match variant {
        Variant::Embed(kernel) => {
            each(rows_within(kernel.cut), last, |shape| embed(kernel, shape, shelf))
        }
        Variant::Norm(kernel) => {
            each(rows_within(kernel.cut), last, |shape| norm(kernel, shape, shelf))
        }
        Variant::Matmul(kernel) => each(PRODUCTS, last, |shape| matmul(kernel, shape, shelf)),
        Variant::Attention(kernel) => each(TEXTS, last, |texts| attention(kernel, texts, shelf)),
        Variant::Rope(_) => each([(1, 10), (65, 16), (3, 64)], last, rope),
        Variant::Gate(kernel) => {
            each([(1, 4), (65, 100), (3, 260)], last, |shape| gate(kernel, shape))
        }
        Variant::Im2col(_) => each(IM2COLS, last, conv::im2col),
        Variant::QkNorm(_) => each(JOINED, last, |shape| qk_norm::qk_norm(shape, shelf)),
        Variant::Route(_) => each(ROUTES, last, moe::route),
        Variant::Expert(kernel) => {
            let shapes = PRODUCTS.into_iter().filter(|(m, ..)| *m > 1);
            each(shapes, last, |shape| moe::expert(kernel, shape, shelf))
        }
        Variant::Weigh(kernel) => {
            each(maps::TILES, last, |shape| maps::weigh(kernel, shape, shelf))
        }
        Variant::Digest(kernel) => {
            each(maps::TILES, last, |(texts, _)| maps::digest(kernel, texts))
        }
        Variant::Slice(kernel) => {
            each([(1, 4), (65, 36), (130, 260)], last, |shape| slice(kernel, shape, shelf))
        }
        Variant::Combine(kernel) => {
            let shapes = VECTORS.into_iter().flat_map(|n| [(n, true), (n, false)]);
            each(shapes, last, |(vectors, first)| combine(kernel, vectors, first))
        }
        Variant::Pool(kernel) => {
            let shapes = TEXTS.into_iter().flat_map(|texts| STRIDES.map(|stride| (texts, stride)));
            each(shapes, last, |(texts, stride)| pool(kernel, texts, stride))
        }
    }
}

/// A case of each of `shapes`, or of the last.
fn each<S>(
    shapes: impl IntoIterator<Item = S>,
    last: bool,
    case: impl FnMut(S) -> Recording,
) -> Vec<Recording> {
    let mut shapes: Vec<S> = shapes.into_iter().collect();
    if last {
        shapes.drain(..shapes.len().saturating_sub(1));
    }
    shapes.into_iter().map(case).collect()
}

/// The shapes of [`ROWS`] that invocations which share a row as `cut` can hold.
fn rows_within(cut: RowCut) -> impl Iterator<Item = (usize, usize)> {
    ROWS.into_iter().filter(move |(_, width)| *width <= cut.most())
}

/// The recording of one dispatch.
pub fn finish(mut single: Single, call: Call, binds: &[Bind]) -> Recording {
    single.dispatch(call, binds);
    single.finish()
}

/// γ over β of rows of `width` numbers: (2, stride).
fn gamma_beta(rng: &mut Rng, width: usize, shelf: &mut Shelf) -> Bind {
    let mut numbers = rng.rows(2, width, 0.3);
    numbers[..width].iter_mut().for_each(|gamma| *gamma += 1.0);
    shelf.add(Use::Vector, (2, align4(width)), numbers)
}

fn embed(kernel: Embed, (rows, width): (usize, usize), shelf: &mut Shelf) -> Recording {
    let stride = align4(width);
    let mut rng = Rng::new(1000 * rows + width);
    let mut single = Single::default();
    let [words, positions, types] = TABLES.map(|n| (n, rng.rows(n, width, 1.0)));
    let mut table = |(n, numbers)| shelf.add(Use::Table, (n, stride), numbers);
    let (positions, types) = (table(positions), table(types));
    let words = if kernel.gathered { single.input(&words.1, stride) } else { table(words) };
    let weight = gamma_beta(&mut rng, width, shelf);
    // The last row of each table is among them.
    let line = |row| match row {
        0 => [60, 199, 1, 0],
        _ => [rng.below(TABLES[0]), rng.below(TABLES[1]), rng.below(TABLES[2]), 0],
    };
    let lines = (0..rows).flat_map(line).collect();
    let tokens = single.words(lines);
    let x = single.output(rows, stride);
    let status = single.words(vec![0; rows.div_ceil(32) + 1]);
    let params = NormParams::new(rows, stride, width, 1e-12, 0);
    finish(single, kernel.over(params), &[tokens, words, positions, types, weight, x, status])
}

fn norm(kernel: Norm, (rows, width): (usize, usize), shelf: &mut Shelf) -> Recording {
    let stride = align4(width);
    let mut rng = Rng::new(1000 * rows + width);
    let mut single = Single::default();
    let weight = gamma_beta(&mut rng, width, shelf);
    let parts = if kernel.input == NormInput::Parts { PARTS } else { 1 };
    let x = single.input(&rng.rows(rows * parts, width, 1.0), stride);
    let bias = shelf.add(Use::Vector, (1, stride), rng.rows(1, width, 1.0));
    let residual = single.input(&rng.rows(rows, width, 1.0), stride);
    let y = single.output(rows, stride);
    let status = single.words(vec![0; rows.div_ceil(32) + 1]);
    let params = NormParams::new(rows, stride, width, 1e-12, 0).of_parts(parts);
    let mut binds = vec![x, weight, y, status];
    match kernel.input {
        NormInput::Whole => {}
        NormInput::Residual => binds.push(residual),
        NormInput::Parts => binds.extend([bias, residual]),
    }
    finish(single, kernel.over(params), &binds)
}

fn matmul(kernel: Matmul, (m, n, k): (usize, usize, usize), shelf: &mut Shelf) -> Recording {
    let variant = Variant::from(kernel);
    let splits = kernel.splits as usize;
    let mut rng = Rng::new(1000 * m + n + k);
    let mut single = Single::default();
    // Sums of variance 1.
    let matrix = shelf.add(Use::Matrix, (n, k), rng.normals(n * k, (k as f32).sqrt().recip()));
    let bias = shelf.add(Use::Vector, (1, n), rng.normals(n, 1.0));
    let mut a = rng.normals(m * k, 1.0);
    if kernel.tile.is_coop() {
        // They round it to f16: what f16 holds as it is.
        a.iter_mut().for_each(|x| *x = f32::from_bits(x.to_bits() & 0xffff_e000));
    }
    let a = single.input_in(variant.reads_narrow(), &a, k);
    let c = single.output_in(variant.writes_narrow(), m * splits, n);
    let mut binds = vec![a, matrix, bias, c];
    if kernel.residual {
        binds.push(single.input(&rng.normals(m * n, 1.0), n));
    }
    finish(single, kernel.over(m, n, k), &binds)
}

/// Two heads of queries that share one of keys and values.
fn attention(kernel: Attention, texts: &[usize], shelf: &mut Shelf) -> Recording {
    let (head_dim, scores, narrow) = (kernel.head_dim as usize, kernel.scores, kernel.narrow);
    // DeBERTa's places are as wide as all heads, whose keys are not shared.
    let shared = if scores == Scores::Disentangled { 1 } else { 2 };
    let joined = 2 * head_dim;
    let kv = joined / shared;
    let offsets = offsets(texts);
    let tokens: usize = texts.iter().sum();
    let mut rng = Rng::new(1000 * tokens + head_dim);
    let mut single = Single::over(texts.len());
    let mut qkv = Vec::with_capacity(tokens * (joined + 2 * kv));
    for _ in 0..tokens {
        qkv.extend(rng.normals(joined + kv, SPREAD.sqrt()));
        qkv.extend(rng.normals(kv, 1.0));
    }
    let qkv = single.input_in(narrow, &qkv, joined + 2 * kv);
    let batch = PackedBatch { offsets, ..PackedBatch::default() };
    let lines = tiles::attention_tiles(&batch, kernel.parts);
    let count = lines.len() / 4;
    let lines = single.words(lines);
    let context = single.output_in(narrow, tokens, joined);
    let shape =
        AttentionShape { heads: 2, kv_heads: 2 / shared, divisor: head_dim, reach: REACH, line: 4 };
    let mut binds = vec![qkv, lines, context];
    binds.extend(taken_in(scores, joined, &mut single, &mut rng, shelf));
    finish(single, kernel.over(shape, count, (0, 2), 0), &binds)
}

/// What scores of two heads take in, which are `joined` numbers side by side: the bindings from the fourth on.
pub(super) fn taken_in(
    scores: Scores,
    joined: usize,
    single: &mut Single,
    rng: &mut Rng,
    shelf: &mut Shelf,
) -> Vec<Bind> {
    match scores {
        Scores::Plain | Scores::Window => vec![],
        Scores::Alibi => vec![single.words(vec![0.5f32.to_bits(), 0.0625f32.to_bits()])],
        Scores::Relative => {
            let table = rng.rows(2 * REACH + 1, 2, 1.0);
            vec![shelf.add(Use::Vector, (2 * REACH + 1, 4), table)]
        }
        Scores::Disentangled => {
            let places = single.input(&rng.normals(PLACES * 2 * joined, 1.0), 2 * joined);
            let place = |_| rng.below(PLACES);
            vec![places, single.words((0..2 * REACH + 1).map(place).collect())]
        }
    }
}

/// Five tokens a text, two heads of queries and one each of keys and values.
fn rope((rows, head): (usize, usize)) -> Recording {
    let (stride, half) = (align4(head), head / 2);
    let mut rng = Rng::new(1000 * rows + head);
    let mut single = Single::default();
    let tokens = single.words((0..rows as u32).flat_map(|i| [0, 0, 0, i % 5]).collect());
    let turns = single.input(&rng.normals(5 * 2 * half, 1.0), 2 * half);
    let qkv = single.inout(false, &rng.normals(rows * 4 * stride, 1.0), 4 * stride);
    let shape = RopeShape { tokens: rows, heads: 3, values: 1, head_dim: stride, half };
    finish(single, Rope.over(shape), &[tokens, turns, qkv])
}

fn gate(kernel: Gate, (rows, inner): (usize, usize)) -> Recording {
    let mut rng = Rng::new(1000 * rows + inner);
    let mut single = Single::default();
    let both = single.input_in(kernel.narrow, &rng.normals(2 * rows * inner, 2.0), 2 * inner);
    let y = single.output_in(kernel.narrow, rows, inner);
    finish(single, kernel.over(rows, inner), &[both, y])
}

/// The columns in the middle of rows of three times as many.
fn slice(kernel: Slice, (rows, columns): (usize, usize), shelf: &mut Shelf) -> Recording {
    let mut rng = Rng::new(1000 * rows + columns);
    let mut single = Single::default();
    let (line, parts) = (3 * columns, if kernel.parts { PARTS } else { 1 });
    let x = single.input_in(kernel.narrow, &rng.normals(parts * rows * line, 1.0), line);
    let y = single.output(rows, columns);
    let mut binds = vec![x, y];
    if kernel.parts {
        binds.push(shelf.add(Use::Vector, (1, columns), rng.normals(columns, 1.0)));
    }
    let shape = SliceShape { rows, line, first: columns, columns, parts };
    finish(single, kernel.over(shape), &binds)
}

fn combine(kernel: Combine, vectors: usize, first: bool) -> Recording {
    let mut rng = Rng::new(vectors);
    let mut single = Single::default();
    let x = single.input(&rng.normals(4 * vectors, 1.0), 4);
    let merged = single.inout(false, &rng.normals(4 * vectors, 1.0), 4);
    finish(single, kernel.over(4 * vectors, -0.7, first), &[x, merged])
}

/// The second of two parts of a result.
fn pool(kernel: Pool, texts: &[usize], stride: usize) -> Recording {
    let tokens: usize = texts.iter().sum();
    let mut rng = Rng::new(1000 * tokens + stride);
    let mut single = Single::over(texts.len());
    let x = single.input(&rng.normals(tokens * stride, 1.0), stride);
    let ranges = offsets(texts).windows(2).flat_map(|o| [o[0], o[1] - o[0]]).collect();
    let ranges = single.words(ranges);
    let pooled = single.output(2 * texts.len(), stride);
    let call = kernel.over(texts.len(), stride, texts.len(), stride);
    finish(single, call, &[x, ranges, pooled])
}

/// First row of each text, then the number of rows.
fn offsets(texts: &[usize]) -> Vec<u32> {
    let mut offsets = vec![0];
    for &tokens in texts {
        offsets.push(offsets.last().copied().unwrap_or(0) + tokens as u32);
    }
    offsets
}
