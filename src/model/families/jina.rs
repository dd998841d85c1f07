//! JinaBERT v2 (Günther et al. 2023): BERT with ALiBi both ways and GeGLU; and the one for code,
//! whose queries and keys are normalised and whose layers have a norm more. Their `model_type` is
//! `bert`; the config names the code of their authors.
//!
//! Rules: `jinaai/jina-bert-implementation` and `jinaai/jina-bert-v2-qk-post-norm`
//! `modeling_bert.py`, as read by text-embeddings-inference (`jina.rs`, `jina_code.rs`).
//! Transformers has no class for them.

use std::sync::Arc;

use serde_json::json;

use super::bert::is_head;
use super::config::{Config, HasTensor};
use super::family_util::{ModelSizes, activation, prefix, refuse_variants};
use crate::error::{Result, fail};
use crate::model::spec::{Attention, Bias, Block, Embedding, Linear, Norm, Order, Spec};

/// What may stand before the names of its tensors.
pub const PREFIXES: &[&str] = &["", "bert."];

/// Whether a config of `model_type` bert is one of these.
pub fn is_jina(config: &Config<'_>) -> bool {
    is_by(config, "jinaai/jina-bert")
}

/// Whether the code that a config names has `part` in its name.
fn is_by(config: &Config<'_>, part: &str) -> bool {
    let named = |text: &str| text.contains(part);
    let config_class = config.get("auto_map").and_then(|map| map.get("AutoConfig"));
    let by_map = config_class.and_then(|v| v.as_str()).is_some_and(named);
    by_map || config.get("_name_or_path").and_then(|v| v.as_str()).is_some_and(named)
}

/// Reads a JinaBERT v2 config.
pub fn spec(config: &Config<'_>, has: HasTensor<'_>) -> Result<Spec> {
    let is_code = is_by(config, "qk-post-norm");
    refuse_variants(config)?;
    // The defaults of the authors' class are those of BERT.
    for (key, value) in [("position_embedding_type", "alibi"), ("feed_forward_type", "geglu")] {
        if config.get(key).is_none() {
            return Err(fail!(
                Unsupported,
                "config.json: `{key}` is missing, which is not supported (supported: \"{value}\")"
            ));
        }
        config.require(key, &[json!(value)])?;
    }
    let ModelSizes { width, heads, head_dim, depth, inner } =
        ModelSizes::bert(config, ModelSizes::BASE)?;
    // geglu is always the exact GELU, whatever `hidden_act` says.
    config.require("hidden_act", &[json!("gelu")])?;
    let activation = activation(config, "hidden_act", "gelu")?;
    let eps = config.positive("layer_norm_eps", 1e-12)?;
    let p = prefix(has, PREFIXES, "embeddings.word_embeddings.weight")?;
    let slopes = slopes(heads);
    let block = |i: usize| {
        let at = format!("{p}encoder.layer.{i}");
        // The first half is the gate; in the one for code the second.
        let (gated, wo, up, gate, last) = match is_code {
            false => ("gated_layers", "wo", 1, 0, "mlp.layernorm"),
            true => ("up_gated_layer", "down_layer", 0, 1, "layer_norm_2"),
        };
        let gated = format!("{at}.mlp.{gated}");
        let own_norm =
            |side: &str| Norm::layer(format!("{at}.attention.self.layer_norm_{side}"), eps);
        let half = |n: usize| Linear::unbiased(&gated).rows(n * inner, 2 * inner);
        Block {
            order: Order::Post,
            attention: Attention {
                query: Linear::new(format!("{at}.attention.self.query")),
                key: Linear::new(format!("{at}.attention.self.key")),
                value: Linear::new(format!("{at}.attention.self.value")),
                output: Linear::new(format!("{at}.attention.output.dense")),
                query_key_norms: is_code.then(|| ["q", "k"].map(own_norm)),
                rope: None,
                bias: Bias::Alibi(Arc::clone(&slopes)),
            },
            attention_norm: Some(Norm::layer(format!("{at}.attention.output.LayerNorm"), eps)),
            second_norm: is_code.then(|| Norm::layer(format!("{at}.layer_norm_1"), eps)),
            up: half(up),
            gate: Some(half(gate)),
            activation,
            down: Linear::new(format!("{at}.mlp.{wo}")),
            output_norm: Norm::layer(format!("{at}.{last}"), eps),
            ..Block::default()
        }
    };
    let pooler = format!("{p}pooler.dense");
    Ok(Spec {
        family: if is_code { "bert (Jina v2 code)" } else { "bert (JinaBERT v2)" },
        vocab: config.size("vocab_size", 30_522)?,
        positions: config.length("max_position_embeddings", 512)?,
        types: config.size("type_vocab_size", 2)?,
        width,
        heads,
        kv_heads: heads,
        head_dim,
        inner,
        embedding: Embedding {
            word: vec![format!("{p}embeddings.word_embeddings.weight")],
            position: None,
            token_type: Some(format!("{p}embeddings.token_type_embeddings.weight")),
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

/// Slopes of the heads (Press et al. 2022): 2^(-8i/n) for a power of two n; for other counts those of
/// the power below, then every other one of the power above.
fn slopes(heads: usize) -> Arc<[f32]> {
    let of = |n: usize| (1..=n).map(move |i| 2f64.powf(-8.0 * i as f64 / n as f64) as f32);
    let below = 1 << heads.ilog2();
    of(below).chain(of(2 * below).step_by(2)).take(heads).collect()
}

/// Task heads and index buffers.
pub fn ignores(tensor: &str) -> bool {
    is_head(tensor, PREFIXES)
}
