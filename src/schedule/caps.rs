//! What a device can take: what it binds at once, how its work is cut up, how long a submit may be.

use super::tiles;
use super::tuning::Tuning;
use crate::kernels::grid::MAX_GROUPS;
use crate::kernels::{AdapterFeatures, Elem};
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
    pub can: AdapterFeatures,
    /// Cuts of products that were measured there.
    pub tuning: Tuning,
    /// Readbacks of one submit before it is closed, so that copies run beside later layers.
    pub submit_read_bytes: u64,
    /// Work of one submit before it is closed, so that no driver's watchdog wakes.
    pub submit_flops: u64,
}

impl Caps {
    /// How the queries, keys and values of `block` are stored, and the result of its attention. Queries
    /// and keys that are turned or normalised would be rounded twice, which sharp attention shows (a
    /// cosine of 0.99987 in one of the small models of tests): those stay in f32.
    pub fn attended(&self, spec: &Spec, block: &Block) -> Elem {
        let attention = &block.attention;
        let once = attention.rope.is_none() && attention.query_key_norms.is_none();
        if once { self.widened(spec) } else { Elem::F32 }
    }

    /// How what a feed-forward layer widens to is stored. Which experts a token goes to must not hang on
    /// a rounding: a model that has some keeps all in f32.
    pub fn widened(&self, spec: &Spec) -> Elem {
        let routed = spec.blocks.iter().any(|block| block.experts.is_some());
        if self.narrow && !routed { Elem::PackedF16 } else { Elem::F32 }
    }

    /// Whether the word table has to be gathered on the host: it does not fit one binding.
    pub fn gathers_on_host(&self, layout: &Layout) -> bool {
        let table = layout.weight(layout.word);
        (table.rows * table.cols) as u64 * self.elem.bytes() > self.max_binding
    }

    /// The most tokens of a batch whose heaviest product still fits a submit. One text of more than
    /// that goes alone: its products are cut by rows.
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
            let qkv = ids.qkv.n as u64 * self.attended(spec, block).bytes();
            let up = ids.up.n as u64 * self.widened(spec).bytes();
            let taps = block.convolution.as_ref().map_or(0, |c| c.taps * layout.width);
            let experts = block.experts.as_ref().map_or(0, |e| {
                let routes = 2 * (e.count + e.chosen);
                (e.chosen * layout.inner.max(layout.width)).max(routes)
            });
            qkv.max(up).max(4 * taps.max(experts) as u64)
        });
        let widest = widest.max().unwrap_or(0).max(4 * whole as u64);
        let fits = self.max_binding / widest;
        usize::try_from(fits).unwrap_or(usize::MAX).min(MAX_GROUPS)
    }
}
