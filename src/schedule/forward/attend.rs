//! Attention and what its scores read: turned queries and keys, biases, relative positions.

use super::{BatchTexts, Pass};
use crate::kernels::{
    self, Attention, AttentionShape, Elem, NormInput, RopeShape, Scores, attention_parts,
};
use crate::model::layout::{BiasIds, WeightId};
use crate::model::spec::{Activation, Bias, Norm, Rope};
use crate::schedule::recording::{Bind, BufferId, Fill};
use crate::schedule::tiles;

/// What the scores of a block's attention take in.
pub(super) struct Scored {
    pub scores: Scores,
    pub shape: AttentionShape,
    /// Terms of a score.
    terms: usize,
    /// What is bound behind the result.
    pub rest: Vec<Bind>,
    /// Invocations that share a query row.
    parts: u32,
}

impl Pass<'_> {
    /// Turns queries and keys in place by the places of their tokens.
    pub(super) fn rope(&mut self, label: String, qkv: BufferId, rope: &Rope, places: u32) {
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
                let words = Fill::Words((0..places).flat_map(turn).collect());
                let turns = self.recorder.upload("turns", &[places as usize, half, 2], words);
                self.turns.push((rope.clone(), turns));
                turns
            }
        };
        let shape = RopeShape {
            tokens: self.tokens,
            heads: self.spec.heads + self.spec.kv_heads,
            values: self.spec.kv_heads,
            head_dim: self.layout.head_dim,
            half,
        };
        let binds = [Bind::Buffer(self.rows), Bind::Buffer(turns), Bind::Buffer(qkv)];
        self.recorder.dispatch(label, kernels::Rope.over(shape), &binds);
    }

    /// Invocations that share a query row of an attention with `bias`.
    pub(super) fn parts(&self, bias: &Bias) -> u32 {
        let scores = match bias {
            Bias::Disentangled(_) => Scores::Disentangled,
            _ => Scores::Plain,
        };
        attention_parts(&self.can, self.layout.head_dim, scores)
    }

    /// The tiles of rows that `parts` invocations share, and how many there are.
    pub(super) fn tiles(&mut self, texts: &BatchTexts<'_>, parts: u32) -> (BufferId, usize) {
        if let Some(&(_, tiles, count)) = self.tiles.iter().find(|(shared, ..)| *shared == parts) {
            return (tiles, count);
        }
        let words = tiles::attention_tiles(texts.batch, parts);
        let count = words.len() / 4;
        let tiles = self.recorder.upload("tiles", &[count, 4], Fill::Words(words));
        self.tiles.push((parts, tiles, count));
        (tiles, count)
    }

    /// What the scores of a block's attention take in.
    pub(super) fn scored(&mut self, label: &str, bias: &Bias, ids: BiasIds) -> Scored {
        let spec = self.spec;
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
        let shape = AttentionShape {
            heads: spec.heads,
            kv_heads: spec.kv_heads,
            divisor: spec.head_dim * terms,
            reach,
            line,
        };
        Scored { scores, shape, terms, rest, parts: self.parts(bias) }
    }

    pub(super) fn attention(
        &mut self,
        label: String,
        qkv: BufferId,
        texts: &BatchTexts<'_>,
        scored: Scored,
    ) -> BufferId {
        let (spec, stride) = (self.spec, self.layout.head_dim);
        let Scored { scores, shape, terms, rest, parts } = scored;
        let joined = spec.heads * stride;
        let narrow = self.recorder.is_narrow(qkv);
        let elem = if narrow { Elem::PackedF16 } else { Elem::F32 };
        let context = self.recorder.stored("context", &[self.tokens, joined], elem);
        let (tiles, tile_count) = self.tiles(texts, parts);
        let mut binds = vec![Bind::Buffer(qkv), Bind::Buffer(tiles), Bind::Buffer(context)];
        binds.extend(rest);
        let staging = tiles::attention_staging(self.can.class, stride, scores);
        let attention = Attention { staging, head_dim: stride as u32, scores, narrow, parts };
        let seen = (scores == Scores::Window).then_some(shape.reach as u64);
        let flops = 4 * texts.pairs(seen) * (joined * terms) as u64;
        // A long text is more than one submit may be: some heads at a time then.
        let each = (flops / spec.heads as u64).max(1);
        let most = (self.caps.submit_flops / each).clamp(1, spec.heads as u64) as usize;
        for first in (0..spec.heads).step_by(most) {
            let heads = most.min(spec.heads - first);
            let label = match heads == spec.heads {
                true => label.clone(),
                false => format!("{label} heads {first}..{}", first + heads),
            };
            let call = attention.over(shape, tile_count, (first, heads), each);
            self.recorder.dispatch(label, call, &binds);
        }
        context
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
        let norm_of = kernels::Norm { cut, input: NormInput::Whole, kind: norm.kind };
        let call = norm_of.over(self.norm_params(rows, norm, 0));
        self.recorder.dispatch("relative positions norm".into(), call, &binds);
        self.places = Some(y);
        y
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
}
