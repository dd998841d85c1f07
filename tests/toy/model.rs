//! Small encoders of any shape with random weights, and packs of random texts for them.

use std::sync::Arc;

use everylayer::model::layout::{Layout, Use};
use everylayer::model::spec::{
    Activation, Attention, Bias, Block, Embedding, Linear, Norm, Order, Positions, Spec,
};
use everylayer::text::pack::PackedBatch;

use super::{Held, Rng};

/// What tells one small encoder from another.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub heads: usize,
    pub head_dim: usize,
    pub width: usize,
    pub inner: usize,
    pub depth: usize,
    pub types: usize,
    pub vocab: usize,
    pub activation: Activation,
}

/// The smallest that still has everything: padded heads, two blocks, two token types.
pub const SMALL: Shape = Shape {
    heads: 3,
    head_dim: 10,
    width: 30,
    inner: 70,
    depth: 2,
    types: 2,
    vocab: 300,
    activation: Activation::Gelu,
};

/// Longest text in tokens.
pub const POSITIONS: usize = 520;

/// An encoder and its numbers.
pub struct Toy {
    pub spec: Spec,
    pub layout: Arc<Layout>,
    pub held: Arc<Held>,
}

impl Shape {
    /// The encoder of this shape, with a pooler.
    pub fn spec(&self) -> Spec {
        let linear = |name: &str| Linear::new(name);
        let norm = |name: &str| Norm::layer(name, 1e-12);
        let block = |i: usize| Block {
            attention: Attention {
                query: linear(&format!("{i}.query")),
                key: linear(&format!("{i}.key")),
                value: linear(&format!("{i}.value")),
                output: linear(&format!("{i}.output")),
                rope: None,
                bias: Bias::None,
                ..Attention::default()
            },
            order: Order::Post,
            attention_norm: Some(norm(&format!("{i}.attention_norm"))),
            gate: None,
            up: linear(&format!("{i}.up")),
            activation: self.activation,
            down: linear(&format!("{i}.down")),
            output_norm: norm(&format!("{i}.output_norm")),
            ..Block::default()
        };
        Spec {
            family: "toy",
            vocab: self.vocab,
            positions: POSITIONS,
            types: self.types,
            width: self.width,
            heads: self.heads,
            kv_heads: self.heads,
            head_dim: self.head_dim,
            inner: self.inner,
            embedding: Embedding {
                word: vec!["word".into()],
                position: Some(Positions {
                    table: "position".into(),
                    rows: POSITIONS,
                    padding: None,
                }),
                token_type: Some("type".into()),
                norm: norm("norm"),
                width: self.width,
                projection: None,
                projected_norm: None,
            },
            blocks: (0..self.depth).map(block).collect(),
            final_norm: None,
            pooler: Some(linear("pooler")),
        }
    }

    /// The encoder with random weights.
    pub fn toy(&self, seed: u64) -> Toy {
        Toy::of(self.spec(), seed)
    }
}

impl Toy {
    /// `spec` with random weights.
    pub fn of(spec: Spec, seed: u64) -> Self {
        let layout = Layout::new(&spec).unwrap();
        let mut rng = Rng::new(seed);
        let numbers = layout.weights().iter().map(|weight| {
            let mut numbers = vec![0.0; weight.rows * weight.cols];
            for part in &weight.parts {
                let (rows, cols) = part.size();
                for r in 0..rows {
                    for c in 0..cols {
                        let row = part.rows.place(r);
                        // Sums of variance 1, so that scores and activations are not all alike.
                        numbers[row * weight.cols + part.cols.place(c)] = match weight.usage {
                            Use::Matrix => rng.normal() * 1.5 / (cols as f32).sqrt(),
                            Use::Table => 0.5 * rng.normal(),
                            Use::Vector if weight.rows == 2 && row == 0 => 1.0 + 0.2 * rng.normal(),
                            Use::Vector => 0.2 * rng.normal(),
                        };
                    }
                }
            }
            numbers
        });
        let held = Arc::new(Held(numbers.collect()));
        Toy { spec, layout: Arc::new(layout), held }
    }
}

/// Ids and types of one text.
pub type TextIds = (Vec<u32>, Vec<u32>);

/// A random text of `length` tokens; the second half has the last token type.
pub fn text(rng: &mut Rng, spec: &Spec, length: usize) -> TextIds {
    let ids = (0..length).map(|_| rng.below(spec.vocab) as u32).collect();
    let types = (0..length).map(|i| if 2 * i < length { 0 } else { spec.types as u32 - 1 });
    (ids, types.collect())
}

/// The texts laid end to end in the order given.
pub fn batch(texts: &[&TextIds]) -> PackedBatch {
    let mut batch = PackedBatch { offsets: vec![0], ..PackedBatch::default() };
    for (i, (ids, types)) in texts.iter().enumerate() {
        batch.ids.extend(ids);
        batch.types.extend(types);
        batch.positions.extend(0..ids.len() as u32);
        batch.offsets.push(batch.ids.len() as u32);
        batch.order.push(i);
    }
    batch
}

/// A pack of random texts.
pub fn pack(rng: &mut Rng, spec: &Spec, lengths: &[usize]) -> PackedBatch {
    let texts: Vec<_> = lengths.iter().map(|&n| text(rng, spec, n)).collect();
    batch(&texts.iter().collect::<Vec<_>>())
}
