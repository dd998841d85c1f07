//! A convolution over tokens, as a product over the neighbours of each.

use super::Pass;
use crate::kernels::Im2col;
use crate::model::layout::{LinearIds, WeightId};
use crate::model::spec::Convolution;
use crate::schedule::recording::{Bind, BufferId};

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
        let binds = [Bind::Buffer(self.rows), Bind::Buffer(x), Bind::Buffer(columns)];
        let call = Im2col.over(tokens, taps, width);
        self.recorder.dispatch(at("neighbours"), call, &binds);
        let activation = convolution.activation;
        let label = at("convolution");
        let out = self.matmul(label, "convolved", columns, product, activation, tokens);
        let norm = (norm, &convolution.norm, state);
        self.residual_norm(at("convolution norm"), "x", out, y, norm)
    }
}
