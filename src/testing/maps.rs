//! Cases of the kernels that bring attention's weights out.

use super::cases::{REACH, finish, taken_in};
use super::rng::Rng;
use super::{Shelf, Single};
use crate::kernels::{AttentionShape, Digest, DigestShape, Scores, Weigh, WeighShape};
use crate::model::layout::align4;
use crate::schedule::recording::Recording;
use crate::schedule::tiles::token_lines;
use crate::text::pack::PackedBatch;

/// Tokens of each text, and numbers between two heads: below a workgroup's 64 vectors of keys, and more.
pub const TILES: [(&[usize], usize); 3] = [(&[1], 4), (&[70, 64, 2, 1], 12), (&[300, 17], 32)];

/// The lines of texts of so many tokens, whose last is no key where it has more than two.
fn lines(texts: &[usize]) -> Vec<u32> {
    let ends = texts.iter().scan(0, |end, &n| {
        *end += n as u32;
        Some(*end)
    });
    let offsets = std::iter::once(0).chain(ends).collect();
    let hidden = texts.iter().map(|&n| u32::from(n > 2)).collect();
    token_lines(&PackedBatch { offsets, hidden, ..PackedBatch::default() })
}

/// All rows but the first by the second of two heads, behind another's place.
pub fn weigh(kernel: Weigh, (texts, head_dim): (&[usize], usize), shelf: &mut Shelf) -> Recording {
    let tokens: usize = texts.iter().sum();
    let shared = if kernel.scores == Scores::Disentangled { 1 } else { 2 };
    let (joined, kv) = (2 * head_dim, 2 * head_dim / shared);
    let mut rng = Rng::new(1000 * tokens + head_dim);
    let mut single = Single::over(texts.len());
    // Sharp, so that the largest counts.
    let qkv = rng.normals(tokens * (joined + 2 * kv), 2.0);
    let qkv = single.input_in(kernel.narrow, &qkv, joined + 2 * kv);
    let lines = single.words(lines(texts));
    let keys = align4(texts.iter().copied().max().unwrap_or(1));
    let first = usize::from(tokens > 1);
    let weights = single.inout(false, &vec![0.0; 2 * (tokens - first) * keys], keys);
    let mut binds = vec![qkv, lines, weights];
    binds.extend(taken_in(kernel.scores, joined, &mut single, &mut rng, shelf));
    let of =
        AttentionShape { heads: 2, kv_heads: 2 / shared, divisor: head_dim, reach: REACH, line: 4 };
    let shape = WeighShape { of, head_dim, rows: (first, tokens), heads: (1, 2), keys, to: 1 };
    finish(single, kernel.over(shape, 0), &binds)
}

/// The rows in the middle of weights of two heads.
pub fn digest(kernel: Digest, texts: &[usize]) -> Recording {
    let tokens: usize = texts.iter().sum();
    let keys = align4(texts.iter().copied().max().unwrap_or(1));
    let rows = (tokens / 3, tokens - tokens / 4);
    let mut rng = Rng::new(7 * tokens);
    let mut single = Single::over(texts.len());
    let lines = lines(texts);
    let mut weights = Vec::new();
    for _ in 0..2 {
        for row in rows.0..rows.1 {
            let seen = lines[4 * row + 3] as usize;
            let mut line = vec![0.0; keys];
            let raw: Vec<f32> = rng.normals(seen, 1.0).into_iter().map(f32::abs).collect();
            let sum: f32 = raw.iter().sum();
            line.iter_mut().zip(raw).for_each(|(w, raw)| *w = raw / sum);
            weights.extend(line);
        }
    }
    let weights = single.input(&weights, keys);
    let lines = single.words(lines);
    let top = if kernel == Digest::Top { 3 } else { 0 };
    let numbers = match kernel {
        Digest::Mean => (rows.1 - rows.0) * keys,
        Digest::Top => 4 * top * tokens,
        _ => 2 * tokens,
    };
    let result = single.inout(false, &vec![0.0; align4(numbers)], align4(numbers));
    let mut binds = vec![weights, lines, result];
    if kernel == Digest::Marked {
        let marks: Vec<f32> = (0..align4(tokens)).map(|i| (i % 2) as f32).collect();
        binds.push(single.input(&marks, marks.len()));
    }
    let shape = DigestShape { heads: 2, rows, keys, tokens, top };
    finish(single, kernel.over(shape), &binds)
}
