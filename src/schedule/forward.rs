//! The forward pass, top to bottom as in the paper, written down instead of run.

use std::f32::consts::LOG2_E;

use super::caps::Caps;
use super::check::check;
use super::params::{
    AttentionParams, CombineParams, EmbedParams, GateParams, MatmulParams, NormParams, Params,
    PoolParams, RopeParams,
};
use super::plan::Exit;
use super::recorder::Recorder;
use super::recording::{Bind, BufferId, Fill, Output, Recording};
use super::tiles;
use super::tuning::{Product, Tuning};
use super::variant::{
    Abilities, Class, Elem, Merge, NormInput, RowCut, RowSum, Scores, Staging, Variant,
};
use crate::error::Result;
use crate::model::layout::{BiasIds, Layout, LinearIds, WeightId};
use crate::model::spec::{Activation, Bias, Norm, Order, Positions, Rope, Spec};
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
        rows: BufferId(0),
        turns: Vec::new(),
        places: None,
        tables: Vec::new(),
    };
    let words = pass.tokens.div_ceil(32) + spec.depth() + 1;
    pass.status = pass.recorder.upload("status", &[words], Fill::Words(vec![0; words]));
    if exit.pool.is_some() {
        let ranges = batch.offsets.windows(2).flat_map(|o| [o[0], o[1] - o[0]]).collect();
        pass.ranges = Some(pass.recorder.upload("ranges", &[pass.texts, 2], Fill::Words(ranges)));
    }
    let tiles = tiles::attention_tiles(batch, layout.head_dim);
    let tile_count = tiles.len() / 4;
    let lengths = || batch.offsets.windows(2).map(|o| o[1] - o[0]);
    let longest = lengths().max().unwrap_or(0);

    let mut x = pass.embed(batch, caps.gathers_on_host(layout));
    pass.capture(0, x);
    if exit.deepest() > 0 {
        let tiles = pass.recorder.upload("tiles", &[tile_count, 4], Fill::Words(tiles));
        let texts = Texts { tiles, tile_count, longest, lengths: lengths().collect() };
        for state in 1..=exit.deepest() {
            x = pass.block(state, x, &texts);
            pass.capture(state, x);
        }
        pass.look_over(exit.deepest(), x);
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
    /// What each token is: its rows in the tables, its place in its text. // (tokens, 4)
    rows: BufferId,
    /// Cosines and sines of the places, for each set of angles that was met.
    turns: Vec<(Rope, BufferId)>,
    /// The normalised table of relative positions.
    places: Option<BufferId>,
    /// What the biases of the scores read, uploaded once a pass.
    tables: Vec<(Vec<u32>, BufferId)>,
}

/// The texts of a batch as attention sees them.
struct Texts {
    tiles: BufferId,
    tile_count: usize,
    /// Tokens of the longest.
    longest: u32,
    /// Tokens of each.
    lengths: Vec<u32>,
}

impl Texts {
    /// Pairs of a query and a key that count, where keys reach so far.
    fn pairs(&self, reach: Option<u64>) -> u64 {
        let pairs = |&n: &u32| u64::from(n) * reach.map_or(n.into(), |r| (2 * r + 1).min(n.into()));
        self.lengths.iter().map(pairs).sum()
    }
}

impl Pass<'_> {
    /// x₀ = W norm(word[id] + position[p] + type[t])  // (tokens, width)
    fn embed(&mut self, batch: &PackedBatch, on_host: bool) -> BufferId {
        let l = self.layout;
        // Gathered rows are numbered in the order of their first use.
        let (words, rows) =
            if on_host { number_rows(&batch.ids) } else { (batch.ids.clone(), vec![]) };
        let positions = position_rows(batch, self.spec.embedding.position.as_ref());
        let typed = u32::from(self.spec.embedding.token_type.is_some());
        let lines = words.iter().zip(&positions).zip(&batch.types).zip(&batch.positions);
        let lines = lines.flat_map(|(((&w, &p), &t), &place)| [w, p, t * typed, place]).collect();
        let tokens = self.recorder.upload("tokens", &[self.tokens, 4], Fill::Words(lines));
        self.rows = tokens;
        let word = if on_host {
            let shape = [rows.len(), l.embedding];
            let fill = Fill::Rows { table: l.word, rows };
            Bind::Buffer(self.recorder.upload("words", &shape, fill))
        } else {
            Bind::Weight(l.word)
        };
        let name = if l.projection.is_some() { "embedding" } else { "x" };
        let x = self.recorder.buffer(name, &[self.tokens, l.embedding]);
        let params = EmbedParams {
            rows: self.tokens as u32,
            stride4: (l.embedding / 4) as u32,
            width: self.spec.embedding.width as u32,
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
            cut: RowCut::new(tiles::embed_sum(&self.can), l.embedding),
            kind: self.spec.embedding.norm.kind,
        };
        let grid = tiles::row_grid(self.tokens);
        self.recorder.dispatch("embed".into(), variant, Params::Embed(params), &binds, grid, 0);
        match l.projection {
            Some(weight) => {
                let identity = Activation::Identity;
                let x = self.matmul("projection".into(), "x", x, weight, identity, self.tokens);
                let norm = self.spec.embedding.projected_norm.as_ref().zip(l.projected_norm);
                norm.map_or(x, |norm| self.norm("projected norm".into(), x, norm, 0))
            }
            None => x,
        }
    }

    /// Post-norm: h = norm₁(x + attention(x)), norm₂(h + W₂ act(W₁ h + b₁) + b₂); pre-norm:
    /// h = x + attention(norm₁(x)), h + W₂ act(W₁ norm₂(h) + b₁) + b₂.
    fn block(&mut self, state: usize, x: BufferId, texts: &Texts) -> BufferId {
        let block = &self.spec.blocks[state - 1];
        let ids = self.layout.blocks[state - 1];
        let at = |what: &str| format!("block {state} {what}");
        let first_norm = block.attention_norm.as_ref().zip(ids.attention_norm);
        let is_pre = block.order == Order::Pre;

        let input = match first_norm {
            // What is not finite was so in the state before.
            Some(norm) if is_pre => self.norm(at("attention norm"), x, norm, state - 1),
            _ => x,
        };
        // q, k, v = W x + b  // (tokens, heads + 2 kv_heads, head_dim)
        let qkv = self.matmul(at("qkv"), "qkv", input, ids.qkv, Activation::Identity, self.tokens);
        if let Some(rope) = &block.attention.rope {
            self.rope(at("rope"), qkv, rope, texts.longest);
        }
        // softmax(q kᵀ / √d) v  // (tokens, heads, head_dim)
        let context = self.attention(at("attention"), qkv, texts, &block.attention.bias, ids.bias);
        let h = match first_norm {
            Some((norm, id)) if !is_pre => {
                let norm = (id, norm, state);
                let labels = [at("output"), at("attention norm")];
                self.add_norm(labels, "h", context, ids.output, x, norm)
            }
            _ => self.add(at("output"), "h", context, ids.output, x),
        };
        let output_norm = (&block.output_norm, ids.output_norm);
        let fed = if is_pre { self.norm(at("output norm"), h, output_norm, state) } else { h };
        // (tokens, inner)
        let inner = if block.gate.is_some() {
            let identity = Activation::Identity;
            let both = self.matmul(at("up"), "both", fed, ids.up, identity, self.tokens);
            self.gate(at("gate"), both, block.activation)
        } else {
            self.matmul(at("up"), "inner", fed, ids.up, block.activation, self.tokens)
        };
        if !is_pre {
            let norm = (ids.output_norm, &block.output_norm, state);
            let labels = [at("down"), at("output norm")];
            return self.add_norm(labels, "x", inner, ids.down, h, norm);
        }
        let x = self.add(at("down"), "x", inner, ids.down, h);
        match self.spec.final_norm.as_ref().zip(self.layout.final_norm) {
            Some(norm) if state == self.spec.depth() => {
                self.norm("final norm".into(), x, norm, state)
            }
            _ => x,
        }
    }

    /// Where the last state that is computed was not normalised, nothing has looked for NaN and
    /// infinity in it: the normalisation of the next block does.
    fn look_over(&mut self, state: usize, x: BufferId) {
        let next = self.spec.blocks.get(state).zip(self.layout.blocks.get(state));
        if let Some((block, ids)) = next
            && block.order == Order::Pre
            && let Some(norm) = block.attention_norm.as_ref().zip(ids.attention_norm)
        {
            self.norm(format!("look over state {state}"), x, norm, state);
        }
    }

    /// norm(x) alone.  // (tokens, width)
    fn norm(
        &mut self,
        label: String,
        x: BufferId,
        (norm, id): (&Norm, WeightId),
        state: usize,
    ) -> BufferId {
        let y = self.recorder.buffer("normed", &[self.tokens, self.layout.width]);
        let binds = [Bind::Buffer(x), Bind::Weight(id), Bind::Buffer(y), Bind::Buffer(self.status)];
        let cut = self.row_cut(tiles::row_sum);
        let variant = Variant::Norm { cut, input: NormInput::Whole, kind: norm.kind };
        let params = Params::Norm(self.norm_params(self.tokens, norm, state));
        self.recorder.dispatch(label, variant, params, &binds, tiles::row_grid(self.tokens), 0);
        y
    }

    fn norm_params(&self, rows: usize, norm: &Norm, state: usize) -> NormParams {
        NormParams {
            rows: rows as u32,
            stride4: (self.layout.width / 4) as u32,
            width: self.spec.width as u32,
            eps: norm.eps,
            state: state as u32,
            pad: [0; 3],
        }
    }

    /// W a + b + residual, whole.
    fn add(
        &mut self,
        label: String,
        name: &'static str,
        a: BufferId,
        weight: LinearIds,
        residual: BufferId,
    ) -> BufferId {
        let identity = Activation::Identity;
        self.product(label, name, a, weight, identity, Some(residual), self.tokens, 1)
    }

    /// Turns queries and keys in place by the places of their tokens.
    fn rope(&mut self, label: String, qkv: BufferId, rope: &Rope, longest: u32) {
        let half = rope.angles.len();
        let turns = match self.turns.iter().find(|(known, _)| known == rope) {
            Some(&(_, turns)) => turns,
            None => {
                // The product in f32, as in Transformers; its cosine and sine as exact as may be.
                let turn = |place: u32| {
                    rope.angles.iter().flat_map(move |angle| {
                        let (sine, cosine) = f64::from(place as f32 * angle).sin_cos();
                        [(cosine as f32).to_bits(), (sine as f32).to_bits()]
                    })
                };
                let words = Fill::Words((0..longest).flat_map(turn).collect());
                let turns = self.recorder.upload("turns", &[longest as usize, half, 2], words);
                self.turns.push((rope.clone(), turns));
                turns
            }
        };
        let (heads, head_dim) = (self.spec.heads + self.spec.kv_heads, self.layout.head_dim);
        let pairs = self.tokens * heads * half;
        let (grid, row) = tiles::flat_grid(pairs);
        let params = RopeParams {
            pairs: pairs as u32,
            row,
            heads: heads as u32,
            half: half as u32,
            head_dim: head_dim as u32,
            stride: (head_dim * (heads + self.spec.kv_heads)) as u32,
            pad: [0; 2],
        };
        let binds = [Bind::Buffer(self.rows), Bind::Buffer(turns), Bind::Buffer(qkv)];
        self.recorder.dispatch(label, Variant::Rope, Params::Rope(params), &binds, grid, 0);
    }

    /// act(gate) × up  // (tokens, inner)
    fn gate(&mut self, label: String, both: BufferId, activation: Activation) -> BufferId {
        let inner = self.layout.inner;
        let y = self.recorder.buffer("inner", &[self.tokens, inner]);
        let vectors = self.tokens * inner / 4;
        let (grid, row) = tiles::flat_grid(vectors);
        let inner4 = (inner / 4) as u32;
        let params = GateParams { vectors: vectors as u32, row, inner4, pad: 0 };
        let binds = [Bind::Buffer(both), Bind::Buffer(y)];
        let variant = Variant::Gate(activation);
        self.recorder.dispatch(label, variant, Params::Gate(params), &binds, grid, 0);
        y
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
        (gamma_beta, spec, state): (WeightId, &Norm, usize),
    ) -> BufferId {
        let splits = tiles::matmul_splits(self.can.class, weight.n, weight.k);
        let params = self.norm_params(self.tokens, spec, state);
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
        let variant = Variant::Norm { cut: self.row_cut(tiles::row_sum), input, kind: spec.kind };
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
        texts: &Texts,
        bias: &Bias,
        ids: BiasIds,
    ) -> BufferId {
        let (spec, stride) = (self.spec, self.layout.head_dim);
        let (joined, kv) = (spec.heads * stride, spec.kv_heads * stride);
        let (mut terms, mut reach, mut line) = (1, 0, 0);
        let (mut scores, mut rest) = (Scores::Plain, Vec::new());
        match (bias, ids) {
            (Bias::Window(window), _) => (scores, reach) = (Scores::Window, *window),
            (Bias::Alibi(slopes), _) => {
                scores = Scores::Alibi;
                let words = slopes.iter().map(|s| s.to_bits()).collect();
                rest.push(Bind::Buffer(self.uploaded("slopes", words)));
            }
            (Bias::Relative { rows, .. }, BiasIds::Relative(table)) => {
                (scores, reach) = (Scores::Relative, rows.len() / 2);
                line = self.layout.weight(table).cols;
                rest.push(Bind::Weight(table));
            }
            (Bias::Disentangled(p), BiasIds::Disentangled { table, norm, product }) => {
                (scores, reach) = (Scores::Disentangled, p.rows.len() / 2);
                terms = 1 + usize::from(p.key.is_some()) + usize::from(p.query.is_some());
                let normed = self.normed_places(table, (&p.norm, norm));
                let identity = Activation::Identity;
                let named = format!("{label} places");
                let places = self.matmul(named, "places", normed, product, identity, 2 * p.span);
                let words = p.rows.iter().map(|&row| row as u32).collect();
                let rows = self.uploaded("place of", words);
                rest.extend([Bind::Buffer(places), Bind::Buffer(rows)]);
            }
            _ => {}
        }
        let context = self.recorder.buffer("context", &[self.tokens, joined]);
        let params = AttentionParams {
            qkv4: ((joined + 2 * kv) / 4) as u32,
            out4: (joined / 4) as u32,
            scale: LOG2_E / ((spec.head_dim * terms) as f32).sqrt(),
            kv4: (kv / 4) as u32,
            group: (spec.heads / spec.kv_heads) as u32,
            reach: reach as u32,
            line: line as u32,
            pad: 0,
        };
        let mut binds = vec![Bind::Buffer(qkv), Bind::Buffer(texts.tiles), Bind::Buffer(context)];
        binds.extend(rest);
        let staging = match self.can.class {
            Class::Software if scores != Scores::Disentangled => Staging::Broadcast,
            _ => Staging::Workgroup,
        };
        let variant = Variant::Attention { staging, head_dim: stride as u32, scores };
        let seen = (scores == Scores::Window).then_some(reach as u64);
        let flops = 4 * texts.pairs(seen) * (joined * terms) as u64;
        let grid = [texts.tile_count as u32, spec.heads as u32];
        self.recorder.dispatch(label, variant, Params::Attention(params), &binds, grid, flops);
        context
    }

    /// `words` on the device, once a pass however many blocks read them.
    fn uploaded(&mut self, name: &'static str, words: Vec<u32>) -> BufferId {
        if let Some(&(_, id)) = self.tables.iter().find(|(known, _)| *known == words) {
            return id;
        }
        let id = self.recorder.upload(name, &[words.len()], Fill::Words(words.clone()));
        self.tables.push((words, id));
        id
    }

    /// DeBERTa's relative positions, normalised: once a pass.  // (2 span, width)
    fn normed_places(&mut self, table: WeightId, (norm, id): (&Norm, WeightId)) -> BufferId {
        if let Some(places) = self.places {
            return places;
        }
        let rows = self.layout.weight(table).rows;
        let y = self.recorder.buffer("relative positions", &[rows, self.layout.width]);
        // Its own flags: no row of it is a token.
        let words = rows.div_ceil(32) + 1;
        let flags = self.recorder.upload("flags", &[words], Fill::Words(vec![0; words]));
        let binds = [Bind::Weight(table), Bind::Weight(id), Bind::Buffer(y), Bind::Buffer(flags)];
        let cut = self.row_cut(tiles::row_sum);
        let variant = Variant::Norm { cut, input: NormInput::Whole, kind: norm.kind };
        let params = Params::Norm(self.norm_params(rows, norm, 0));
        let label = "relative positions norm".into();
        self.recorder.dispatch(label, variant, params, &binds, tiles::row_grid(rows), 0);
        self.places = Some(y);
        y
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

/// The row of each token in the position table.
fn position_rows(batch: &PackedBatch, positions: Option<&Positions>) -> Vec<u32> {
    let Some(positions) = positions else { return vec![0; batch.ids.len()] };
    let Some(padding) = positions.padding else { return batch.positions.clone() };
    // `create_position_ids_from_input_ids` of transformers `modeling_roberta.py`.
    let padding = padding as u32;
    let mut last = padding;
    let row = |(&id, &place): (&u32, &u32)| {
        if place == 0 {
            last = padding;
        }
        if id == padding {
            return padding;
        }
        last += 1;
        last
    };
    batch.ids.iter().zip(&batch.positions).map(row).collect()
}
