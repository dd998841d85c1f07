//! The cases of a mixture of experts.

use super::{Shelf, Single};
use crate::kernels::{Expert, ExpertShape, Route, route_words};
use crate::model::layout::{Use, align4};
use crate::schedule::recording::Recording;

use super::cases::finish;
use super::rng::Rng;

/// (tokens, experts, chosen).
pub const ROUTES: [(usize, usize, usize); 4] = [(1, 2, 1), (65, 8, 2), (257, 4, 3), (600, 8, 2)];

pub fn route((tokens, experts, chosen): (usize, usize, usize)) -> Recording {
    let mut rng = Rng::new(1000 * tokens + experts);
    let mut single = Single::default();
    let line = align4(experts);
    let logits = single.input(&rng.normals(tokens * line, 2.0), line);
    let routes = single.output(route_words(tokens, experts, chosen), 1);
    finish(single, Route.over(tokens, experts, chosen, line), &[logits, routes])
}

/// Every other token through the second of two experts, as its second choice.
pub fn expert(
    kernel: Expert,
    (tokens, n, k): (usize, usize, usize),
    shelf: &mut Shelf,
) -> Recording {
    let mut rng = Rng::new(1000 * tokens + n + k);
    let mut single = Single::default();
    let slots = 2 * tokens;
    let a_rows = if kernel.shared { slots } else { tokens };
    let scale = (k as f32).sqrt().recip();
    let w = shelf.add(Use::Matrix, (n, k), rng.normals(n * k, scale));
    let a = single.input(&rng.normals(a_rows * k, 1.0), k);
    let list: Vec<f32> = (0..tokens).step_by(2).map(|t| (tokens + t) as f32).collect();
    let mut routes = vec![0.0; route_words(tokens, 2, 2)];
    routes[1] = list.len() as f32;
    routes[2 + tokens..][..list.len()].copy_from_slice(&list);
    let shares = rng.normals(slots, 0.5);
    routes[2 + 2 * tokens..].copy_from_slice(&shares);
    let routes = single.input(&routes, 1);
    let c = single.output(slots, n);
    let shape = ExpertShape { tokens, expert: (1, 2), a_rows, slots, n, k };
    finish(single, kernel.over(shape), &[a, w, routes, c])
}
