//! Normalised queries and keys.

use super::Pass;
use crate::kernels::QkNorm;
use crate::model::layout::WeightId;
use crate::model::spec::Norm;
use crate::schedule::recording::{Bind, BufferId};

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
        let binds = [Bind::Weight(id), Bind::Buffer(qkv)];
        let call = QkNorm.over(self.tokens, (spec.heads, spec.head_dim, head), norms[0].eps);
        self.recorder.dispatch(label, call, &binds);
    }
}
