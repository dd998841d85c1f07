//! Normalised queries and keys.

use super::Pass;
use crate::model::layout::WeightId;
use crate::model::spec::Norm;
use crate::schedule::params::{Params, QkNormParams};
use crate::schedule::recording::{Bind, BufferId};
use crate::schedule::variant::Variant;

impl Pass<'_> {
    /// Queries and keys normalised in place, each over all its heads.
    pub(super) fn qk_norm(
        &mut self,
        label: String,
        qkv: BufferId,
        norms: &[Norm; 2],
        id: WeightId,
    ) {
        let (spec, head) = (self.spec, self.layout.head_dim);
        let joined = spec.heads * head;
        let params = QkNormParams {
            qkv4: (3 * joined / 4) as u32,
            joined4: (joined / 4) as u32,
            head4: (head / 4) as u32,
            head_dim: spec.head_dim as u32,
            width: (spec.heads * spec.head_dim) as u32,
            eps: norms[0].eps,
            rows: self.tokens as u32,
            pad: 0,
        };
        let binds = [Bind::Weight(id), Bind::Buffer(qkv)];
        let params = Params::QkNorm(params);
        let grid = [self.tokens as u32, 2];
        self.recorder.dispatch(label, Variant::QkNorm, params, &binds, grid, 0);
    }
}
