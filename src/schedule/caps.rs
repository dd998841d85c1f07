//! What a device can take: what it binds at once, how its work is cut up, how long a submit may be.

use super::tiles;
use super::tuning::Tuning;
use super::variant::{Abilities, Elem};
use crate::model::layout::{Layout, LinearIds};
use crate::model::spec::Spec;

/// What the schedule has to know of a device.
#[derive(Debug, Clone, PartialEq)]
pub struct Caps {
    /// Bytes one binding may span.
    pub max_binding: u64,
    /// Storage type of matrices and tables.
    pub elem: Elem,
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
    /// Whether the word table has to be gathered on the host: it does not fit one binding.
    pub fn gathers_on_host(&self, layout: &Layout) -> bool {
        let table = layout.weight(layout.word);
        (table.rows * table.cols) as u64 * self.elem.bytes() > self.max_binding
    }

    /// The most tokens one batch may have: every array stays inside one binding and one axis of
    /// a dispatch.
    pub fn max_tokens(&self, spec: &Spec, layout: &Layout) -> usize {
        let parts = |w: LinearIds| w.n * tiles::matmul_splits(self.can.class, w.n, w.k);
        let parts = layout.blocks.iter().flat_map(|b| [parts(b.output), parts(b.down)]).max();
        let heads = spec.heads + 2 * spec.kv_heads;
        let up = layout.blocks.iter().map(|b| b.up.n).max().unwrap_or(0);
        let widest = (heads * layout.head_dim).max(up).max(layout.width).max(layout.embedding);
        let widest = widest.max(parts.unwrap_or(0));
        let beside = spec.blocks.iter().map(|block| {
            let taps = block.convolution.as_ref().map_or(0, |c| c.taps * layout.width);
            let experts = block.experts.as_ref().map_or(0, |e| {
                let routes = 2 * (e.count + e.chosen);
                (e.chosen * layout.inner.max(layout.width)).max(routes)
            });
            taps.max(experts)
        });
        let widest = widest.max(beside.max().unwrap_or(0));
        let fits = self.max_binding / (4 * widest as u64);
        usize::try_from(fits).unwrap_or(usize::MAX).min(tiles::MAX_GROUPS)
    }
}
