//! An encoder as data: what is computed, in which order, with which tensors.
//!
//! A family (`bert.rs`) turns a `config.json` into a [`Spec`]; `schedule/` turns a [`Spec`] into a
//! recording. Nothing here reads a file or knows a device.

use std::fmt;

/// The function between the two products of a feed-forward layer, each computed exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Activation {
    /// x.
    Identity,
    /// GELU with the error function: x/2 (1 + erf(x/√2)) (Hendrycks and Gimpel 2016, eq. 1).
    Gelu,
    /// GELU's tanh form: x/2 (1 + tanh(√(2/π)(x + 0.044715 x³))) (the same paper, section 2).
    GeluTanh,
    /// max(x, 0).
    Relu,
    /// x / (1 + exp(-x)).
    Silu,
    /// tanh(x), the pooler's.
    Tanh,
}

impl Activation {
    /// The activation that Transformers calls `name` in `hidden_act`
    /// (`transformers/activations.py`, `ACT2CLS`); `None` for one that is not computed here.
    pub fn from_config(name: &str) -> Option<Self> {
        Some(match name {
            "gelu" | "gelu_python" => Self::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" => Self::GeluTanh,
            "relu" => Self::Relu,
            "silu" | "swish" => Self::Silu,
            "tanh" => Self::Tanh,
            "linear" => Self::Identity,
            _ => return None,
        })
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identity => "identity",
            Self::Gelu => "gelu",
            Self::GeluTanh => "gelu-tanh",
            Self::Relu => "relu",
            Self::Silu => "silu",
            Self::Tanh => "tanh",
        })
    }
}

/// y = W x + b with W stored (out, in), as PyTorch's `nn.Linear` does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linear {
    /// Name of W in the checkpoint, shape (out, in).
    pub weight: String,
    /// Name of b, shape (out,), where the family has one.
    pub bias: Option<String>,
}

/// Layer normalisation over the last axis (Ba et al. 2016): γ (x − mean)/√(var + ε) + β.
#[derive(Debug, Clone, PartialEq)]
pub struct Norm {
    /// Names γ may have, in order of preference, shape (width,).
    pub weight: Vec<String>,
    /// Names β may have, shape (width,).
    pub bias: Vec<String>,
    /// ε, from the config.
    pub eps: f32,
}

/// Scaled dot-product attention with `heads` heads of `head_dim`, bidirectional, unmasked within
/// a text (Vaswani et al. 2017, section 3.2.2).
#[derive(Debug, Clone, PartialEq)]
pub struct Attention {
    /// Queries, (heads × head_dim, width).
    pub query: Linear,
    /// Keys, (heads × head_dim, width).
    pub key: Linear,
    /// Values, (heads × head_dim, width).
    pub value: Linear,
    /// The product after the heads are joined, (width, heads × head_dim).
    pub output: Linear,
}

/// One encoder layer, post-norm: h = norm₁(x + attention(x)), then norm₂(h + down(act(up(h)))).
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// Self-attention.
    pub attention: Attention,
    /// norm₁.
    pub attention_norm: Norm,
    /// First product of the feed-forward layer, (inner, width).
    pub up: Linear,
    /// The function between the two.
    pub activation: Activation,
    /// Second product, (width, inner).
    pub down: Linear,
    /// norm₂.
    pub output_norm: Norm,
}

/// What goes into block 1: the sum of three table rows, normalised.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// Word table, (vocab, width).
    pub word: String,
    /// Position table, (positions, width).
    pub position: String,
    /// Token-type table, (types, width).
    pub token_type: String,
    /// The normalisation after the sum.
    pub norm: Norm,
}

/// An encoder as data.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// `model_type` of the config.
    pub family: &'static str,
    /// Rows of the word table: token ids are below it.
    pub vocab: usize,
    /// Rows of the position table: the longest text in tokens.
    pub positions: usize,
    /// Rows of the token-type table.
    pub types: usize,
    /// Width of a hidden state.
    pub width: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Width between the two feed-forward products.
    pub inner: usize,
    /// What goes into block 1.
    pub embedding: Embedding,
    /// The encoder layers, first to last.
    pub blocks: Vec<Block>,
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
        let a_token = 2 * (4 * w * a + 2 * w * i);
        let pairs = 4 * a;
        lengths
            .into_iter()
            .map(|n| n as u64 * a_token + (n * n) as u64 * pairs)
            .sum::<u64>()
            .saturating_mul(depth as u64)
    }
}
