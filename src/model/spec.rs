//! An encoder as data: what is computed, in which order, with which tensors.
//!
//! A family (`bert.rs`) turns a `config.json` into a [`Spec`]; `schedule/` turns a [`Spec`] into a
//! recording. Nothing here reads a file or knows a device.

mod validate;

use std::fmt;
use std::sync::Arc;

pub use crate::math::activation::Activation;
pub use crate::math::norm::NormKind;

/// y = W x + b with W stored (out, in), as PyTorch's `nn.Linear` does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Linear {
    /// Names W may have in the checkpoint, in order of preference, shape (out, in).
    pub weight: Vec<String>,
    /// Names of b, shape (out,), where the family has one.
    pub bias: Option<Vec<String>>,
    /// Which part of a tensor that holds several matrices one above the other; `None` for all of it.
    pub share: Option<Share>,
    /// Whether W is stored (in, out) instead.
    pub transposed: bool,
}

/// One of `of` equal or unequal runs of rows that a tensor holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// First row of this matrix.
    pub first: usize,
    /// Rows of the tensor.
    pub of: usize,
}

impl Linear {
    /// `{at}.weight` and `{at}.bias`.
    pub fn new(at: impl fmt::Display) -> Self {
        let bias = Some(vec![format!("{at}.bias")]);
        Self { bias, ..Self::unbiased(at) }
    }

    /// `{at}.weight` alone.
    pub fn unbiased(at: impl fmt::Display) -> Self {
        Self { weight: vec![format!("{at}.weight")], ..Self::default() }
    }

    /// With a bias where `biased`.
    pub fn with(at: impl fmt::Display, biased: bool) -> Self {
        if biased { Self::new(at) } else { Self::unbiased(at) }
    }

    /// The rows from `first` on of a tensor of `of` rows.
    pub fn rows(self, first: usize, of: usize) -> Self {
        Self { share: Some(Share { first, of }), ..self }
    }
}

/// Normalisation over the last axis.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Norm {
    /// What is computed.
    pub kind: NormKind,
    /// Names γ may have, in order of preference, shape (width,).
    pub weight: Vec<String>,
    /// Names β may have, shape (width,); none for a family without.
    pub bias: Vec<String>,
    /// ε, from the config.
    pub eps: f32,
}

impl Norm {
    /// Layer normalisation by `{at}.weight` and `{at}.bias`, or `gamma` and `beta`, as checkpoints
    /// from TensorFlow call them.
    pub fn layer(at: impl fmt::Display, eps: f32) -> Self {
        Self {
            kind: NormKind::Layer,
            weight: vec![format!("{at}.weight"), format!("{at}.gamma")],
            bias: vec![format!("{at}.bias"), format!("{at}.beta")],
            eps,
        }
    }

    /// RMS normalisation by `{at}.weight`.
    pub fn rms(at: impl fmt::Display, eps: f32) -> Self {
        let weight = vec![format!("{at}.weight")];
        Self { kind: NormKind::Rms, weight, bias: Vec::new(), eps }
    }

    /// No normalisation.
    pub fn none() -> Self {
        Self { kind: NormKind::None, weight: Vec::new(), bias: Vec::new(), eps: 0.0 }
    }

    /// Without β.
    pub fn without_bias(self) -> Self {
        Self { bias: Vec::new(), ..self }
    }
}

/// Rotary positions (Su et al. 2021): pairs (i, i + rotated/2) of each query and key turn by
/// position × angle i.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Angle a position of each pair, in radians: (rotated / 2).
    pub angles: Arc<[f32]>,
}

impl Rope {
    /// Angles base^(-2i/rotated) in the arithmetic of Transformers (`modeling_rope_utils.py`,
    /// `_compute_default_rope_parameters`): the power rounded to f32, then its reciprocal.
    pub fn new(base: f64, rotated: usize) -> Self {
        let angle = |i: usize| {
            let exponent = (2 * i) as f32 / rotated as f32;
            1.0 / (base.powf(f64::from(exponent)) as f32)
        };
        Self { angles: (0..rotated / 2).map(angle).collect() }
    }
}

/// What is added to the scores of attention, or which of them count.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Bias {
    /// Nothing: every token looks at every token of its text.
    #[default]
    None,
    /// Only keys at most so many tokens away.
    Window(usize),
    /// −slope |i − j| (Press et al. 2022), a slope a head.
    Alibi(Arc<[f32]>),
    /// A table row a bucket of the distance, (buckets, heads) (Raffel et al. 2020).
    Relative {
        /// Name of the table.
        table: String,
        /// Its rows.
        buckets: usize,
        /// Row of each distance from −reach to reach; further ones have those of the ends.
        rows: Arc<[usize]>,
    },
    /// Disentangled attention (He et al. 2021): content to position and position to content.
    Disentangled(Box<Disentangled>),
}

/// DeBERTa's relative positions.
#[derive(Debug, Clone, PartialEq)]
pub struct Disentangled {
    /// Table of relative positions, (2 span, width).
    pub table: String,
    /// Its normalisation.
    pub norm: Norm,
    /// Half of its rows.
    pub span: usize,
    /// Row of each distance i − j from −reach to reach; further ones have those of the ends.
    pub rows: Arc<[usize]>,
    /// Queries of the position table, where position to content counts.
    pub query: Option<Linear>,
    /// Keys of the position table, where content to position counts.
    pub key: Option<Linear>,
}

/// Scaled dot-product attention, bidirectional within a text (Vaswani et al. 2017, section 3.2.2).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Attention {
    /// Queries, (heads × head_dim, width).
    pub query: Linear,
    /// Keys, (kv_heads × head_dim, width).
    pub key: Linear,
    /// Values, (kv_heads × head_dim, width).
    pub value: Linear,
    /// The product after the heads are joined, (width, heads × head_dim).
    pub output: Linear,
    /// Normalisations of queries and of keys, each over all its heads at once (Jina's code models).
    pub query_key_norms: Option<[Norm; 2]>,
    /// Rotary positions, where the family has them.
    pub rope: Option<Rope>,
    /// What else becomes of the scores.
    pub bias: Bias,
}

/// A convolution over the tokens of a text beside the first block (DeBERTa v2): its state becomes
/// norm(block(x) + act(W x)), zeros standing before and after a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Convolution {
    /// W, (width, width, taps).
    pub product: Linear,
    /// How many neighbouring tokens it reads, an odd number with the token in the middle.
    pub taps: usize,
    /// The function.
    pub activation: Activation,
    /// The normalisation.
    pub norm: Norm,
}

/// A mixture of experts as feed-forward layer (Shazeer et al. 2017): a token goes through the
/// `chosen` experts with the largest softmax(R h), each result times that share. `up` and `down` of
/// the block are those of the first expert; the others lie below them in the same tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Experts {
    /// R, (count, width).
    pub router: Linear,
    /// How many there are.
    pub count: usize,
    /// How many a token goes through.
    pub chosen: usize,
}

/// Where a layer normalises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// h = norm₁(x + attention(x)), then norm₂(h + ffn(h)).
    #[default]
    Post,
    /// h = x + attention(norm₁(x)), then h + ffn(norm₂(h)).
    Pre,
}

/// One encoder layer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Block {
    /// Where it normalises.
    pub order: Order,
    /// Self-attention.
    pub attention: Attention,
    /// norm₁; `None` where a first pre-norm layer has none.
    pub attention_norm: Option<Norm>,
    /// A norm more behind norm₁ of a post-norm layer: norm(x + norm₁(x + attention(x))).
    pub second_norm: Option<Norm>,
    /// First product of the feed-forward layer, (inner, width).
    pub up: Linear,
    /// A product beside it, (inner, width): act(gate(x)) × up(x) goes on.
    pub gate: Option<Linear>,
    /// The function between the two.
    pub activation: Activation,
    /// Second product, (width, inner).
    pub down: Linear,
    /// norm₂.
    pub output_norm: Norm,
    /// Experts in place of one feed-forward layer.
    pub experts: Option<Experts>,
    /// What is added to the first block of a post-norm family.
    pub convolution: Option<Convolution>,
}

/// A table of absolute positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Positions {
    /// Its name, (rows, embedding width).
    pub table: String,
    /// Its rows.
    pub rows: usize,
    /// The id that padding has, in families that count from the row behind it and leave the token
    /// with this id in its row (RoBERTa).
    pub padding: Option<usize>,
}

/// What goes into block 1: the sum of table rows, normalised, then projected.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// Names of the word table, (vocab, width).
    pub word: Vec<String>,
    /// The position table, where the family has one.
    pub position: Option<Positions>,
    /// The token-type table, (types, width), where the family has one.
    pub token_type: Option<String>,
    /// The normalisation after the sum.
    pub norm: Norm,
    /// Numbers in a table row.
    pub width: usize,
    /// From a table row to a hidden state, where they differ.
    pub projection: Option<Linear>,
    /// A normalisation behind the projection (DeBERTa).
    pub projected_norm: Option<Norm>,
}

/// An encoder as data.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// `model_type` of the config.
    pub family: &'static str,
    /// Rows of the word table: token ids are below it.
    pub vocab: usize,
    /// The longest text in tokens.
    pub positions: usize,
    /// Token types a text may have; all others are an error.
    pub types: usize,
    /// Width of a hidden state.
    pub width: usize,
    /// Attention heads.
    pub heads: usize,
    /// Heads of keys and values; each serves heads / kv_heads of queries.
    pub kv_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Width between the two feed-forward products.
    pub inner: usize,
    /// What goes into block 1.
    pub embedding: Embedding,
    /// The encoder layers, first to last.
    pub blocks: Vec<Block>,
    /// The normalisation after the last block, for pre-norm families.
    pub final_norm: Option<Norm>,
    /// tanh(W h_cls + b) over the last state, where the checkpoint has it.
    pub pooler: Option<Linear>,
}

impl Spec {
    /// Number of encoder layers L; there are L + 1 states.
    pub fn depth(&self) -> usize {
        self.blocks.len()
    }

    /// Floating-point operations for `lengths` tokens a text through the first `depth` blocks:
    /// two a multiply-add; products and attention, not the elementwise work.
    pub fn flops(&self, lengths: impl IntoIterator<Item = usize>, depth: usize) -> u64 {
        let (w, a, i) = (self.width as u64, (self.heads * self.head_dim) as u64, self.inner as u64);
        let kv = (self.kv_heads * self.head_dim) as u64;
        let pairs = 4 * a;
        let of = |block: &Block, n: u64| {
            let products = if block.gate.is_some() { 3 } else { 2 };
            let feed = match &block.experts {
                Some(e) => w * e.count as u64 + products * w * i * e.chosen as u64,
                None => products * w * i,
            };
            let taps = block.convolution.as_ref().map_or(0, |c| c.taps as u64);
            n * 2 * (2 * w * (a + kv) + feed + taps * w * w) + n * n * pairs
        };
        let blocks = || self.blocks.iter().take(depth);
        let text = |n: usize| blocks().map(|b| of(b, n as u64)).sum::<u64>();
        lengths.into_iter().map(text).sum()
    }
}
