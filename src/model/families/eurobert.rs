//! EuroBERT (Boizard et al. 2025): Llama's blocks, looking both ways; grouped queries, SwiGLU, RMS.
//!
//! Rules: transformers 5.23 `models/eurobert/modeling_eurobert.py`.

use super::config::{Config, HasTensor};
use super::family_util::{
    ModelSizes, activation, prefix, refuse_scaling, refuse_variants, rope, rope_base,
    without_prefix,
};
use crate::error::{Result, fail};
use crate::model::spec::{Attention, Bias, Block, Embedding, Linear, Norm, Order, Spec};

/// What may stand before the names of its tensors.
pub const PREFIXES: &[&str] = &["", "model."];

/// Reads a EuroBERT config.
pub fn spec(config: &Config<'_>, has: HasTensor<'_>) -> Result<Spec> {
    refuse_variants(config)?;
    refuse_scaling(config)?;
    let ModelSizes { width, heads, head_dim, depth, inner } =
        ModelSizes::bert(config, ModelSizes::BASE)?;
    let kv_heads = match config.get("num_key_value_heads") {
        Some(_) => config.width("num_key_value_heads", heads)?,
        None => heads,
    };
    if heads % kv_heads != 0 {
        return Err(fail!(
            Checkpoint,
            "config.json: `num_attention_heads` {heads} is not a multiple of `num_key_value_heads` \
             {kv_heads}"
        ));
    }
    let activation = activation(config, "hidden_act", "silu")?;
    let eps = config.positive("rms_norm_eps", 1e-5)?;
    let attention_bias = config.flag("attention_bias", false)?;
    let mlp_bias = config.flag("mlp_bias", false)?;
    let rope = rope(rope_base(config, None, &["rope_theta"], 10_000.0)?, head_dim)?;
    let p = prefix(has, PREFIXES, "embed_tokens.weight")?;
    let block = |i: usize| {
        let at = format!("{p}layers.{i}");
        let attention = |name: &str| Linear::with(format!("{at}.self_attn.{name}"), attention_bias);
        let mlp = |name: &str| Linear::with(format!("{at}.mlp.{name}"), mlp_bias);
        Block {
            order: Order::Pre,
            attention: Attention {
                query: attention("q_proj"),
                key: attention("k_proj"),
                value: attention("v_proj"),
                output: attention("o_proj"),
                rope: Some(rope.clone()),
                bias: Bias::None,
                ..Attention::default()
            },
            attention_norm: Some(Norm::rms(format!("{at}.input_layernorm"), eps)),
            up: mlp("up_proj"),
            gate: Some(mlp("gate_proj")),
            activation,
            down: mlp("down_proj"),
            output_norm: Norm::rms(format!("{at}.post_attention_layernorm"), eps),
            ..Block::default()
        }
    };
    Ok(Spec {
        family: "eurobert",
        vocab: config.size("vocab_size", 128_256)?,
        positions: config.length("max_position_embeddings", 8192)?,
        types: 1,
        width,
        heads,
        kv_heads,
        head_dim,
        inner,
        embedding: Embedding {
            word: vec![format!("{p}embed_tokens.weight")],
            position: None,
            token_type: None,
            norm: Norm::none(),
            width,
            projection: None,
            projected_norm: None,
        },
        blocks: (0..depth).map(block).collect(),
        final_norm: Some(Norm::rms(format!("{p}norm"), eps)),
        pooler: None,
    })
}

/// Task heads.
pub fn ignores(tensor: &str) -> bool {
    let name = without_prefix(tensor, PREFIXES);
    !["embed_tokens.", "layers.", "norm."].iter().any(|part| name.starts_with(part))
}
