//! Nomic Embed v1 and v1.5 (Nussbaum et al. 2024): BERT with rotary positions and SwiGLU; v2 with
//! experts in every other layer (Nussbaum and Duderstadt 2025); and
//! jina-embeddings-v3 (Sturua et al. 2024), which has its frame with a plain feed-forward layer.
//!
//! Rules: transformers 5.23 `models/nomic_bert/modeling_nomic_bert.py` and
//! `models/jina_embeddings_v3/modeling_jina_embeddings_v3.py`. Configs have the keys of Transformers 5 or
//! those of the original release (`n_embd`).

use serde_json::json;

use super::config::{Config, HasTensor};
use super::family_util::{
    ModelSizes, activation, prefix, refuse_scaling, refuse_variants, rope, rope_base,
    without_prefix,
};
use crate::error::{Result, fail};
use crate::model::spec::{
    Activation, Attention, Bias, Block, Embedding, Experts, Linear, Norm, Order, Spec,
};

pub const PREFIXES: &[&str] = &["", "nomic_bert.", "bert.", "model."];
/// Names of the angles' base, that of Transformers 5 first.
const ROPE_BASES: &[&str] = &["rope_theta", "rotary_emb_base"];
pub const JINA_PREFIXES: &[&str] = &["", "jina_embeddings_v3.", "roberta.", "model."];

/// Reads a Nomic config.
pub fn nomic(config: &Config<'_>, has: HasTensor<'_>) -> Result<Spec> {
    refuse_variants(config)?;
    refuse_scaling(config)?;
    let mixture = Mixture::read(config)?;
    let sizes = if config.get("n_embd").is_some() {
        // What would change the computation, under the names of the original release.
        config.require("prenorm", &[json!(false)])?;
        config.require("causal", &[json!(false)])?;
        config.require("use_rms_norm", &[json!(false)])?;
        config.require("rotary_emb_fraction", &[json!(1.0), json!(1)])?;
        config.require("rotary_emb_interleaved", &[json!(false)])?;
        config.require("rotary_emb_scale_base", &[])?;
        config.require("rotary_scaling_factor", &[])?;
        config.require("parallel_block", &[json!(false)])?;
        // The defaults of that class are GPT-2's, and no release leaves these to them.
        let names = ["n_embd", "n_head", "n_layer", "n_inner"];
        names.iter().try_for_each(|name| config.stated_size(name).map(drop))?;
        ModelSizes::read(config, names, ModelSizes::BASE)?
    } else {
        ModelSizes::bert(config, ModelSizes::BASE)?
    };
    let legacy = config.get("n_embd").is_some();
    // A gate where the name ends in glu; GELU is the exact one.
    let (activation, is_gated) = match config.get("activation_function") {
        Some(name) if name == "gelu" => (Activation::Gelu, false),
        Some(_) => {
            config.require("activation_function", &[json!("swiglu"), json!("gelu")])?;
            (Activation::Silu, true)
        }
        None => (activation(config, "hidden_act", "silu")?, true),
    };
    let eps =
        config.positive(if legacy { "layer_norm_epsilon" } else { "layer_norm_eps" }, 1e-12)?;
    let base = rope_base(config, None, ROPE_BASES, 1000.0)?;
    let positions = match legacy {
        true => config.stated_length("n_positions")?,
        false => config.length("max_position_embeddings", 2048)?,
    };
    let frame = Common {
        family: "nomic_bert",
        prefixes: PREFIXES,
        attention: "attn",
        eps,
        base,
        vocab: 30_528,
        types: 2,
    };
    frame.spec(config, has, &sizes, positions, |i, at, has| {
        if let Some(experts) = mixture.as_ref().filter(|m| m.is_at(i)) {
            return experts.feed(at, sizes.inner, activation);
        }
        let linear = |name: &str| {
            let at = format!("{at}.mlp.{name}");
            Linear::with(&at, has(&format!("{at}.bias")))
        };
        // fc12 is the gate.
        let (up, gate) = match is_gated {
            true => (linear("fc11"), Some(linear("fc12"))),
            false => (linear("fc1"), None),
        };
        FeedForward { up, gate, down: linear("fc2"), activation, experts: None }
    })
}

/// Reads a jina-embeddings-v3 config.
pub fn jina(config: &Config<'_>, has: HasTensor<'_>) -> Result<Spec> {
    refuse_variants(config)?;
    refuse_scaling(config)?;
    let sizes = ModelSizes::bert(config, [1024, 16, 24, 4096])?;
    let activation = activation(config, "hidden_act", "gelu")?;
    let eps = config.positive("layer_norm_eps", 1e-5)?;
    let base = rope_base(config, None, ROPE_BASES, 20_000.0)?;
    let frame = Common {
        family: "jina_embeddings_v3",
        prefixes: JINA_PREFIXES,
        attention: "mixer",
        eps,
        base,
        vocab: 250_002,
        types: 1,
    };
    let positions = config.length("max_position_embeddings", 8194)?;
    frame.spec(config, has, &sizes, positions, |_, at, _| {
        let linear = |name: &str| Linear::new(format!("{at}.mlp.{name}"));
        let (up, down) = (linear("fc1"), linear("fc2"));
        FeedForward { up, gate: None, down, activation, experts: None }
    })
}

/// What both have in common.
struct Common {
    family: &'static str,
    prefixes: &'static [&'static str],
    /// What a layer calls its attention.
    attention: &'static str,
    eps: f32,
    /// Base of the angles.
    base: f64,
    /// `vocab_size` where it is absent.
    vocab: usize,
    /// `type_vocab_size` where it is absent.
    types: usize,
}

/// The feed-forward layer.
struct FeedForward {
    up: Linear,
    gate: Option<Linear>,
    down: Linear,
    activation: Activation,
    experts: Option<Experts>,
}

/// The experts of Nomic v2 (`modeling_hf_nomic_bert.py`, `NomicMoELayer`), in every so many layers.
struct Mixture {
    every: usize,
    count: usize,
    chosen: usize,
}

impl Mixture {
    fn read(config: &Config<'_>) -> Result<Option<Self>> {
        let is_none = |key: &str| config.get(key).is_none_or(|n| *n == json!(0));
        if is_none("num_experts") || is_none("moe_every_n_layers") {
            return Ok(None);
        }
        let (count, chosen) =
            (config.stated_axis("num_experts")?, config.stated_size("moe_top_k")?);
        if chosen > count {
            return Err(fail!(
                Checkpoint,
                "config.json: `moe_top_k` is {chosen}, more than the {count} of `num_experts`"
            ));
        }
        config.require("moe_normalize_expert_weights", &[json!(false), json!(0)])?;
        config.require("expert_choice_router", &[json!(false)])?;
        config.require("num_shared_experts", &[json!(0)])?;
        Ok(Some(Self { every: config.stated_length("moe_every_n_layers")?, count, chosen }))
    }

    /// Whether layer `i` has them.
    fn is_at(&self, i: usize) -> bool {
        i % self.every == 1
    }

    /// Experts one below the other, the second products stored (in, out).
    fn feed(&self, at: &str, inner: usize, activation: Activation) -> FeedForward {
        let experts = format!("{at}.mlp.experts");
        let first = |name: &str| Linear {
            weight: vec![format!("{experts}.mlp.{name}")],
            ..Linear::default().rows(0, self.count * inner)
        };
        let bias = Some(vec![format!("{experts}.bias")]);
        FeedForward {
            up: first("w1"),
            gate: None,
            down: Linear { transposed: true, bias, ..first("w2") },
            activation,
            experts: Some(Experts {
                router: Linear::unbiased(format!("{at}.mlp.router.layer")),
                count: self.count,
                chosen: self.chosen,
            }),
        }
    }
}

impl Common {
    fn spec(
        &self,
        config: &Config<'_>,
        has: HasTensor<'_>,
        sizes: &ModelSizes,
        positions: usize,
        feed_forward: impl Fn(usize, &str, HasTensor<'_>) -> FeedForward,
    ) -> Result<Spec> {
        let &ModelSizes { width, heads, head_dim, depth, inner } = sizes;
        let (eps, rope) = (self.eps, rope(self.base, head_dim)?);
        let p = prefix(has, self.prefixes, "embeddings.word_embeddings.weight")?;
        let block = |i: usize| {
            let at = format!("{p}encoder.layers.{i}");
            let attention = format!("{at}.{}", self.attention);
            let (joined, qkv) = (heads * head_dim, format!("{attention}.Wqkv"));
            let biased = has(&format!("{qkv}.bias"));
            let part = |n: usize| Linear::with(&qkv, biased).rows(n * joined, 3 * joined);
            let out = format!("{attention}.out_proj");
            let FeedForward { up, gate, down, activation, experts } = feed_forward(i, &at, has);
            Block {
                order: Order::Post,
                attention: Attention {
                    query: part(0),
                    key: part(1),
                    value: part(2),
                    output: Linear::with(&out, has(&format!("{out}.bias"))),
                    rope: Some(rope.clone()),
                    bias: Bias::None,
                    ..Attention::default()
                },
                attention_norm: Some(Norm::layer(format!("{at}.norm1"), eps)),
                up,
                gate,
                activation,
                down,
                output_norm: Norm::layer(format!("{at}.norm2"), eps),
                experts,
                ..Block::default()
            }
        };
        let types = format!("{p}embeddings.token_type_embeddings.weight");
        let is_typed = has(&types);
        let pooler = format!("{p}pooler.dense");
        Ok(Spec {
            family: self.family,
            vocab: config.size("vocab_size", self.vocab)?,
            positions,
            types: if is_typed { config.size("type_vocab_size", self.types)? } else { 1 },
            width,
            heads,
            kv_heads: heads,
            head_dim,
            inner,
            embedding: Embedding {
                word: vec![format!("{p}embeddings.word_embeddings.weight")],
                position: None,
                token_type: is_typed.then_some(types),
                norm: Norm::layer(format!("{p}emb_ln"), eps),
                width,
                projection: None,
                projected_norm: None,
            },
            blocks: (0..depth).map(block).collect(),
            final_norm: None,
            pooler: has(&format!("{pooler}.weight")).then(|| Linear::new(pooler)),
        })
    }
}

/// Task heads.
pub fn ignores(tensor: &str) -> bool {
    let name = without_prefix(tensor, &[PREFIXES, JINA_PREFIXES].concat());
    !["embeddings.", "emb_ln.", "encoder.", "pooler."].iter().any(|part| name.starts_with(part))
}
