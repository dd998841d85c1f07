//! The cases of a mixture of experts.

use everylayer::model::layout::{Use, align4};
use everylayer::schedule::params::{ExpertParams, Params, RouteParams};
use everylayer::schedule::recording::Recording;
use everylayer::schedule::{Variant, tiles};
use everylayer::testing::{Shelf, Single};

use super::cases::finish;
use super::rng::Rng;

/// (tokens, experts, chosen).
pub const ROUTES: [(usize, usize, usize); 4] = [(1, 2, 1), (65, 8, 2), (257, 4, 3), (600, 8, 2)];

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
