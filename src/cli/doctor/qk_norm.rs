//! The cases of normalised queries and keys.

use everylayer::model::layout::{Use, align4};
use everylayer::schedule::Variant;
use everylayer::schedule::params::{Params, QkNormParams};
use everylayer::schedule::recording::Recording;
use everylayer::testing::{Shelf, Single};

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
