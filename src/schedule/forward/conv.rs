//! A convolution over tokens, as a product over the neighbours of each.

use super::Pass;
use crate::model::layout::{LinearIds, WeightId};
use crate::model::spec::Convolution;
use crate::schedule::params::{Im2colParams, Params};
use crate::schedule::recording::{Bind, BufferId};
use crate::schedule::tiles;
use crate::schedule::variant::Variant;

impl Pass<'_> {
    /// norm(y + act(W x)) with W over the neighbours of each token.
    pub(super) fn convolve(
        &mut self,
        state: usize,
        x: BufferId,
        y: BufferId,
        convolution: &Convolution,
        (product, norm): (LinearIds, WeightId),
    ) -> BufferId {
        let at = |what: &str| format!("block {state} {what}");
        let (tokens, taps, width) = (self.tokens, convolution.taps, self.layout.width);
        let columns = self.recorder.buffer("neighbours", &[tokens, taps, width]);
        let vectors = tokens * taps * width / 4;
        let (grid, row) = tiles::flat_grid(vectors);
        let params = Im2colParams {
            vectors: vectors as u32,
            row,
            stride4: (width / 4) as u32,
            taps: taps as u32,
        };
        let binds = [Bind::Buffer(self.rows), Bind::Buffer(x), Bind::Buffer(columns)];
        let params = Params::Im2col(params);
        self.recorder.dispatch(at("neighbours"), Variant::Im2col, params, &binds, grid, 0);
        let activation = convolution.activation;
        let label = at("convolution");
        let out = self.matmul(label, "convolved", columns, product, activation, tokens);
        let norm = (norm, &convolution.norm, state);
        self.residual_norm(at("convolution norm"), "x", out, y, norm)
    }
}
