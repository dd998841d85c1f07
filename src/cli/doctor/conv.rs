//! The cases of a convolution's neighbours.

use everylayer::schedule::params::{Im2colParams, Params};
use everylayer::schedule::recording::Recording;
use everylayer::schedule::{Variant, tiles};
use everylayer::testing::Single;

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
    let vectors = rows * taps * stride / 4;
    let (grid, row) = tiles::flat_grid(vectors);
    let params = Im2colParams {
        vectors: vectors as u32,
        row,
        stride4: (stride / 4) as u32,
        taps: taps as u32,
    };
    finish(single, Variant::Im2col, Params::Im2col(params), vec![lines, x, y], grid)
}
