//! ModernBERT (Warner et al. 2024): pre-norm, rotary positions, sliding windows in most layers, GeGLU.
//!
//! Rules: transformers 5.23 `models/modernbert/modeling_modernbert.py`.

use serde_json::Value;

use super::config::{Config, HasTensor};
use super::family_util::{
    ModelSizes, activation, prefix, refuse_scaling, refuse_variants, rope, rope_base,
    without_prefix,
};
use crate::error::{Result, fail};
use crate::model::spec::{Attention, Bias, Block, Embedding, Linear, Norm, Order, Spec};

/// What may stand before the names of its tensors.
pub const PREFIXES: &[&str] = &["", "model."];

/// Reads a ModernBERT config.
pub fn spec(config: &Config<'_>, has: HasTensor<'_>) -> Result<Spec> {
    refuse_variants(config)?;
    refuse_scaling(config)?;
    let ModelSizes { width, heads, head_dim, depth, inner } =
        ModelSizes::bert(config, [768, 12, 22, 1152])?;
    let activation = activation(config, "hidden_activation", "gelu")?;
    let eps = config.positive("norm_eps", 1e-5)?;
    let (norm_bias, attention_bias, mlp_bias) = (
        config.flag("norm_bias", false)?,
        config.flag("attention_bias", false)?,
        config.flag("mlp_bias", false)?,
    );
    let p = prefix(has, PREFIXES, "embeddings.tok_embeddings.weight")?;
    let norm = |at: String| {
        let norm = Norm::layer(at, eps);
        if norm_bias { norm } else { norm.without_bias() }
    };
    let whole = rope_base(config, Some("full_attention"), &["global_rope_theta"], 160_000.0)?;
    // Null is the global base in 4.57, and an error in Transformers 5.
    let (legacy, default): (&[_], _) = match config.is_null("local_rope_theta") {
        true => (&[], whole),
        false => (&["local_rope_theta"], 10_000.0),
    };
    let local = rope_base(config, Some("sliding_attention"), legacy, default)?;
    let (whole, local) = (rope(whole, head_dim)?, rope(local, head_dim)?);
    // Half of it lies on each side.
    let window = config.length("local_attention", 128)? / 2;
    let is_global = layers(config, depth)?;
    let block = |i: usize| {
        let at = format!("{p}layers.{i}");
        let (joined, qkv) = (heads * head_dim, format!("{at}.attn.Wqkv"));
        let part = |n: usize| Linear::with(&qkv, attention_bias).rows(n * joined, 3 * joined);
        let wi =
            |n: usize| Linear::with(format!("{at}.mlp.Wi"), mlp_bias).rows(n * inner, 2 * inner);
        Block {
            order: Order::Pre,
            attention: Attention {
                query: part(0),
                key: part(1),
                value: part(2),
                output: Linear::with(format!("{at}.attn.Wo"), attention_bias),
                rope: Some(if is_global[i] { whole.clone() } else { local.clone() }),
                bias: if is_global[i] { Bias::None } else { Bias::Window(window) },
                ..Attention::default()
            },
            attention_norm: (i > 0).then(|| norm(format!("{at}.attn_norm"))),
            // The first half is activated.
            up: wi(1),
            gate: Some(wi(0)),
            activation,
            down: Linear::with(format!("{at}.mlp.Wo"), mlp_bias),
            output_norm: norm(format!("{at}.mlp_norm")),
            ..Block::default()
        }
    };
    Ok(Spec {
        family: "modernbert",
        vocab: config.size("vocab_size", 50_368)?,
        positions: config.length("max_position_embeddings", 8192)?,
        types: 1,
        width,
        heads,
        kv_heads: heads,
        head_dim,
        inner,
        embedding: Embedding {
            word: vec![format!("{p}embeddings.tok_embeddings.weight")],
            position: None,
            token_type: None,
            norm: norm(format!("{p}embeddings.norm")),
            width,
            projection: None,
            projected_norm: None,
        },
        blocks: (0..depth).map(block).collect(),
        final_norm: Some(norm(format!("{p}final_norm"))),
        pooler: None,
    })
}

/// Which layers see the whole text.
fn layers(config: &Config<'_>, depth: usize) -> Result<Vec<bool>> {
    let Some(types) = config.get("layer_types") else {
        let every = config.length("global_attn_every_n_layers", 3)?;
        return Ok((0..depth).map(|i| i % every == 0).collect());
    };
    let known = |value: &Value| match value.as_str() {
        Some("full_attention") => Some(true),
        Some("sliding_attention") => Some(false),
        _ => None,
    };
    let types: Option<Vec<bool>> =
        types.as_array().map_or(Some(vec![]), |l| l.iter().map(known).collect());
    types.filter(|types| types.len() == depth).ok_or_else(|| {
        fail!(
            Unsupported,
            "config.json: `layer_types` is not {depth} times full_attention or sliding_attention"
        )
    })
}

/// Task heads.
pub fn ignores(tensor: &str) -> bool {
    let name = without_prefix(tensor, PREFIXES);
    !["embeddings.", "layers.", "final_norm."].iter().any(|part| name.starts_with(part))
}
