//! The forward pass, top to bottom as in the paper, written down instead of run. What a step of it
//! takes stands in the folder beside: tables, products and norms, attention, what leaves.

mod attend;
mod conv;
mod embed;
mod leave;
mod maps;
mod moe;
mod product;
mod qk_norm;

use leave::Found;
use maps::MapPass;

use super::caps::Caps;
use super::check::{check, check_batch, position_rows};
use super::maps::MapExit;
use super::plan::Exit;
use super::recorder::Recorder;
use super::recording::{BufferId, Fill, Recording};
use super::site::Site;
use super::tuning::Tuning;
use crate::error::Result;
use crate::kernels::{AdapterFeatures, Elem};
use crate::model::layout::Layout;
use crate::model::spec::{Activation, Order, Rope, Spec};
use crate::text::pack::PackedBatch;

/// Writes down the forward pass of `batch` through `spec` and what leaves the device.
///
/// # Errors
///
/// `Usage` for a batch that is no batch, has no tokens or more than [`Caps::max_tokens`], and for
/// a layout that is not of `spec`, an exit that names a state twice or none, one above the model's depth, or more than fits;
/// `Checkpoint` for an id, position or token type outside its table.
pub fn record(
    spec: &Spec,
    layout: &Layout,
    batch: &PackedBatch,
    exit: &Exit,
    caps: &Caps,
) -> Result<Recording> {
    record_all(spec, layout, batch, std::slice::from_ref(exit), caps)
}

/// [`record`] with several exits from one pass. What leaves by one has the bits that it has alone.
///
/// # Errors
///
/// As [`record`].
pub fn record_all(
    spec: &Spec,
    layout: &Layout,
    batch: &PackedBatch,
    exits: &[Exit],
    caps: &Caps,
) -> Result<Recording> {
    check(spec, layout, batch, exits, caps)?;
    write(spec, layout, batch, (exits, None), caps)
}

/// [`record`] of what is asked of attention.
///
/// # Errors
///
/// As [`record`], for a batch; `Usage` for a layer or a head that is not there or is named twice.
pub fn record_maps(
    spec: &Spec,
    layout: &Layout,
    batch: &PackedBatch,
    maps: &MapExit,
    caps: &Caps,
) -> Result<Recording> {
    check_batch(spec, layout, batch, caps)?;
    maps.check(spec, batch, caps)?;
    write(spec, layout, batch, (&[], Some(maps)), caps)
}

/// Writes down what was checked.
fn write(
    spec: &Spec,
    layout: &Layout,
    batch: &PackedBatch,
    (exits, maps): (&[Exit], Option<&MapExit>),
    caps: &Caps,
) -> Result<Recording> {
    let positions = position_rows(batch, spec.embedding.position.as_ref())?;
    let layers = maps.iter().flat_map(|maps| maps.layers.iter().copied());
    let deepest = exits.iter().map(Exit::deepest).chain(layers).max().unwrap_or(0);
    let mut pass = Pass {
        spec,
        layout,
        exits: exits.iter().map(ExitState::new).collect(),
        caps,
        elem: caps.elem,
        can: caps.can,
        tuning: &caps.tuning,
        tokens: batch.ids.len(),
        texts: batch.offsets.len() - 1,
        recorder: Recorder::new(caps.submit_read_bytes, caps.submit_flops),
        status: BufferId(0),
        ranges: None,
        rows: BufferId(0),
        turns: Vec::new(),
        places: None,
        tiles: Vec::new(),
        tables: Vec::new(),
        maps: None,
    };
    let words = pass.tokens.div_ceil(32) + spec.depth() + 1;
    pass.status = pass.recorder.upload("status", &[words], Fill::Words(vec![0; words]));
    if exits.iter().any(|exit| exit.pool.is_some()) {
        let ranges = batch.offsets.windows(2).flat_map(|o| [o[0], o[1] - o[0]]).collect();
        pass.ranges = Some(pass.recorder.upload("ranges", &[pass.texts, 2], Fill::Words(ranges)));
    }
    if let Some(maps) = maps {
        pass.prepare_maps(maps, batch);
    }
    let lengths = || batch.offsets.windows(2).map(|o| o[1] - o[0]);
    // What a rotation reads is as long as the furthest place, whoever made the places.
    let places = batch.positions.iter().max().map_or(0, |place| place + 1);

    let mut x = pass.embed(batch, &positions, caps.gathers_on_host(layout));
    pass.capture(0, x);
    if deepest > 0 {
        let texts = BatchTexts { batch, places, lengths: lengths().collect() };
        if let Some(block) = spec.blocks.first() {
            pass.tiles(&texts, pass.parts(&block.attention.bias));
        }
        for state in 1..=deepest {
            x = pass.block(state, x, &texts);
            pass.capture(state, x);
        }
        pass.look_over(deepest, x);
    }
    pass.leave();
    let Pass { recorder, texts, tokens, .. } = pass;
    Ok(recorder.finish(texts, tokens))
}

/// The forward pass being written.
struct Pass<'a> {
    spec: &'a Spec,
    layout: &'a Layout,
    caps: &'a Caps,
    elem: Elem,
    can: AdapterFeatures,
    tuning: &'a Tuning,
    tokens: usize,
    texts: usize,
    recorder: Recorder,
    status: BufferId,
    ranges: Option<BufferId>,
    exits: Vec<ExitState<'a>>,
    /// What each token is: its rows in the tables, its place in its text. // (tokens, 4)
    rows: BufferId,
    /// Cosines and sines of the places, for each set of angles that was met.
    turns: Vec<(Rope, BufferId)>,
    /// The normalised table of relative positions.
    places: Option<BufferId>,
    /// The tiles of rows that so many invocations share, and how many there are.
    tiles: Vec<(u32, BufferId, usize)>,
    /// What the biases of the scores read, uploaded once a pass.
    tables: Vec<(Vec<u32>, BufferId)>,
    /// What is asked of attention.
    maps: Option<MapPass<'a>>,
}

/// An exit and what has been gathered for it.
#[derive(Clone, Copy)]
struct ExitState<'a> {
    exit: &'a Exit,
    merged: Option<BufferId>,
    pooled: Option<BufferId>,
}

impl<'a> ExitState<'a> {
    fn new(exit: &'a Exit) -> Self {
        Self { exit, merged: None, pooled: None }
    }
}

/// The texts of a batch as attention sees them.
struct BatchTexts<'a> {
    batch: &'a PackedBatch,
    /// One more than the furthest place of a token in its text.
    places: u32,
    /// Tokens of each.
    lengths: Vec<u32>,
}

impl BatchTexts<'_> {
    /// Pairs of a query and a key that count, where keys reach so far.
    fn pairs(&self, reach: Option<u64>) -> u64 {
        let pairs = |&n: &u32| u64::from(n) * reach.map_or(n.into(), |r| (2 * r + 1).min(n.into()));
        self.lengths.iter().map(pairs).sum()
    }
}

impl Pass<'_> {
    /// Post-norm: h = norm₁(x + attention(x)), norm₂(h + W₂ act(W₁ h + b₁) + b₂); pre-norm:
    /// h = x + attention(norm₁(x)), h + W₂ act(W₁ norm₂(h) + b₁) + b₂.
    fn block(&mut self, state: usize, x: BufferId, texts: &BatchTexts<'_>) -> BufferId {
        let block = &self.spec.blocks[state - 1];
        let layout = self.layout;
        let ids = &layout.blocks[state - 1];
        let at = |what: &str| format!("block {state} {what}");
        let first_norm = block.attention_norm.as_ref().zip(ids.attention_norm);
        let is_pre = block.order == Order::Pre;

        let input = match first_norm {
            // What is not finite was so in the state before.
            Some(norm) if is_pre => self.norm(at("attention norm"), x, norm, state - 1),
            _ => x,
        };
        let (attended, widened) =
            (self.caps.attended(self.spec, block), self.caps.widened(self.spec));
        // q, k, v = W x + b  // (tokens, heads + 2 kv_heads, head_dim)
        let qkv = self.widen(at("qkv"), ("qkv", attended), input, ids.qkv, Activation::Identity);
        self.capture_heads(state, qkv);
        if let Some((norms, id)) = block.attention.query_key_norms.as_ref().zip(ids.query_key_norms)
        {
            self.qk_norm(at("q and k norms"), qkv, norms, id);
        }
        if let Some(rope) = &block.attention.rope {
            self.rope(at("rope"), qkv, rope, texts.places);
        }
        // softmax(q kᵀ / √d) v  // (tokens, heads, head_dim)
        let scored = self.scored(&at("attention"), &block.attention.bias, ids.bias);
        self.weights(state, qkv, texts, &scored);
        let context = self.attention(at("attention"), qkv, texts, scored);
        self.capture_at((Site::Z, state), Found::whole(context, ids.output.k));
        let h = match first_norm {
            Some((norm, id)) if !is_pre => {
                let norm = (id, norm, state);
                let labels = [at("output"), at("attention norm")];
                self.add_norm(labels, ("h", Site::AttnOut), context, ids.output, x, norm)
            }
            _ => self.add(at("output"), "h", context, ids.output, x, (Site::AttnOut, state)),
        };
        let h = match block.second_norm.as_ref().zip(ids.second_norm) {
            Some((norm, id)) => self.residual_norm(at("second norm"), "h", h, x, (id, norm, state)),
            None => h,
        };
        self.capture_at((Site::ResidMid, state), Found::whole(h, layout.width));
        let output_norm = (&block.output_norm, ids.output_norm);
        let fed = if is_pre { self.norm(at("output norm"), h, output_norm, state) } else { h };
        if let Some((experts, ids)) = block.experts.as_ref().zip(ids.experts.as_ref()) {
            let norm = (output_norm.1, output_norm.0, state);
            return self.experts(state, h, experts, ids, block.activation, norm);
        }
        // (tokens, inner)
        let inner = if block.gate.is_some() {
            let identity = Activation::Identity;
            let both = self.widen(at("up"), ("both", widened), fed, ids.up, identity);
            self.gate(at("gate"), both, block.activation)
        } else {
            self.widen(at("up"), ("inner", widened), fed, ids.up, block.activation)
        };
        self.capture_at((Site::MlpAct, state), Found::whole(inner, layout.inner));
        if !is_pre {
            let norm = (ids.output_norm, &block.output_norm, state);
            let labels = [at("down"), at("output norm")];
            let y = self.add_norm(labels, ("x", Site::MlpOut), inner, ids.down, h, norm);
            return match block.convolution.as_ref().zip(ids.convolution) {
                Some((convolution, ids)) => self.convolve(state, x, y, convolution, ids),
                None => y,
            };
        }
        let x = self.add(at("down"), "x", inner, ids.down, h, (Site::MlpOut, state));
        match self.spec.final_norm.as_ref().zip(self.layout.final_norm) {
            Some(norm) if state == self.spec.depth() => {
                self.capture_unnormed(x);
                self.norm("final norm".into(), x, norm, state)
            }
            _ => x,
        }
    }
}
