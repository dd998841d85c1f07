//! The cases of a convolution's neighbours.

use super::Single;
use crate::kernels::Im2col;
use crate::schedule::recording::Recording;

use super::cases::finish;
use super::rng::Rng;

/// (tokens a text, texts, numbers in a row, taps).
pub const IM2COLS: [(usize, usize, usize, usize); 3] =
    [(1, 1, 12, 3), (3, 5, 36, 5), (70, 2, 4, 3)];

pub fn im2col((tokens, texts, stride, taps): (usize, usize, usize, usize)) -> Recording {
    let mut rng = Rng::new(1000 * tokens + stride);
    let mut single = Single::over(texts);
    let rows = tokens * texts;
    let lines = (0..rows).flat_map(|i| [0, 0, 0, (i % tokens) as u32]).collect();
    let lines = single.words(lines);
    let x = single.input(&rng.normals(rows * stride, 1.0), stride);
    let y = single.output(rows * taps, stride);
    finish(single, Im2col.over(rows, taps, stride), &[lines, x, y])
}
