//! The twin of `digest.wgsl`.

use rayon::prelude::*;

use crate::kernels::{Digest, DigestParams};

/// What becomes of a tile of `weights`, (heads, rows, keys): `lines` is (tokens, 4), first row of the text, its
/// tokens, the place in it, its keys; `marks` is (tokens), 1 or 0.
pub fn digest(
    p: &DigestParams,
    kind: Digest,
    weights: &[f32],
    lines: &[u32],
    marks: &[f32],
    result: &mut [f32],
) {
    let (rows, keys) = (p.rows as usize, 4 * p.keys4 as usize);
    let (tokens, heads) = (p.tokens as usize, p.heads as usize);
    let first_row = p.first_row as usize;
    let line = |row: usize| lines.as_chunks::<4>().0[row].map(|n| n as usize);
    let row_of = |i: usize| &weights[i * keys..(i + 1) * keys];
    // One number a row and head.
    let mut each = |of: &(dyn Fn(&[f32], usize) -> f32 + Sync)| {
        result[..heads * tokens].par_chunks_mut(tokens).enumerate().for_each(|(head, result)| {
            for (i, result) in result[first_row..first_row + rows].iter_mut().enumerate() {
                *result = of(row_of(head * rows + i), first_row + i);
            }
        });
    };
    match kind {
        Digest::Entropy => {
            let term = |w: &f32| if *w > 0.0 { f64::from(*w) * f64::from(*w).ln() } else { 0.0 };
            each(&|row, _| -row.iter().map(term).sum::<f64>() as f32);
        }
        Digest::Distance => each(&|row, token| {
            let [_, _, place, _] = line(token);
            let far = |(key, w): (usize, &f32)| f64::from(*w) * place.abs_diff(key) as f64;
            row.iter().enumerate().map(far).sum::<f64>() as f32
        }),
        Digest::Marked => each(&|row, token| {
            let [first, _, _, keys] = line(token);
            let marked = row[..keys].iter().zip(&marks[first..]);
            marked.map(|(w, mark)| f64::from(w * mark)).sum::<f64>() as f32
        }),
        Digest::Received => {
            let of_head = |(head, result): (usize, &mut [f32])| {
                for (token, result) in result.iter_mut().enumerate() {
                    let [text, length, place, _] = line(token);
                    let (first, last) =
                        (first_row.max(text), (first_row + rows).min(text + length));
                    if first >= last {
                        continue;
                    }
                    let start = if first == text { 0.0 } else { *result };
                    let weight = |row: usize| row_of(head * rows + row - first_row)[place];
                    let sum = (first..last).fold(start, |sum, row| sum + weight(row));
                    *result = if last == text + length { sum / length as f32 } else { sum };
                }
            };
            result[..heads * tokens].par_chunks_mut(tokens).enumerate().for_each(of_head);
        }
        Digest::Mean => {
            for (i, result) in result[..rows * keys].iter_mut().enumerate() {
                let sum: f32 = (0..heads).map(|head| weights[head * rows * keys + i]).sum();
                *result = sum / heads as f32;
            }
        }
        Digest::Top => {
            let top = p.top as usize;
            let per_head = 2 * top * tokens;
            let of_head = |(head, result): (usize, &mut [f32])| {
                for i in 0..rows {
                    let token = first_row + i;
                    let row = &row_of(head * rows + i)[..line(token)[3]];
                    put_top(row, &mut result[2 * top * token..][..2 * top]);
                }
            };
            result[..heads * per_head].par_chunks_mut(per_head).enumerate().for_each(of_head);
        }
    }
}

/// The largest of `row`, of equal ones the first, then their places; 0 and -1 where it has too few.
fn put_top(row: &[f32], result: &mut [f32]) {
    let (values, places) = result.split_at_mut(result.len() / 2);
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by(|&a, &b| row[b].total_cmp(&row[a]).then(a.cmp(&b)));
    for (i, (value, place)) in values.iter_mut().zip(places).enumerate() {
        (*value, *place) = order.get(i).map_or((0.0, -1.0), |&key| (row[key], key as f32));
    }
}
