//! The forward pass, top to bottom as in the paper, written down instead of run.

use std::f32::consts::LOG2_E;

use super::caps::Caps;
use super::check::check;
use super::params::{
    AttentionParams, CombineParams, EmbedParams, MatmulParams, NormParams, Params, PoolParams,
};
use super::plan::Exit;
use super::recorder::Recorder;
use super::recording::{Bind, BufferId, Fill, Output, Recording};
use super::tiles;
use super::tuning::{Product, Tuning};
use super::variant::{Abilities, Class, Elem, Merge, NormInput, RowCut, RowSum, Staging, Variant};
use crate::error::Result;
use crate::model::layout::{Layout, LinearIds, WeightId};
use crate::model::spec::{Activation, Spec};
use crate::text::pack::PackedBatch;

/// Writes down the forward pass of `batch` through `spec` and what leaves the device.
///
/// # Errors
///
/// `Usage` for a batch that is no batch, has no tokens or more than [`Caps::max_tokens`], and for
/// an exit that names a state twice or none, one above the model's depth, or more than fits;
/// `Checkpoint` for an id, position or token type outside its table.
pub fn record(
    spec: &Spec,
    layout: &Layout,
    batch: &PackedBatch,
    exit: &Exit,
    caps: &Caps,
) -> Result<Recording> {
    check(spec, layout, batch, exit, caps)?;
    let mut pass = Pass {
        spec,
        layout,
        exit,
        elem: caps.elem,
        can: caps.can,
        tuning: &caps.tuning,
        tokens: batch.ids.len(),
        texts: batch.offsets.len() - 1,
        recorder: Recorder::new(caps.submit_read_bytes, caps.submit_flops),
        status: BufferId(0),
        ranges: None,
        merged: None,
        pooled: None,
    };
    let words = pass.tokens.div_ceil(32) + spec.depth() + 1;
    pass.status = pass.recorder.upload("status", &[words], Fill::Words(vec![0; words]));
    if exit.pool.is_some() {
        let ranges = batch.offsets.windows(2).flat_map(|o| [o[0], o[1] - o[0]]).collect();
        pass.ranges = Some(pass.recorder.upload("ranges", &[pass.texts, 2], Fill::Words(ranges)));
    }
    let tiles = tiles::attention_tiles(batch, layout.head_dim);
    let tile_count = tiles.len() / 4;
    let pairs = batch.offsets.windows(2).map(|o| u64::from(o[1] - o[0]).pow(2)).sum();

    let mut x = pass.embed(batch, caps.gathers_on_host(layout));
    pass.capture(0, x);
    if exit.deepest() > 0 {
        let tiles = pass.recorder.upload("tiles", &[tile_count, 4], Fill::Words(tiles));
        for state in 1..=exit.deepest() {
            x = pass.block(state, x, tiles, tile_count, pairs);
            pass.capture(state, x);
        }
    }
    pass.leave();
    let Pass { recorder, texts, tokens, .. } = pass;
    Ok(recorder.finish(texts, tokens))
}

/// The forward pass being written.
struct Pass<'a> {
    spec: &'a Spec,
    layout: &'a Layout,
    exit: &'a Exit,
    elem: Elem,
    can: Abilities,
    tuning: &'a Tuning,
    tokens: usize,
    texts: usize,
    recorder: Recorder,
    status: BufferId,
    ranges: Option<BufferId>,
    merged: Option<BufferId>,
    pooled: Option<BufferId>,
}

impl Pass<'_> {
    /// x₀ = norm(word[id] + position[p] + type[t])  // (tokens, width)
    fn embed(&mut self, batch: &PackedBatch, on_host: bool) -> BufferId {
        let l = self.layout;
        // Gathered rows are numbered in the order of their first use.
        let (words, rows) =
            if on_host { number_rows(&batch.ids) } else { (batch.ids.clone(), vec![]) };
        let lines = words.iter().zip(&batch.positions).zip(&batch.types);
        let lines = lines.flat_map(|((&w, &p), &t)| [w, p, t, 0]).collect();
        let tokens = self.recorder.upload("tokens", &[self.tokens, 4], Fill::Words(lines));
        let word = if on_host {
            let shape = [rows.len(), l.width];
            let fill = Fill::Rows { table: l.word, rows };
            Bind::Buffer(self.recorder.upload("words", &shape, fill))
        } else {
            Bind::Weight(l.word)
        };
        let x = self.recorder.buffer("x", &[self.tokens, l.width]);
        let params = EmbedParams {
            rows: self.tokens as u32,
            stride4: (l.width / 4) as u32,
            width: self.spec.width as u32,
            eps: self.spec.embedding.norm.eps,
            state: 0,
            pad: [0; 3],
        };
        let binds = [
            Bind::Buffer(tokens),
            word,
            Bind::Weight(l.position),
            Bind::Weight(l.token_type),
            Bind::Weight(l.embedding_norm),
            Bind::Buffer(x),
            Bind::Buffer(self.status),
        ];
        let variant = Variant::Embed {
            tables: self.elem,
            gathered: on_host,
            cut: self.row_cut(tiles::embed_sum),
        };
        let grid = tiles::row_grid(self.tokens);
        self.recorder.dispatch("embed".into(), variant, Params::Embed(params), &binds, grid, 0);
        x
    }

    /// h = norm₁(x + attention(x)); norm₂(h + W₂ act(W₁ h + b₁) + b₂)
    fn block(
        &mut self,
        state: usize,
        x: BufferId,
        tiles: BufferId,
        tile_count: usize,
        pairs: u64,
    ) -> BufferId {
        let block = &self.spec.blocks[state - 1];
        let ids = self.layout.blocks[state - 1];
        let at = |what: &str| format!("block {state} {what}");

        // q, k, v = W x + b  // (tokens, 3, heads, head_dim)
        let qkv = self.matmul(at("qkv"), "qkv", x, ids.qkv, Activation::Identity, self.tokens);
        // softmax(q kᵀ / √d) v  // (tokens, heads, head_dim)
        let context = self.attention(at("attention"), qkv, tiles, tile_count, pairs);
        let norm = (ids.attention_norm, block.attention_norm.eps, state);
        let h =
            self.add_norm([at("output"), at("attention norm")], "h", context, ids.output, x, norm);
        // (tokens, inner)
        let inner = self.matmul(at("up"), "inner", h, ids.up, block.activation, self.tokens);
        let norm = (ids.output_norm, block.output_norm.eps, state);
        self.add_norm([at("down"), at("output norm")], "x", inner, ids.down, h, norm)
    }

    /// norm(W a + b + residual). The product adds the residual at its end; or leaves parts along k,
    /// where it would have too few tiles, and the normalisation adds all up; or leaves the residual
    /// to it, on software Vulkan, where each more variant of the product takes long to compile.
    fn add_norm(
        &mut self,
        [product, norm]: [String; 2],
        name: &'static str,
        a: BufferId,
        weight: LinearIds,
        residual: BufferId,
        (gamma_beta, eps, state): (WeightId, f32, usize),
    ) -> BufferId {
        let splits = tiles::matmul_splits(self.can.class, weight.n, weight.k);
        let params = NormParams {
            rows: self.tokens as u32,
            stride4: (self.layout.width / 4) as u32,
            width: self.spec.width as u32,
            eps,
            state: state as u32,
            pad: [0; 3],
        };
        let input = match (splits, self.can.class) {
            (2.., _) => NormInput::Parts(splits as u32),
            (_, Class::Software) => NormInput::Residual,
            _ => NormInput::Whole,
        };
        // What the product adds, and what is left to the normalisation.
        let (sum, here, rest) = match input {
            NormInput::Whole => ("sum", Some(residual), vec![]),
            NormInput::Residual => ("sum", None, vec![Bind::Buffer(residual)]),
            NormInput::Parts(_) => {
                ("parts", None, vec![Bind::Weight(weight.bias), Bind::Buffer(residual)])
            }
        };
        let identity = Activation::Identity;
        let sum = self.product(product, sum, a, weight, identity, here, self.tokens, splits);
        let y = self.recorder.buffer(name, &[self.tokens, self.layout.width]);
        let mut binds = vec![
            Bind::Buffer(sum),
            Bind::Weight(gamma_beta),
            Bind::Buffer(y),
            Bind::Buffer(self.status),
        ];
        binds.extend(rest);
        let variant = Variant::Norm { cut: self.row_cut(tiles::row_sum), input };
        let grid = tiles::row_grid(self.tokens);
        self.recorder.dispatch(norm, variant, Params::Norm(params), &binds, grid, 0);
        y
    }

    fn row_cut(&self, sum: fn(&Abilities) -> RowSum) -> RowCut {
        RowCut::new(sum(&self.can), self.layout.width)
    }

    /// A whole product without a residual.
    fn matmul(
        &mut self,
        label: String,
        name: &'static str,
        a: BufferId,
        weight: LinearIds,
        activation: Activation,
        rows: usize,
    ) -> BufferId {
        self.product(label, name, a, weight, activation, None, rows, 1)
    }

    #[expect(clippy::too_many_arguments, reason = "one argument a term of the formula")]
    fn product(
        &mut self,
        label: String,
        name: &'static str,
        a: BufferId,
        weight: LinearIds,
        activation: Activation,
        residual: Option<BufferId>,
        rows: usize,
        splits: usize,
    ) -> BufferId {
        let shape = [splits, rows, weight.n];
        let c = self.recorder.buffer(name, if splits > 1 { &shape } else { &shape[1..] });
        let params = MatmulParams {
            m: rows as u32,
            n4: (weight.n / 4) as u32,
            k4: (weight.k / 4) as u32,
            k_steps: weight.k.div_ceil(tiles::MATMUL_K) as u32,
        };
        let mut binds = vec![
            Bind::Buffer(a),
            Bind::Weight(weight.matrix),
            Bind::Weight(weight.bias),
            Bind::Buffer(c),
        ];
        binds.extend(residual.map(Bind::Buffer));
        let product = Product::new(rows, weight.n, weight.k, splits, self.elem);
        let default = || tiles::matmul_tile(self.can.class, rows, weight.n, splits);
        // One on cooperative matrices has bits of its own: for every product, or for none.
        let tile = self.can.coop.or(self.tuning.get(&product)).unwrap_or_else(default);
        let variant = Variant::Matmul {
            tile,
            weights: self.elem,
            activation,
            residual: residual.is_some(),
            splits: splits as u32,
        };
        let flops = 2 * (rows * weight.n * weight.k) as u64;
        let grid = tiles::matmul_grid(tile, rows, weight.n, splits);
        self.recorder.dispatch(label, variant, Params::Matmul(params), &binds, grid, flops);
        c
    }

    fn attention(
        &mut self,
        label: String,
        qkv: BufferId,
        tiles: BufferId,
        tile_count: usize,
        pairs: u64,
    ) -> BufferId {
        let joined = self.spec.heads * self.layout.head_dim;
        let context = self.recorder.buffer("context", &[self.tokens, joined]);
        let params = AttentionParams {
            qkv4: (3 * joined / 4) as u32,
            out4: (joined / 4) as u32,
            scale: LOG2_E / (self.spec.head_dim as f32).sqrt(),
            pad: 0,
        };
        let binds = [Bind::Buffer(qkv), Bind::Buffer(tiles), Bind::Buffer(context)];
        let staging = match self.can.class {
            Class::Software => Staging::Broadcast,
            Class::Small | Class::Large => Staging::Workgroup,
        };
        let variant = Variant::Attention { staging, head_dim: self.layout.head_dim as u32 };
        let flops = 4 * pairs * joined as u64;
        let grid = [tile_count as u32, self.spec.heads as u32];
        self.recorder.dispatch(label, variant, Params::Attention(params), &binds, grid, flops);
        context
    }

    /// Sends a state on its way out, where it was chosen.
    fn capture(&mut self, state: usize, x: BufferId) {
        let exit = self.exit;
        let Some(place) = exit.states.iter().position(|&s| s == state) else { return };
        if let Some(combination) = &exit.combine {
            self.combine(state, x, combination.merge, combination.factors[place]);
            if state == exit.deepest() {
                let merged = self.merged.expect("combine has made it");
                match exit.pool {
                    Some(_) => self.pool(0, merged),
                    None => self.recorder.read(Output::Combined, merged),
                }
            }
        } else if exit.pool.is_some() {
            self.pool(place, x);
        } else {
            self.recorder.read(Output::State(state), x);
        }
    }

    fn combine(&mut self, state: usize, x: BufferId, merge: Merge, factor: f32) {
        let first = self.merged.is_none();
        let shape = [self.tokens, self.layout.width];
        let merged = match self.merged {
            Some(id) => id,
            None => self.recorder.buffer("merged", &shape),
        };
        self.merged = Some(merged);
        let vectors = self.tokens * self.layout.width / 4;
        let (grid, row) = tiles::flat_grid(vectors);
        let params =
            CombineParams { vectors: vectors as u32, row, factor, first: u32::from(first) };
        let binds = [Bind::Buffer(x), Bind::Buffer(merged)];
        let label = format!("combine state {state}");
        self.recorder.dispatch(
            label,
            Variant::Combine(merge),
            Params::Combine(params),
            &binds,
            grid,
            0,
        );
    }

    /// Pools the array at `place` of the exit's order into its parts of the result.
    fn pool(&mut self, place: usize, x: BufferId) {
        let Some(pooling) = &self.exit.pool else { return };
        let ranges = self.ranges.expect("uploaded with the pooling");
        let shape = [self.exit.parts(), self.texts, self.layout.width];
        let pooled = match self.pooled {
            Some(id) => id,
            None => self.recorder.buffer("pooled", &shape),
        };
        self.pooled = Some(pooled);
        let stride4 = self.layout.width / 4;
        for (i, &reduce) in pooling.reduces.iter().enumerate() {
            let part = place * pooling.reduces.len() + i;
            let params = PoolParams {
                stride4: stride4 as u32,
                out4: stride4 as u32,
                start4: (part * self.texts * stride4) as u32,
                pad: 0,
            };
            let binds = [Bind::Buffer(x), Bind::Buffer(ranges), Bind::Buffer(pooled)];
            let grid = [self.texts as u32, stride4.div_ceil(tiles::INVOCATIONS) as u32];
            self.recorder.dispatch(
                format!("pool part {part}"),
                Variant::Pool(reduce),
                Params::Pool(params),
                &binds,
                grid,
                0,
            );
        }
    }

    /// The pooler where it was asked for, then the last readbacks.
    fn leave(&mut self) {
        if let (Some(pooled), Some(pooling)) = (self.pooled, &self.exit.pool) {
            let out = match (pooling.pooler, self.layout.pooler) {
                (true, Some(pooler)) => self.matmul(
                    "pooler".into(),
                    "pooler",
                    pooled,
                    pooler,
                    Activation::Tanh,
                    self.texts,
                ),
                _ => pooled,
            };
            self.recorder.read(Output::Pooled, out);
        }
        self.recorder.read(Output::Status, self.status);
    }
}

/// Numbers the distinct `ids` in the order of their first use: (number of each id, the ids).
fn number_rows(ids: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let mut numbers = std::collections::HashMap::new();
    let mut rows = Vec::new();
    let numbered = ids
        .iter()
        .map(|&id| {
            *numbers.entry(id).or_insert_with(|| {
                rows.push(id);
                rows.len() as u32 - 1
            })
        })
        .collect();
    (numbered, rows)
}
