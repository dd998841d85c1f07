//! One function a kernel, named like its `.wgsl` file, with the same bindings and parameters.
//!
//! Shapes are those of the shaders; a slice may be longer than its array.

use std::ops::Range;

use rayon::prelude::*;

pub use super::attention::{Positions, attention, weigh};
pub use super::digest::digest;
pub use super::experts::{expert, route};
use super::product::{Packed, Scratch, product, product_parallel};
use super::reads::Reads;
use crate::error::Result;
use crate::kernels::grid::MATMUL_K;
use crate::kernels::{
    CombineParams, Digest, GateParams, Im2colParams, MatmulParams, Merge, NormInput, NormParams,
    PoolParams, QkNormParams, RopeParams, Scores, SliceParams, Work,
};
use crate::math::activation::{Activation, activate};
use crate::math::norm::{NormKind, norm_rows};
use crate::math::pool::{PoolMode, pool_into};
/// Rows a task of an elementwise kernel works on; those of one word of flags.
const ROWS: usize = 32;

/// Runs a dispatch over what it reads: `out` is the array it writes, `flags` those of its rows.
pub(super) fn run(reads: &Reads<'_>, out: &mut [f32], flags: &mut [u32]) -> Result<()> {
    let numbers = |at| reads.numbers(at);
    let grid = reads.dispatch.grid();
    match reads.dispatch.work() {
        Work::Embed(k, p) => {
            let tables = [numbers(1)?, numbers(2)?, numbers(3)?];
            embed(p, k.kind, reads.words(0)?, tables, numbers(4)?, out, flags);
        }
        Work::Norm(k, p) => {
            let added = match k.input {
                NormInput::Whole => None,
                NormInput::Residual => Some(add_parts(p, numbers(0)?, None, numbers(4)?)),
                NormInput::Parts => Some(add_parts(p, numbers(0)?, Some(numbers(4)?), numbers(5)?)),
            };
            let x = added.as_deref().map_or_else(|| numbers(0), Ok)?;
            norm(p, k.kind, x, numbers(1)?, out, flags);
        }
        Work::Matmul(k, p) if k.splits > 1 => {
            let rows = k.rows(p, grid).unwrap_or_default();
            matmul_parts(p, rows, k.splits, numbers(0)?, reads.matrix(1)?, out);
        }
        Work::Matmul(k, p) => {
            let residual = if k.residual { Some(numbers(4)?) } else { None };
            let (a, w, bias) = (numbers(0)?, reads.matrix(1)?, numbers(2)?);
            let rows = k.rows(p, grid).unwrap_or_default();
            matmul(rows, k.activation, a, w, bias, out, residual);
        }
        Work::Attention(k, p) => {
            let heads = (k.head_dim as usize, grid[1] as usize);
            let positions = positions(k.scores, reads)?;
            attention(p, heads, positions, numbers(0)?, reads.words(1)?, out);
        }
        Work::Weigh(k, p) => {
            let (size, positions) = (grid.map(|n| n as usize).into(), positions(k.scores, reads)?);
            weigh(p, size, positions, numbers(0)?, reads.words(1)?, out);
        }
        Work::Digest(k, p) => {
            let marks = if *k == Digest::Marked { numbers(3)? } else { &[] };
            digest(p, *k, numbers(0)?, reads.words(1)?, marks, out);
        }
        Work::Rope(_, p) => rope(p, reads.words(0)?, numbers(1)?, out),
        Work::Gate(k, p) => gate(p, k.activation, numbers(0)?, out),
        Work::Im2col(_, p) => im2col(p, reads.words(0)?, numbers(1)?, out),
        Work::QkNorm(_, p) => qk_norm(p, numbers(0)?, out),
        Work::Route(_, p) => route(p, numbers(0)?, out),
        Work::Expert(k, p) => {
            let (a, w, routes) = (numbers(0)?, reads.matrix(1)?, numbers(2)?);
            expert(p, k.activation, k.shared, a, w, routes, out);
        }
        Work::Slice(k, p) => {
            let bias = if k.parts { Some(numbers(2)?) } else { None };
            slice(p, numbers(0)?, bias, out);
        }
        Work::Combine(k, p) => combine(p, k.0, numbers(0)?, out),
        Work::Pool(k, p) => {
            let ranges = &reads.words(1)?[..2 * grid[0] as usize];
            pool(p, k.0, numbers(0)?, ranges, out);
        }
    }
    Ok(())
}

/// What is added to the scores of attention, from its fourth binding on.
fn positions<'a>(scores: Scores, reads: &'a Reads<'_>) -> Result<Positions<'a>> {
    Ok(match scores {
        Scores::Plain => Positions::Plain,
        Scores::Window => Positions::Window,
        Scores::Alibi => Positions::Alibi(reads.numbers(3)?),
        Scores::Relative => Positions::Relative(reads.numbers(3)?),
        Scores::Disentangled => Positions::Disentangled(reads.numbers(3)?, reads.words(4)?),
    })
}

/// `x = norm(word[id] + position[p] + type[t])`; `tokens` is (rows, 4), `tables` are those of words,
/// positions and types, `weight` is (2, stride), `status` as in `norm`.
pub fn embed(
    p: &NormParams,
    kind: NormKind,
    tokens: &[u32],
    [word, position, token_type]: [&[f32]; 3],
    weight: &[f32],
    x: &mut [f32],
    status: &mut [u32],
) {
    let stride = 4 * p.stride4 as usize;
    let x = &mut x[..p.rows as usize * stride];
    x.par_chunks_mut(stride).zip(tokens.par_chunks(4)).for_each(|(x, token)| {
        let row = |table, i: u32| -> &[f32] { row_of(table, i as usize, stride) };
        let words = row(word, token[0]).iter();
        let rest = row(token_type, token[2]).iter().zip(row(position, token[1]));
        for ((x, w), (t, p)) in x.iter_mut().zip(words).zip(rest) {
            *x = w + t + p;
        }
    });
    let summed = x.to_vec();
    norm(p, kind, &summed, weight, x, status);
}

fn row_of(table: &[f32], i: usize, stride: usize) -> &[f32] {
    &table[i * stride..(i + 1) * stride]
}

/// y = γ (x − mean) / √(var + ε) + β over each row, or what else `kind` says; `weight` is (2, stride). `status` is one bit a
/// row, set where it is not finite, then one word a state: 1 + the last such row, or 0.
pub fn norm(
    p: &NormParams,
    kind: NormKind,
    x: &[f32],
    weight: &[f32],
    y: &mut [f32],
    status: &mut [u32],
) {
    let stride = 4 * p.stride4 as usize;
    let (x, y) = (&x[..p.rows as usize * stride], &mut y[..p.rows as usize * stride]);
    let (width, block) = (p.width as usize, ROWS * stride);
    let (flags, states) = status.split_at_mut((p.rows as usize).div_ceil(ROWS));
    let blocks = x.par_chunks(block).zip(y.par_chunks_mut(block)).zip(flags).enumerate();
    let last = blocks
        .map(|(i, ((x, y), flags))| {
            let bad = norm_rows(x, y, stride, width, kind, weight, p.eps);
            *flags |= bad;
            bad.checked_ilog2().map_or(0, |row| (i * ROWS) as u32 + row + 1)
        })
        .reduce(|| 0, u32::max);
    let state = &mut states[p.state as usize];
    *state = last.max(*state);
}

/// Some rows of C = activate(A Wᵀ + b) (+ residual).
pub fn matmul(
    rows: Range<usize>,
    activation: Activation,
    a: &[f32],
    w: &Packed,
    bias: &[f32],
    c: &mut [f32],
    residual: Option<&[f32]>,
) {
    let (n, k, first) = (w.n(), w.k(), rows.start);
    product_parallel(&a[first * k..], rows.len(), w, &mut c[first * n..], |row, column, c| {
        for (c, b) in c.iter_mut().zip(&bias[column..]) {
            *c += b;
        }
        activate(c, activation);
        if let Some(residual) = residual {
            for (c, r) in c.iter_mut().zip(&residual[(first + row) * n + column..]) {
                *c += r;
            }
        }
    });
}

/// Some rows of A Wᵀ in `splits` parts along k, (splits, m, n), each of whole steps of 16. Only a recording made
/// for a GPU asks for it, in tests and `doctor`: the weight is copied part by part.
pub fn matmul_parts(
    p: &MatmulParams,
    rows: Range<usize>,
    splits: u32,
    a: &[f32],
    w: &Packed,
    c: &mut [f32],
) {
    let (m, n, k) = (p.m as usize, w.n(), w.k());
    let depth = MATMUL_K * (p.k_steps as usize).div_ceil(splits as usize);
    let mut scratch = Scratch::default();
    for (i, c) in c.chunks_mut(m * n).take(splits as usize).enumerate() {
        let range = (i * depth).min(k)..((i + 1) * depth).min(k);
        let (a, c) = (&a[rows.start * k..], &mut c[rows.start * n..rows.end * n]);
        if range.is_empty() {
            c.fill(0.0);
        } else {
            product(&a[range.start..], k, rows.len(), &w.depth(range), c, n, &mut scratch);
        }
    }
}

/// The parts of `x` added up, then a bias where there is one, then the residual: what `norm` reads,
/// (rows, stride).
pub fn add_parts(p: &NormParams, x: &[f32], bias: Option<&[f32]>, residual: &[f32]) -> Vec<f32> {
    let stride = 4 * p.stride4 as usize;
    let numbers = p.rows as usize * stride;
    let mut sum = x[..numbers].to_vec();
    for part in x[numbers..].chunks(numbers).take((p.parts as usize).saturating_sub(1)) {
        sum.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
    }
    for (row, residual) in sum.chunks_exact_mut(stride).zip(residual.chunks_exact(stride)) {
        if let Some(bias) = bias {
            row.iter_mut().zip(bias).for_each(|(sum, b)| *sum += b);
        }
        row.iter_mut().zip(residual).for_each(|(sum, r)| *sum += r);
    }
    sum
}

/// Numbers i and i + half of each head of queries and keys, turned by their token's angles: `tokens`
/// is (tokens, 4) with the place in the text last, `turns` (places, half, 2), cosine and sine.
pub fn rope(p: &RopeParams, tokens: &[u32], turns: &[f32], qkv: &mut [f32]) {
    let (half, stride) = (p.half as usize, p.stride as usize);
    let rows = p.pairs as usize / (half * p.heads as usize);
    let qkv = &mut qkv[..rows * stride];
    qkv.par_chunks_mut(stride).zip(tokens.par_chunks(4)).for_each(|(row, token)| {
        let turns = &turns[token[3] as usize * 2 * half..][..2 * half];
        for head in row.chunks_exact_mut(p.head_dim as usize).take(p.heads as usize) {
            let (first, second) = head.split_at_mut(half);
            for ((x, y), turn) in first.iter_mut().zip(second).zip(turns.chunks_exact(2)) {
                (*x, *y) = (*x * turn[0] - *y * turn[1], *y * turn[0] + *x * turn[1]);
            }
        }
    });
}

/// y = act(gate) × up; `both` is (rows, 2, inner), up first.
pub fn gate(p: &GateParams, activation: Activation, both: &[f32], y: &mut [f32]) {
    let inner = 4 * p.inner4 as usize;
    let y = &mut y[..4 * p.vectors as usize];
    y.par_chunks_mut(inner).zip(both.par_chunks(2 * inner)).for_each(|(y, both)| {
        let (up, gate) = both.split_at(inner);
        y.copy_from_slice(gate);
        activate(y, activation);
        y.iter_mut().zip(up).for_each(|(y, up)| *y *= up);
    });
}

/// y is (tokens, taps, stride): tap i of a token is its text's token i - taps / 2 further on, or zeros
/// where the text has none there; `tokens` is (tokens, 4) with the place in the text last.
pub fn im2col(p: &Im2colParams, tokens: &[u32], x: &[f32], y: &mut [f32]) {
    let (stride, taps) = (4 * p.stride4 as usize, p.taps as usize);
    let rows = p.vectors as usize / (p.stride4 as usize * taps);
    let y = &mut y[..rows * taps * stride];
    let place = |token: usize| tokens[4 * token + 3] as usize;
    y.par_chunks_mut(taps * stride).enumerate().for_each(|(token, y)| {
        for (tap, y) in y.chunks_exact_mut(stride).enumerate() {
            let near = (token + tap).checked_sub(taps / 2).filter(|near| *near < rows);
            match near.filter(|near| place(*near) + taps / 2 == place(token) + tap) {
                Some(near) => y.copy_from_slice(&x[near * stride..(near + 1) * stride]),
                None => y.fill(0.0),
            }
        }
    });
}

/// Queries and keys normalised in place, each over all its heads; `weight` is (2, 2, joined): γ, β
/// of queries, then of keys.
pub fn qk_norm(p: &QkNormParams, weight: &[f32], qkv: &mut [f32]) {
    let (stride, joined) = (4 * p.qkv4 as usize, 4 * p.joined4 as usize);
    let (head, head_dim) = (4 * p.head4 as usize, p.head_dim as usize);
    qkv[..p.rows as usize * stride].par_chunks_mut(stride).for_each(|row| {
        let sides = row.chunks_exact_mut(joined).zip(weight.chunks_exact(2 * joined)).take(2);
        for (x, gamma_beta) in sides {
            let (gamma, beta) = gamma_beta.split_at(joined);
            let counts = |i: &usize| i % head < head_dim;
            let each = || (0..joined).filter(counts);
            let n = f64::from(p.width);
            let mean = each().map(|i| f64::from(x[i])).sum::<f64>() / n;
            let squares: f64 = each().map(|i| (f64::from(x[i]) - mean).powi(2)).sum();
            let scale = 1.0 / (squares / n + f64::from(p.eps)).sqrt();
            for i in each() {
                let normed = ((f64::from(x[i]) - mean) * scale) as f32;
                x[i] = normed.mul_add(gamma[i], beta[i]);
            }
        }
    });
}

/// Some columns of every row; of what was left in `p.parts` parts their sum and a bias.
pub fn slice(p: &SliceParams, x: &[f32], bias: Option<&[f32]>, y: &mut [f32]) {
    let (line, columns) = (4 * p.in4 as usize, 4 * p.out4 as usize);
    let y = &mut y[..4 * p.vectors as usize];
    let numbers = y.len() / columns * line;
    y.par_chunks_mut(columns).enumerate().for_each(|(row, y)| {
        let at = row * line + 4 * p.first4 as usize;
        y.copy_from_slice(&x[at..at + columns]);
        for part in 1..p.parts as usize {
            let part = &x[part * numbers + at..][..columns];
            y.iter_mut().zip(part).for_each(|(y, x)| *y += x);
        }
        if let Some(bias) = bias {
            y.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
        }
    });
}

/// merged = merge(merged, factor × x), started by the first state.
pub fn combine(p: &CombineParams, merge: Merge, x: &[f32], merged: &mut [f32]) {
    let numbers = 4 * p.vectors as usize;
    let (x, merged) = (&x[..numbers], &mut merged[..numbers]);
    x.par_chunks(4096).zip(merged.par_chunks_mut(4096)).for_each(|(x, merged)| {
        for (m, x) in merged.iter_mut().zip(x) {
            let value = p.factor * x;
            *m = match (p.first, merge) {
                (1, _) => value,
                (_, Merge::Linear) => *m + value,
                (_, Merge::Max) => m.max(value),
            };
        }
    });
}

/// One row a text: `ranges` is (texts, 2), first row and rows.
pub fn pool(p: &PoolParams, reduce: PoolMode, x: &[f32], ranges: &[u32], pooled: &mut [f32]) {
    let (stride, out) = (4 * p.stride4 as usize, 4 * p.out4 as usize);
    let start = 4 * p.start4 as usize;
    for (i, range) in ranges.chunks_exact(2).enumerate() {
        let (first, rows) = (range[0] as usize, range[1] as usize);
        let x = &x[first * stride..(first + rows) * stride];
        let mut row = Vec::with_capacity(stride);
        pool_into(reduce, x, stride, 0, &mut row);
        pooled[start + i * out..][..stride].copy_from_slice(&row);
    }
}
