//! Attention on the CPU: text by text and head by head, with what a family adds to its scores.

use std::f32::consts::LOG2_E;
use std::ops::Range;

use rayon::prelude::*;

use super::product::{Packed, Scratch, product};
use crate::kernels::{AttentionParams, WeighParams};
use crate::math::softmax::softmax2_rows;

/// Query rows whose scores are held at once.
const QUERIES: usize = 64;
/// Rows a task that joins heads works on.
const ROWS: usize = 32;
/// The score of a key that does not count.
const FAR: f32 = -1e30;

/// What becomes of the scores: the bindings of `attention.wgsl` behind its third.
#[derive(Debug, Clone, Copy)]
pub enum Positions<'a> {
    /// Nothing.
    Plain,
    /// Keys further away than `reach` do not count.
    Window,
    /// A slope a head.
    Alibi(&'a [f32]),
    /// (2 reach + 1, line): what a distance adds for each head.
    Relative(&'a [f32]),
    /// Queries and keys of the places, (2 span, 2, heads, head_dim), and the place of each distance.
    Disentangled(&'a [f32], &'a [u32]),
}

/// context = softmax(q kᵀ / √d) v for each tile of up to 64 rows of one text, head by head.
/// `heads` heads from `p.first_head` on; `qkv` is (tokens, heads + 2 kv_heads, head_dim), `tiles`
/// (tiles, 4), `context` (tokens, heads, head_dim).
pub fn attention(
    p: &AttentionParams,
    (head_dim, heads): (usize, usize),
    positions: Positions<'_>,
    qkv: &[f32],
    tiles: &[u32],
    context: &mut [f32],
) {
    let (qkv_stride, joined) = (4 * p.qkv4 as usize, 4 * p.out4 as usize);
    let texts: Vec<(usize, usize, usize)> = tiles
        .chunks_exact(4)
        .filter(|t| t[2] == 0)
        .map(|t| (t[0] as usize, t[1] as usize, (t[1] - t[3]) as usize))
        .collect();
    let from = p.first_head as usize;
    // One task a text and head, longest texts first; then the heads are joined.
    let parts: Vec<Vec<f32>> = (0..texts.len() * heads)
        .into_par_iter()
        .map_init(HeadScratch::default, |scratch, i| {
            let ((first, length, keys), head) = (texts[i / heads], from + i % heads);
            let shared = head / p.group.max(1) as usize;
            let key = joined + shared * head_dim;
            let shape = HeadShape {
                stride: qkv_stride,
                length,
                keys,
                head,
                at: [head * head_dim, key, key + 4 * p.kv4 as usize],
                head_dim,
            };
            let rows = &qkv[first * qkv_stride..(first + length) * qkv_stride];
            one_head(p, rows, &shape, positions, scratch)
        })
        .collect();
    for (&(first, length, _), parts) in texts.iter().zip(parts.chunks_exact(heads)) {
        let out = &mut context[first * joined..(first + length) * joined];
        out.par_chunks_exact_mut(joined).enumerate().with_min_len(ROWS).for_each(|(row, out)| {
            for (out, part) in out.chunks_exact_mut(head_dim).skip(from).zip(parts) {
                out.copy_from_slice(&part[row * head_dim..(row + 1) * head_dim]);
            }
        });
    }
}

/// What one thread keeps from head to head.
#[derive(Default)]
struct HeadScratch {
    keys: Packed,
    values: Packed,
    scores: Vec<f32>,
    rows: Scratch,
}

/// Where one head of one text lies.
struct HeadShape {
    /// Numbers between two rows of queries, keys and values.
    stride: usize,
    /// Tokens of the text.
    length: usize,
    /// Those of them, from the first, that are keys.
    keys: usize,
    head: usize,
    /// First number of the head's queries, keys and values in a row.
    at: [usize; 3],
    head_dim: usize,
}

impl HeadShape {
    /// The keys that some of `queries` see.
    fn seen(
        &self,
        p: &AttentionParams,
        positions: Positions<'_>,
        queries: Range<usize>,
    ) -> Range<usize> {
        let reach = p.reach as usize;
        match positions {
            Positions::Window => {
                let end = (queries.end + reach).min(self.keys);
                queries.start.saturating_sub(reach).min(end)..end
            }
            _ => 0..self.keys,
        }
    }
}

/// One head of one text: (length, head_dim).
fn one_head(
    p: &AttentionParams,
    qkv: &[f32],
    shape: &HeadShape,
    positions: Positions<'_>,
    scratch: &mut HeadScratch,
) -> Vec<f32> {
    let HeadShape { stride, length, at, head_dim, .. } = *shape;
    let HeadScratch { keys, values, scores, rows } = scratch;
    let part = |row: usize, which: usize| &qkv[row * stride + at[which]..][..head_dim];
    let mut packed = 0..0;
    let near = Near::of(p, shape, positions, qkv, rows);
    let mut out = vec![0.0; length * head_dim];
    for (block, out) in out.chunks_mut(QUERIES * head_dim).enumerate() {
        let count = out.len() / head_dim;
        let first = block * QUERIES;
        let seen = shape.seen(p, positions, first..first + count);
        if packed != seen {
            keys.pack_columns(seen.len(), head_dim, |j| part(seen.start + j, 1));
            values.pack_lines(head_dim, seen.len(), |i| part(seen.start + i, 2));
            packed = seen.clone();
        }
        weigh_rows(
            p,
            shape,
            (positions, near.as_ref()),
            qkv,
            (first, count),
            &seen,
            (keys, scores),
            rows,
        );
        product(scores, seen.len(), count, values, out, head_dim, rows);
    }
    out
}

/// The weights of `count` queries from `first` on, whose keys `seen` are packed: (count, keys).
#[expect(clippy::too_many_arguments, reason = "one argument a term of the formula")]
fn weigh_rows(
    p: &AttentionParams,
    shape: &HeadShape,
    (positions, near): (Positions<'_>, Option<&Near<'_>>),
    qkv: &[f32],
    (first, count): (usize, usize),
    seen: &Range<usize>,
    (keys, scores): (&Packed, &mut Vec<f32>),
    rows: &mut Scratch,
) {
    let (stride, n) = (shape.stride, seen.len());
    scores.clear();
    scores.resize(count * n, 0.0);
    let queries = &qkv[first * stride + shape.at[0]..];
    product(queries, stride, count, keys, scores, n, rows);
    let mut scale = p.scale;
    if let Some(near) = near {
        near.add(first, queries, stride, scores, n, rows);
    } else if !matches!(positions, Positions::Plain) {
        let bias = |query: usize, key: usize| bias(p, positions, shape.head, query, key);
        add_bias(scores, p.scale, first, seen, bias);
        scale = 1.0;
    }
    softmax2_rows(scores, n, scale);
}

/// The weights of the rows and heads of `p`, (heads, rows, keys): `lines` is (tokens, 4), first row of the
/// text, its tokens, the place in it, its keys; `rows` and `heads` are how many of them. What lies past
/// the keys of a text is zero. The weights are those that [`attention`] takes.
pub fn weigh(
    p: &WeighParams,
    (rows, heads): (usize, usize),
    positions: Positions<'_>,
    qkv: &[f32],
    lines: &[u32],
    weights: &mut [f32],
) {
    let head_dim = 4 * p.head4 as usize;
    let (stride, joined) = (4 * p.qkv4 as usize, 4 * p.out4 as usize);
    let all = 4 * p.keys4 as usize;
    let (qkv4, out4, scale, group) = (p.qkv4, p.out4, p.scale, p.group);
    let (reach, line, first_head) = (p.reach, p.line, p.first_head);
    let of = AttentionParams { qkv4, out4, scale, kv4: 0, group, reach, line, first_head };
    let out = &mut weights[p.to as usize * rows * all..][..heads * rows * all];
    out.par_chunks_mut(rows * all).enumerate().for_each(|(i, out)| {
        let head = first_head as usize + i;
        let mut scratch = HeadScratch::default();
        let mut row = p.first_row as usize;
        let end = row + rows;
        let mut out = out.chunks_mut(all);
        while row < end {
            let &[first, length, place, keys] =
                lines.as_chunks::<4>().0.get(row).unwrap_or(&[0; 4]);
            let [first, length, place, most] = [first, length, place, keys].map(|n| n as usize);
            let key = joined + head / group.max(1) as usize * head_dim;
            let at = [head * head_dim, key, key];
            let shape = HeadShape { stride, length, keys: most, head, at, head_dim };
            let text = &qkv[first * stride..(first + length) * stride];
            let HeadScratch { keys, scores, rows, .. } = &mut scratch;
            let near = Near::of(&of, &shape, positions, text, rows);
            let last = (first + length).min(end) - first;
            for query in (place..last).step_by(QUERIES) {
                let count = QUERIES.min(last - query);
                let seen = shape.seen(&of, positions, query..query + count);
                let key = |j: usize| &text[(seen.start + j) * stride + key..][..head_dim];
                keys.pack_columns(seen.len(), head_dim, key);
                let near = (positions, near.as_ref());
                weigh_rows(&of, &shape, near, text, (query, count), &seen, (&*keys, scores), rows);
                for (i, (line, out)) in scores.chunks(seen.len().max(1)).zip(&mut out).enumerate() {
                    out.fill(0.0);
                    // The softmax of the block leaves something too small to count outside of a window.
                    let own = shape.seen(&of, positions, query + i..query + i + 1);
                    let line = &line[own.start - seen.start..own.end - seen.start];
                    out[own].copy_from_slice(line);
                }
            }
            row = first + last;
        }
    });
}

/// scores × scale + bias, for the rows from `first` on and the keys `seen`.
fn add_bias(
    scores: &mut [f32],
    scale: f32,
    first: usize,
    seen: &Range<usize>,
    bias: impl Fn(usize, usize) -> Option<f32>,
) {
    for (i, row) in scores.chunks_exact_mut(seen.len()).enumerate() {
        for (score, key) in row.iter_mut().zip(seen.clone()) {
            *score = bias(first + i, key).map_or(FAR, |b| score.mul_add(scale, b));
        }
    }
}

/// What the pair gets in base 2; `None` where it does not count.
fn bias(
    p: &AttentionParams,
    positions: Positions<'_>,
    head: usize,
    query: usize,
    key: usize,
) -> Option<f32> {
    let reach = p.reach as usize;
    match positions {
        Positions::Plain | Positions::Disentangled(..) => Some(0.0),
        Positions::Window => (query.abs_diff(key) <= reach).then_some(0.0),
        Positions::Alibi(slopes) => Some(-(slopes[head] * LOG2_E) * query.abs_diff(key) as f32),
        Positions::Relative(table) => {
            let row = (key + reach).saturating_sub(query).min(2 * reach);
            Some(table[row * p.line as usize + head] * LOG2_E)
        }
    }
}

/// The places that the distances of one text meet, for one head.
struct Near<'a> {
    place_of: &'a [u32],
    reach: usize,
    /// The lowest of them.
    lowest: usize,
    /// How many.
    count: usize,
    /// Keys of the places.
    keys: Packed,
    /// Each key with the queries of the places, (length, count).
    met: Vec<f32>,
    length: usize,
}

impl<'a> Near<'a> {
    /// Those of `positions`, where they are DeBERTa's.
    fn of(
        p: &AttentionParams,
        shape: &HeadShape,
        positions: Positions<'a>,
        qkv: &[f32],
        rows: &mut Scratch,
    ) -> Option<Self> {
        match positions {
            Positions::Disentangled(places, place_of) => {
                Some(Self::new(p, shape, places, place_of, qkv, rows))
            }
            _ => None,
        }
    }

    fn new(
        p: &AttentionParams,
        shape: &HeadShape,
        places: &[f32],
        place_of: &'a [u32],
        qkv: &[f32],
        rows: &mut Scratch,
    ) -> Self {
        let (length, head_dim) = (shape.length, shape.head_dim);
        let joined = 4 * p.out4 as usize;
        let reach = p.reach as usize;
        let far = (length - 1).min(reach);
        let met_by = &place_of[reach - far..=reach + far];
        let lowest = met_by.iter().copied().min().unwrap_or(0) as usize;
        let highest = met_by.iter().copied().max().unwrap_or(0) as usize;
        let count = highest - lowest + 1;
        let place = |row: usize, which: usize| {
            let at = ((lowest + row) * 2 + which) * joined + shape.head * head_dim;
            &places[at..at + head_dim]
        };
        let (mut queries, mut keys) = (Packed::default(), Packed::default());
        queries.pack_columns(count, head_dim, |j| place(j, 0));
        keys.pack_columns(count, head_dim, |j| place(j, 1));
        let mut met = vec![0.0; length * count];
        product(&qkv[shape.at[1]..], shape.stride, length, &queries, &mut met, count, rows);
        Self { place_of, reach, lowest, count, keys, met, length }
    }

    /// Adds what the pairs of the queries from `first` on get, unscaled.
    fn add(
        &self,
        first: usize,
        queries: &[f32],
        stride: usize,
        scores: &mut [f32],
        n: usize,
        rows: &mut Scratch,
    ) {
        let lines = scores.len() / n;
        let mut with = vec![0.0; lines * self.count];
        product(queries, stride, lines, &self.keys, &mut with, self.count, rows);
        for (i, row) in scores.chunks_exact_mut(n).enumerate() {
            for (key, score) in row.iter_mut().enumerate().take(self.length) {
                let distance = (first + i + self.reach).saturating_sub(key).min(2 * self.reach);
                let place = self.place_of[distance] as usize - self.lowest;
                *score += with[i * self.count + place] + self.met[key * self.count + place];
            }
        }
    }
}
