//! What a device can take: what it binds at once, how its work is cut up, how long a submit may be.

use super::tiles;
use super::tuning::Tuning;
use super::variant::{Abilities, Elem};
use crate::model::layout::{Layout, LinearIds};
use crate::model::spec::{Block, Spec};

/// What the schedule has to know of a device.
#[derive(Debug, Clone, PartialEq)]
pub struct Caps {
    /// Bytes one binding may span.
    pub max_binding: u64,
    /// Storage type of matrices and tables.
    pub elem: Elem,
    /// Whether queries, keys, values, the result of attention and what a feed-forward layer widens to
    /// are kept in 16 bits. The residual stream and every sum are f32.
    pub narrow: bool,
    /// What the adapter can do.
    pub can: Abilities,
    /// Cuts of products that were measured there.
    pub tuning: Tuning,
    /// Readbacks of one submit before it is closed, so that copies run beside later layers.
    pub submit_read_bytes: u64,
    /// Work of one submit before it is closed, so that no driver's watchdog wakes.
    pub submit_flops: u64,
}

impl Caps {
    /// How the queries, keys and values of `block` are stored, and the result of its attention.
    /// Pairs that turn lie two in a word, so an odd number of them stays in f32, and so do queries and
    /// keys that are normalised.
    pub fn attended(&self, block: &Block) -> Elem {
        let attention = &block.attention;
        let halves = attention.rope.as_ref().is_none_or(|r| r.angles.len().is_multiple_of(2));
        if self.narrow && halves && attention.query_key_norms.is_none() {
            Elem::F16
        } else {
            Elem::F32
        }
    }

    /// How what a feed-forward layer widens to is stored.
    pub fn widened(&self) -> Elem {
        if self.narrow { Elem::F16 } else { Elem::F32 }
    }

    /// Whether the word table has to be gathered on the host: it does not fit one binding.
    pub fn gathers_on_host(&self, layout: &Layout) -> bool {
        let table = layout.weight(layout.word);
        (table.rows * table.cols) as u64 * self.elem.bytes() > self.max_binding
    }

    /// The most tokens of a batch whose heaviest product still fits a submit. One text of more than
    /// that goes alone: a product is not cut.
    pub fn timely_tokens(&self, layout: &Layout) -> usize {
        let flops = |w: LinearIds| 2 * (w.n * w.k) as u64;
        let products = layout.blocks.iter().flat_map(|b| [b.qkv, b.output, b.up, b.down]);
        let heaviest = products.map(flops).max().unwrap_or(0).max(1);
        usize::try_from(self.submit_flops / heaviest).unwrap_or(usize::MAX).max(1)
    }

    /// The most tokens one batch may have: every array stays inside one binding and one axis of
    /// a dispatch.
    pub fn max_tokens(&self, spec: &Spec, layout: &Layout) -> usize {
        let parts = |w: LinearIds| w.n * tiles::matmul_splits(self.can.class, w.n, w.k);
        let parts = layout.blocks.iter().flat_map(|b| [parts(b.output), parts(b.down)]).max();
        let whole = layout.width.max(layout.embedding).max(parts.unwrap_or(0));
        // Bytes of a row of each block's widest arrays.
        let widest = spec.blocks.iter().zip(&layout.blocks).map(|(block, ids)| {
            let qkv = ids.qkv.n as u64 * self.attended(block).bytes();
            let up = ids.up.n as u64 * self.widened().bytes();
            let taps = block.convolution.as_ref().map_or(0, |c| c.taps * layout.width);
            let experts = block.experts.as_ref().map_or(0, |e| {
                let routes = 2 * (e.count + e.chosen);
                (e.chosen * layout.inner.max(layout.width)).max(routes)
            });
            qkv.max(up).max(4 * taps.max(experts) as u64)
        });
        let widest = widest.max().unwrap_or(0).max(4 * whole as u64);
        let fits = self.max_binding / widest;
        usize::try_from(fits).unwrap_or(usize::MAX).min(tiles::MAX_GROUPS)
    }
}
