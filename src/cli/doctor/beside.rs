//! The cases of kernels that few families run: convolutions, joined norms, experts.

use everylayer::model::layout::{Use, align4};
use everylayer::schedule::params::{ExpertParams, Params, QkNormParams, RouteParams, UnfoldParams};
use everylayer::schedule::recording::Recording;
use everylayer::schedule::{Variant, tiles};
use everylayer::single::{Shelf, Single};

use super::cases::finish;
use super::rng::Rng;

/// (tokens a text, texts, numbers in a row, taps).
pub const UNFOLDS: [(usize, usize, usize, usize); 3] =
    [(1, 1, 12, 3), (3, 5, 36, 5), (70, 2, 4, 3)];
/// (tokens, heads, head_dim) of queries.
pub const JOINED: [(usize, usize, usize); 3] = [(1, 2, 10), (65, 6, 12), (3, 12, 64)];
/// (tokens, experts, chosen).
pub const ROUTES: [(usize, usize, usize); 4] = [(1, 2, 1), (65, 8, 2), (257, 4, 3), (600, 8, 2)];

pub fn unfold((tokens, texts, stride, taps): (usize, usize, usize, usize)) -> Recording {
    let mut rng = Rng::new(1000 * tokens + stride);
    let mut single = Single::over(texts);
    let rows = tokens * texts;
    let lines = (0..rows).flat_map(|i| [0, 0, 0, (i % tokens) as u32]).collect();
    let lines = single.words(lines);
    let x = single.input(&rng.normals(rows * stride, 1.0), stride);
    let y = single.output(rows * taps, stride);
    let vectors = rows * taps * stride / 4;
    let (grid, row) = tiles::flat_grid(vectors);
    let params = UnfoldParams {
        vectors: vectors as u32,
        row,
        stride4: (stride / 4) as u32,
        taps: taps as u32,
    };
    finish(single, Variant::Unfold, Params::Unfold(params), vec![lines, x, y], grid)
}

pub fn qk_norm((rows, heads, head_dim): (usize, usize, usize), shelf: &mut Shelf) -> Recording {
    let mut rng = Rng::new(1000 * rows + head_dim);
    let mut single = Single::default();
    let stride = align4(head_dim);
    let joined = heads * stride;
    let weight = rng.rows(4 * heads, head_dim, 1.0);
    let weight = shelf.add(Use::Vector, (4, joined), weight);
    let qkv = single.inout(false, &rng.rows(rows * 3 * heads, head_dim, 2.0), 3 * joined);
    let params = QkNormParams {
        qkv4: (3 * joined / 4) as u32,
        joined4: (joined / 4) as u32,
        head4: (stride / 4) as u32,
        head_dim: head_dim as u32,
        width: (heads * head_dim) as u32,
        eps: 1e-12,
        rows: rows as u32,
        pad: 0,
    };
    let params = Params::QkNorm(params);
    finish(single, Variant::QkNorm, params, vec![weight, qkv], [rows as u32, 2])
}

pub fn route((tokens, experts, chosen): (usize, usize, usize)) -> Recording {
    let mut rng = Rng::new(1000 * tokens + experts);
    let mut single = Single::default();
    let line = align4(experts);
    let logits = single.input(&rng.normals(tokens * line, 2.0), line);
    let routes = single.output(tiles::route_words(tokens, experts, chosen), 1);
    let params = RouteParams {
        tokens: tokens as u32,
        experts: experts as u32,
        line: line as u32,
        chosen: chosen as u32,
    };
    let params = Params::Route(params);
    finish(single, Variant::Route, params, vec![logits, routes], [experts as u32, 1])
}

/// Every other token through the second of two experts, as its second choice.
pub fn expert(
    variant: Variant,
    shared: bool,
    (tokens, n, k): (usize, usize, usize),
    shelf: &mut Shelf,
) -> Recording {
    let mut rng = Rng::new(1000 * tokens + n + k);
    let mut single = Single::default();
    let slots = 2 * tokens;
    let a_rows = if shared { slots } else { tokens };
    let scale = (k as f32).sqrt().recip();
    let w = shelf.add(Use::Matrix, (n, k), rng.normals(n * k, scale));
    let a = single.input(&rng.normals(a_rows * k, 1.0), k);
    let list: Vec<f32> = (0..tokens).step_by(2).map(|t| (tokens + t) as f32).collect();
    let mut routes = vec![0.0; tiles::route_words(tokens, 2, 2)];
    routes[1] = list.len() as f32;
    routes[2 + tokens..][..list.len()].copy_from_slice(&list);
    let shares = rng.normals(slots, 0.5);
    routes[2 + 2 * tokens..].copy_from_slice(&shares);
    let routes = single.input(&routes, 1);
    let c = single.output(slots, n);
    let params = ExpertParams {
        tokens: tokens as u32,
        experts: 2,
        expert: 1,
        a_rows: a_rows as u32,
        n4: (n / 4) as u32,
        k4: (k / 4) as u32,
        k_steps: k.div_ceil(tiles::MATMUL_K) as u32,
        pad: 0,
    };
    let params = Params::Expert(params);
    finish(single, variant, params, vec![a, w, routes, c], tiles::expert_grid(tokens, n))
}
