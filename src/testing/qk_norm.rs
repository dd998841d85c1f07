//! The cases of normalised queries and keys.

use super::{Shelf, Single};
use crate::kernels::QkNorm;
use crate::model::layout::{Use, align4};
use crate::schedule::recording::Recording;

use super::cases::finish;
use super::rng::Rng;

/// (tokens, heads, head_dim) of queries.
pub const JOINED: [(usize, usize, usize); 3] = [(1, 2, 10), (65, 6, 12), (3, 12, 64)];

pub fn qk_norm((rows, heads, head_dim): (usize, usize, usize), shelf: &mut Shelf) -> Recording {
    let mut rng = Rng::new(1000 * rows + head_dim);
    let mut single = Single::default();
    let stride = align4(head_dim);
    let joined = heads * stride;
    let weight = rng.rows(4 * heads, head_dim, 1.0);
    let weight = shelf.add(Use::Vector, (4, joined), weight);
    let qkv = single.inout(false, &rng.rows(rows * 3 * heads, head_dim, 2.0), 3 * joined);
    let call = QkNorm.over(rows, (heads, head_dim, stride), 1e-12);
    finish(single, call, &[weight, qkv])
}
