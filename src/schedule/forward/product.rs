//! Products, the normalisations behind them, and the gate between two of them.

use super::Pass;
use super::leave::Found;
use crate::kernels::{
    self, AdapterFeatures, Combine, Elem, Gate, Matmul, MatmulBlock, Merge, Narrow, NormInput,
    NormParams, RowCut, RowSum, Tile,
};
use crate::model::layout::{LinearIds, WeightId};
use crate::model::spec::{Activation, Norm};
use crate::schedule::recording::{Bind, BufferId};
use crate::schedule::site::Site;
use crate::schedule::tiles;
use crate::schedule::tuning::Product;

impl Pass<'_> {
    /// norm(x) alone.  // (tokens, width)
    pub(super) fn norm(
        &mut self,
        label: String,
        x: BufferId,
        (norm, id): (&Norm, WeightId),
        state: usize,
    ) -> BufferId {
        let y = self.recorder.buffer("normed", &[self.tokens, self.layout.width]);
        let binds = [Bind::Buffer(x), Bind::Weight(id), Bind::Buffer(y), Bind::Buffer(self.status)];
        let cut = self.row_cut(tiles::row_sum);
        let norm_of = kernels::Norm { cut, input: NormInput::Whole, kind: norm.kind };
        let call = norm_of.over(self.norm_params(self.tokens, norm, state));
        self.recorder.dispatch(label, call, &binds);
        y
    }

    pub(super) fn norm_params(&self, rows: usize, norm: &Norm, state: usize) -> NormParams {
        NormParams::new(rows, self.layout.width, self.spec.width, norm.eps, state)
    }

    pub(super) fn row_cut(&self, sum: fn(&AdapterFeatures) -> RowSum) -> RowCut {
        RowCut::new(sum(&self.can), self.layout.width)
    }

    /// W a + b + residual, whole; W a + b is `site`, and apart where that is wanted.
    pub(super) fn add(
        &mut self,
        label: String,
        name: &'static str,
        a: BufferId,
        weight: LinearIds,
        residual: BufferId,
        (site, state): (Site, usize),
    ) -> BufferId {
        let identity = Activation::Identity;
        let to = (name, Elem::F32);
        if !self.wants(site, state) {
            return self.product(label, to, a, weight, identity, Some(residual), self.tokens, 1);
        }
        let y = self.matmul(label.clone(), site.name(), a, weight, identity, self.tokens);
        let (width, linear) = (self.layout.width, Combine(Merge::Linear));
        self.capture_at((site, state), Found::whole(y, width));
        let sum = self.recorder.buffer(name, &[self.tokens, width]);
        for (x, first) in [(y, true), (residual, false)] {
            let binds = [Bind::Buffer(x), Bind::Buffer(sum)];
            let call = linear.over(self.tokens * width, 1.0, first);
            self.recorder.dispatch(format!("{label} sum"), call, &binds);
        }
        sum
    }

    /// norm(W a + b + residual). The product adds the residual at its end; or leaves parts along k,
    /// where it would have too few tiles, and the normalisation adds all up; or leaves the residual
    /// to it, on processors, where each more variant of the product takes long to compile, and where
    /// W a + b, which is `site`, is wanted by itself. The bits are the same.
    pub(super) fn add_norm(
        &mut self,
        [product, norm]: [String; 2],
        (name, site): (&'static str, Site),
        a: BufferId,
        weight: LinearIds,
        residual: BufferId,
        (gamma_beta, spec, state): (WeightId, &Norm, usize),
    ) -> BufferId {
        let splits = tiles::matmul_splits(self.can.class, weight.n, weight.k);
        let params = self.norm_params(self.tokens, spec, state).of_parts(splits);
        let input = match (splits, self.can.class) {
            (2.., _) => NormInput::Parts,
            (_, class) if class.is_processor() || self.wants(site, state) => NormInput::Residual,
            _ => NormInput::Whole,
        };
        // What the product adds, and what is left to the normalisation.
        let (sum, here, rest) = match input {
            NormInput::Whole => ("sum", Some(residual), vec![]),
            NormInput::Residual => ("sum", None, vec![Bind::Buffer(residual)]),
            NormInput::Parts => {
                ("parts", None, vec![Bind::Weight(weight.bias), Bind::Buffer(residual)])
            }
        };
        let identity = Activation::Identity;
        let sum = (sum, Elem::F32);
        let sum = self.product(product, sum, a, weight, identity, here, self.tokens, splits);
        let found = match input {
            NormInput::Parts => Found::in_parts(sum, weight.n, splits, weight.bias),
            NormInput::Whole | NormInput::Residual => Found::whole(sum, weight.n),
        };
        self.capture_at((site, state), found);
        let y = self.recorder.buffer(name, &[self.tokens, self.layout.width]);
        let mut binds = vec![
            Bind::Buffer(sum),
            Bind::Weight(gamma_beta),
            Bind::Buffer(y),
            Bind::Buffer(self.status),
        ];
        binds.extend(rest);
        let cut = self.row_cut(tiles::row_sum);
        let norm_of = kernels::Norm { cut, input, kind: spec.kind };
        self.recorder.dispatch(norm, norm_of.over(params), &binds);
        y
    }

    /// act(gate) × up  // (tokens, inner)
    pub(super) fn gate(
        &mut self,
        label: String,
        both: BufferId,
        activation: Activation,
    ) -> BufferId {
        let inner = self.layout.inner;
        let y = self.recorder.stored("inner", &[self.tokens, inner], self.caps.widened(self.spec));
        let binds = [Bind::Buffer(both), Bind::Buffer(y)];
        let gate = Gate { activation, narrow: self.recorder.is_narrow(both) };
        self.recorder.dispatch(label, gate.over(self.tokens, inner), &binds);
        y
    }

    /// act(W a + b) into an array that is read once and stored as it is told.
    pub(super) fn widen(
        &mut self,
        label: String,
        to: (&'static str, Elem),
        a: BufferId,
        weight: LinearIds,
        activation: Activation,
    ) -> BufferId {
        self.product(label, to, a, weight, activation, None, self.tokens, 1)
    }

    /// A whole product without a residual.
    pub(super) fn matmul(
        &mut self,
        label: String,
        name: &'static str,
        a: BufferId,
        weight: LinearIds,
        activation: Activation,
        rows: usize,
    ) -> BufferId {
        self.product(label, (name, Elem::F32), a, weight, activation, None, rows, 1)
    }

    #[expect(clippy::too_many_arguments, reason = "one argument a term of the formula")]
    fn product(
        &mut self,
        label: String,
        (name, stored): (&'static str, Elem),
        a: BufferId,
        weight: LinearIds,
        activation: Activation,
        residual: Option<BufferId>,
        rows: usize,
        splits: usize,
    ) -> BufferId {
        let shape = [splits, rows, weight.n];
        let shape = if splits > 1 { &shape[..] } else { &shape[1..] };
        let c = self.recorder.stored(name, shape, stored);
        let narrow = match (self.recorder.is_narrow(a), self.recorder.is_narrow(c)) {
            (true, _) => Narrow::A,
            (_, true) => Narrow::C,
            _ => Narrow::Neither,
        };
        let mut binds = vec![
            Bind::Buffer(a),
            Bind::Weight(weight.matrix),
            Bind::Weight(weight.bias),
            Bind::Buffer(c),
        ];
        binds.extend(residual.map(Bind::Buffer));
        let product = Product::new(rows, weight.n, weight.k, splits, self.elem);
        let default = || tiles::matmul_tile(&self.can, rows, weight.n, splits);
        // One on cooperative matrices has bits of its own: for every product, or for none.
        let fits = |tile: &Tile| Tile::candidates(&self.can).contains(tile);
        let tuned = self.tuning.get(&product).filter(fits);
        let tile = self.can.coop.or(tuned).unwrap_or_else(default);
        let matmul = Matmul {
            tile,
            weights: self.elem,
            activation,
            residual: residual.is_some(),
            splits: splits as u32,
            narrow,
            block: MatmulBlock::of(tile, self.can.vendor),
        };
        // A long text is more than one submit may be: some rows at a time then.
        let (shape, tall) = ((rows, weight.n, weight.k), tile.size().0);
        let each = 2 * (tall * weight.n * weight.k) as u64;
        let tiles = (self.caps.submit_flops / each.max(1)).min(rows.div_ceil(tall) as u64).max(1);
        let most = tall * tiles as usize;
        for first in (0..rows).step_by(most) {
            let part = first..rows.min(first + most);
            let label = match part.len() == rows {
                true => label.clone(),
                false => format!("{label} rows {}..{}", part.start, part.end),
            };
            self.recorder.dispatch(label, matmul.over_rows(part, shape), &binds);
        }
        c
    }

    /// norm(x + residual).
    pub(super) fn residual_norm(
        &mut self,
        label: String,
        name: &'static str,
        x: BufferId,
        residual: BufferId,
        (gamma_beta, norm, state): (WeightId, &Norm, usize),
    ) -> BufferId {
        let y = self.recorder.buffer(name, &[self.tokens, self.layout.width]);
        let binds = [
            Bind::Buffer(x),
            Bind::Weight(gamma_beta),
            Bind::Buffer(y),
            Bind::Buffer(self.status),
            Bind::Buffer(residual),
        ];
        let cut = self.row_cut(tiles::row_sum);
        let norm_of = kernels::Norm { cut, input: NormInput::Residual, kind: norm.kind };
        let call = norm_of.over(self.norm_params(self.tokens, norm, state));
        self.recorder.dispatch(label, call, &binds);
        y
    }
}
