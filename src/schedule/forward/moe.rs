//! A mixture of experts in place of the feed-forward layer.

use super::Pass;
use crate::model::layout::{ExpertIds, LinearIds, WeightId};
use crate::model::spec::{Activation, Experts, Norm};
use crate::schedule::params::{ExpertParams, Params, RouteParams};
use crate::schedule::recording::{Bind, BufferId};
use crate::schedule::tiles;
use crate::schedule::variant::{NormInput, Variant};

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
        let words = tiles::route_words(tokens, count, chosen);
        let routes = self.recorder.buffer("routes", &[words]);
        let params = RouteParams {
            tokens: tokens as u32,
            experts: count as u32,
            line: ids.router.n as u32,
            chosen: chosen as u32,
        };
        let binds = [Bind::Buffer(logits), Bind::Buffer(routes)];
        let grid = [count as u32, 1];
        self.recorder.dispatch(at("route"), Variant::Route, Params::Route(params), &binds, grid, 0);
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
        let variant = Variant::Norm { cut, input: NormInput::Parts, kind: norm.kind };
        let params = Params::Norm(self.norm_params(tokens, norm, state).of_parts(chosen));
        let grid = tiles::row_grid(tokens);
        self.recorder.dispatch(at("output norm"), variant, params, &binds, grid, 0);
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
        let params = ExpertParams {
            tokens: self.tokens as u32,
            experts: experts.count as u32,
            expert: expert as u32,
            a_rows: a_rows as u32,
            n4: (w.n / 4) as u32,
            k4: (w.k / 4) as u32,
            k_steps: w.k.div_ceil(tiles::MATMUL_K) as u32,
            pad: 0,
        };
        let binds =
            [Bind::Buffer(from), Bind::Weight(w.matrix), Bind::Buffer(routes), Bind::Buffer(to)];
        let variant = Variant::Expert { weights: self.elem, activation, shared };
        // An even share of the work: which it is, the device alone knows.
        let flops = 2 * (slots * w.n * w.k / experts.count) as u64;
        let grid = tiles::expert_grid(self.tokens, w.n);
        let label = format!("{label} {}", expert + 1);
        self.recorder.dispatch(label, variant, Params::Expert(params), &binds, grid, flops);
    }
}
