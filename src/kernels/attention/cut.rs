//! How the heads of `shaders/attention*.wgsl` are cut up: the constants of a head_dim.

use super::{Attention, Scores, attention_chains, attention_rows};
use crate::kernels::template::Constants;

/// Workgroup memory of default WebGPU limits.
const WORKGROUP_BYTES: usize = 16 * 1024;
/// Bytes of keys and values an invocation: little enough that memory leaves room for as many
/// subgroups as registers do (on RDNA 2, 32 KiB a SIMD: 8 subgroups of 64).
const BYTES: usize = 64;
/// Bytes of a vector.
const VECTOR: usize = 16;

impl Attention {
    /// Vectors of an invocation's part of a head.
    fn part4(&self) -> usize {
        self.head_dim.div_ceil(4 * self.parts) as usize
    }

    /// Vectors of a head, rounded up to whole parts.
    fn line(&self) -> usize {
        self.part4() * self.parts as usize
    }

    fn invocations(&self) -> usize {
        attention_rows(self.parts) * self.parts as usize
    }

    /// Bytes to add up parts in: two vectors an invocation.
    fn joined(&self) -> usize {
        2 * VECTOR * self.invocations()
    }

    /// Keys of one tile: a multiple of the eight that go at a time.
    fn keys(&self) -> usize {
        let room = (BYTES * self.invocations()).min(WORKGROUP_BYTES - self.joined());
        (room / (2 * VECTOR * self.line()) / 8 * 8).clamp(8, 64)
    }

    /// Whether eight keys and values leave too little workgroup memory to add up parts in.
    fn overlays(&self) -> bool {
        2 * VECTOR * self.line() * self.keys() + self.joined() > WORKGROUP_BYTES
    }

    /// Multiply-adds an invocation does for eight keys.
    pub(super) fn fmas_of_eight(&self) -> usize {
        // Of a key a product with the query and one with a value, and one with each position.
        let products = if self.scores == Scores::Disentangled { 3 } else { 2 };
        products * 8 * 4 * self.part4()
    }

    /// The constants, with `unroll` times eight keys in one body of the loop of `attention.wgsl`; one in
    /// earnest.
    pub(super) fn constants(&self, unroll: usize) -> Constants {
        let keys = self.keys();
        // Where parts are added up: nowhere, in memory of their own, or in that of the keys, which short
        // heads would not fill.
        let vectors = if self.parts > 1 { 2 * self.invocations() } else { 0 };
        let (joined, overlaid) = if self.overlays() { (0, vectors) } else { (vectors, 0) };
        Constants::default()
            .number("HEAD_DIM4", self.head_dim as usize / 4)
            .number("PARTS", self.parts as usize)
            .number("PART4", self.part4())
            // Of a score in an invocation: one where as many invocations share a row as may.
            .number("CHAINS", (attention_chains(self.head_dim as usize) / self.parts) as usize)
            .number("ROWS", attention_rows(self.parts))
            .number("KEYS", keys)
            .number("KEYS_ROOM", (keys * self.line()).max(overlaid))
            .number("JOINED", joined)
            .flag("DISENTANGLED", self.scores == Scores::Disentangled)
            .flag("WINDOW", self.scores == Scores::Window)
            .number("UNROLL", unroll)
    }
}
