//! GTE v1.5 and multilingual (Zhang et al. 2024; `model_type` gte or new): BERT with rotary positions and GeGLU.
//!
//! Rules: transformers 5.23 `models/gte/modeling_gte.py`; NTK scaling as in the original
//! `Alibaba-NLP/new-impl` `modeling.py`, `NTKScalingRotaryEmbedding`.

use serde_json::{Value, json};

use super::config::{Config, HasTensor};
use super::family_util::{
    ModelSizes, activation, finite, prefix, refuse_variants, rope, rope_base, scales_nothing,
    without_prefix,
};
use crate::error::{Result, fail};
use crate::model::spec::{Attention, Bias, Block, Embedding, Linear, Norm, Order, Rope, Spec};
use crate::quote::quote;

pub const PREFIXES: &[&str] = &["", "new.", "gte."];

/// Reads a GTE config.
pub fn spec(config: &Config<'_>, has: HasTensor<'_>) -> Result<Spec> {
    refuse_variants(config)?;
    config.require_given("position_embedding_type", &[json!("rope")])?;
    config.require_given("layer_norm_type", &[json!("layer_norm")])?;
    config.require("logn_attention_scale", &[json!(false)])?;
    config.require("logn_attention_clip1", &[json!(false)])?;
    let ModelSizes { width, heads, head_dim, depth, inner } =
        ModelSizes::bert(config, ModelSizes::BASE)?;
    let activation = activation(config, "hidden_act", "gelu")?;
    let eps = config.positive("layer_norm_eps", 1e-12)?;
    // `new` is the authors' class, with defaults of its own.
    let is_new = config.get("model_type").is_some_and(|name| name == "new");
    let (vocab, positions, base) = match is_new {
        true => (30_528, 2048, 10_000.0),
        false => (250_048, 8192, 160_000.0),
    };
    let rope = angles(config, head_dim, base)?;
    let p = prefix(has, PREFIXES, "embeddings.word_embeddings.weight")?;
    let block = |i: usize| {
        let at = format!("{p}encoder.layer.{i}");
        let (joined, qkv) = (heads * head_dim, format!("{at}.attention.qkv_proj"));
        let biased = has(&format!("{qkv}.bias"));
        let part = |n: usize| Linear::with(&qkv, biased).rows(n * joined, 3 * joined);
        let up_gate = format!("{at}.mlp.up_gate_proj");
        let is_gate = |n: usize| Linear::unbiased(&up_gate).rows(n * inner, 2 * inner);
        Block {
            order: Order::Post,
            attention: Attention {
                query: part(0),
                key: part(1),
                value: part(2),
                output: Linear::new(format!("{at}.attention.o_proj")),
                rope: Some(rope.clone()),
                bias: Bias::None,
                ..Attention::default()
            },
            attention_norm: Some(Norm::layer(format!("{at}.attn_ln"), eps)),
            // The second half is the gate.
            up: is_gate(0),
            gate: Some(is_gate(1)),
            activation,
            down: Linear::new(format!("{at}.mlp.down_proj")),
            output_norm: Norm::layer(format!("{at}.mlp_ln"), eps),
            ..Block::default()
        }
    };
    let types = format!("{p}embeddings.token_type_embeddings.weight");
    let is_typed = has(&types) && config.given("type_vocab_size")? != Some(&json!(0));
    let pooler = format!("{p}pooler.dense");
    Ok(Spec {
        family: "gte",
        vocab: config.size("vocab_size", vocab)?,
        positions: config.length("max_position_embeddings", positions)?,
        types: if is_typed { config.size("type_vocab_size", 1)? } else { 1 },
        width,
        heads,
        kv_heads: heads,
        head_dim,
        inner,
        embedding: Embedding {
            word: vec![format!("{p}embeddings.word_embeddings.weight")],
            position: None,
            token_type: is_typed.then_some(types),
            norm: Norm::layer(format!("{p}embeddings.LayerNorm"), eps),
            width,
            projection: None,
            projected_norm: None,
        },
        blocks: (0..depth).map(block).collect(),
        final_norm: None,
        pooler: has(&format!("{pooler}.weight")).then(|| Linear::new(pooler)),
    })
}

/// Rotary positions, with the fixed NTK scaling that `rope_scaling` may ask for.
fn angles(config: &Config<'_>, head_dim: usize, default: f64) -> Result<Rope> {
    let base = rope_base(config, None, &["rope_theta"], default)?;
    let scaling = config.get("rope_scaling").filter(|scaling| !scales_nothing(scaling));
    let Some(scaling) = scaling else { return rope(base, head_dim) };
    let kind = scaling.get("type").or_else(|| scaling.get("rope_type")).and_then(Value::as_str);
    // With it the authors' code takes other angles.
    let is_mixed = scaling.get("mixed_b").is_some_and(|b| !b.is_null());
    let factor = scaling.get("factor").and_then(Value::as_f64).filter(|f| *f > 0.0 && !is_mixed);
    match (kind, factor) {
        (Some("ntk"), Some(factor)) => {
            let rope = rope(base * factor, head_dim)?;
            let shrink = factor.powf(2.0 / head_dim as f64) as f32;
            finite(rope.angles.iter().map(|angle| angle / shrink).collect())
        }
        _ => Err(fail!(
            Unsupported,
            "config.json: `rope_scaling` is {}, which is not supported (supported: type \
             ntk with a factor and no mixed_b)",
            quote(scaling)
        )),
    }
}

/// Task heads and buffers.
pub fn ignores(tensor: &str) -> bool {
    let name = without_prefix(tensor, PREFIXES);
    name == "embeddings.position_ids"
        || !["embeddings.", "encoder.", "pooler."].iter().any(|part| name.starts_with(part))
}
