//! A mixture of experts in place of the feed-forward layer.

use super::Pass;
use super::leave::Found;
use crate::kernels::{self, Expert, ExpertShape, NormInput, Route, route_words};
use crate::model::layout::{ExpertIds, LinearIds, WeightId};
use crate::model::spec::{Activation, Experts, Norm};
use crate::schedule::recording::{Bind, BufferId};
use crate::schedule::site::Site;
use crate::schedule::tiles;

impl Pass<'_> {
    /// norm(h + Σ share × W₂ act(W₁ h) + b₂) over the experts of each token, in their order.
    pub(super) fn experts(
        &mut self,
        state: usize,
        h: BufferId,
        experts: &Experts,
        ids: &ExpertIds,
        activation: Activation,
        (gamma_beta, norm, _): (WeightId, &Norm, usize),
    ) -> BufferId {
        let at = |what: &str| format!("block {state} {what}");
        let tokens = self.tokens;
        let (count, chosen) = (experts.count, experts.chosen);
        let identity = Activation::Identity;
        let logits = self.matmul(at("router"), "logits", h, ids.router, identity, tokens);
        let words = route_words(tokens, count, chosen);
        let routes = self.recorder.buffer("routes", &[words]);
        let binds = [Bind::Buffer(logits), Bind::Buffer(routes)];
        let call = Route.over(tokens, count, chosen, ids.router.n);
        self.recorder.dispatch(at("route"), call, &binds);
        // (chosen, tokens, inner), then (chosen, tokens, width)
        let inner = self.recorder.buffer("inner", &[chosen, tokens, self.layout.inner]);
        for (expert, &w) in ids.up.iter().enumerate() {
            let rows = (h, tokens, inner, chosen * tokens);
            self.expert(at("up"), expert, experts, rows, w, routes, (activation, false));
        }
        let parts = self.recorder.buffer("parts", &[chosen, tokens, self.layout.width]);
        for (expert, &w) in ids.down.iter().enumerate() {
            let rows = (inner, chosen * tokens, parts, chosen * tokens);
            self.expert(at("down"), expert, experts, rows, w, routes, (identity, true));
        }
        let found = Found::in_parts(parts, self.layout.width, chosen, ids.down[0].bias);
        self.capture_at((Site::MlpOut, state), found);
        // The norm adds the parts up, then bias and residual.
        let y = self.recorder.buffer("x", &[tokens, self.layout.width]);
        let binds = [
            Bind::Buffer(parts),
            Bind::Weight(gamma_beta),
            Bind::Buffer(y),
            Bind::Buffer(self.status),
            Bind::Weight(ids.down[0].bias),
            Bind::Buffer(h),
        ];
        let cut = self.row_cut(tiles::row_sum);
        let norm_of = kernels::Norm { cut, input: NormInput::Parts, kind: norm.kind };
        let params = self.norm_params(tokens, norm, state).of_parts(chosen);
        self.recorder.dispatch(at("output norm"), norm_of.over(params), &binds);
        y
    }

    /// One product of one expert: `from` with its rows to `to`, for the slots of `routes`.
    #[expect(clippy::too_many_arguments, reason = "one argument a term of the formula")]
    fn expert(
        &mut self,
        label: String,
        expert: usize,
        experts: &Experts,
        (from, a_rows, to, slots): (BufferId, usize, BufferId, usize),
        w: LinearIds,
        routes: BufferId,
        (activation, shared): (Activation, bool),
    ) {
        let shape = ExpertShape {
            tokens: self.tokens,
            expert: (expert, experts.count),
            a_rows,
            slots,
            n: w.n,
            k: w.k,
        };
        let binds =
            [Bind::Buffer(from), Bind::Weight(w.matrix), Bind::Buffer(routes), Bind::Buffer(to)];
        let call = Expert { weights: self.elem, activation, shared }.over(shape);
        self.recorder.dispatch(format!("{label} {}", expert + 1), call, &binds);
    }
}
