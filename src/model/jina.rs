//! JinaBERT v2 (Günther et al. 2023): BERT with ALiBi both ways and GeGLU. Its `model_type` is
//! `bert`; the config names the code of its authors.
//!
//! Rules: `jinaai/jina-bert-implementation` `modeling_bert.py`, as read by
//! text-embeddings-inference. Transformers has no class for it.

use serde_json::json;

use super::bert::is_head;
use super::config::Config;
use super::family::HasTensor;
use super::parts::{Sizes, activation, prefix, refuse_variants};
use super::spec::{Attention, Bias, Block, Embedding, Linear, Norm, Order, Spec};
use crate::error::{Result, fail};

/// Whether a config of `model_type` bert is one of these.
pub fn is_jina(config: &Config<'_>) -> bool {
    let named = |text: &str| text.contains("jinaai/jina-bert");
    let config_class = config.get("auto_map").and_then(|map| map.get("AutoConfig"));
    let by_map = config_class.and_then(|v| v.as_str()).is_some_and(named);
    by_map || config.get("_name_or_path").and_then(|v| v.as_str()).is_some_and(named)
}

/// Reads a JinaBERT v2 config.
pub fn spec(config: &Config<'_>, has: HasTensor<'_>) -> Result<Spec> {
    let class =
        config.get("auto_map").and_then(|map| map.get("AutoConfig")).and_then(|v| v.as_str());
    if let Some(class) = class.filter(|class| class.contains("qk-post-norm")) {
        return Err(fail!(
            Unsupported,
            "config.json: `auto_map` names {class}, whose normalised queries and keys are not \
             supported"
        ));
    }
    refuse_variants(config)?;
    config.require("position_embedding_type", &[json!("alibi")])?;
    config.require("feed_forward_type", &[json!("geglu")])?;
    let Sizes { width, heads, head_dim, depth, inner } = Sizes::bert(config)?;
    // geglu is always the exact GELU, whatever `hidden_act` says.
    config.require("hidden_act", &[json!("gelu")])?;
    let activation = activation(config, "hidden_act", "gelu")?;
    let eps = config.positive("layer_norm_eps", 1e-12)?;
    let p = prefix(has, &["", "bert."], "embeddings.word_embeddings.weight")?;
    let slopes = slopes(heads);
    let block = |i: usize| {
        let at = format!("{p}encoder.layer.{i}");
        let gated = format!("{at}.mlp.gated_layers");
        let half = |n: usize| Linear::unbiased(&gated).rows(n * inner, 2 * inner);
        Block {
            order: Order::Post,
            attention: Attention {
                query: Linear::new(format!("{at}.attention.self.query")),
                key: Linear::new(format!("{at}.attention.self.key")),
                value: Linear::new(format!("{at}.attention.self.value")),
                output: Linear::new(format!("{at}.attention.output.dense")),
                rope: None,
                bias: Bias::Alibi(slopes.clone()),
                ..Attention::default()
            },
            attention_norm: Some(Norm::layer(format!("{at}.attention.output.LayerNorm"), eps)),
            // The first half is the gate.
            up: half(1),
            gate: Some(half(0)),
            activation,
            down: Linear::new(format!("{at}.mlp.wo")),
            output_norm: Norm::layer(format!("{at}.mlp.layernorm"), eps),
            ..Block::default()
        }
    };
    let pooler = format!("{p}pooler.dense");
    Ok(Spec {
        family: "bert (JinaBERT v2)",
        vocab: config.size("vocab_size")?,
        positions: config.size("max_position_embeddings")?,
        types: config.size("type_vocab_size")?,
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
fn slopes(heads: usize) -> Vec<f32> {
    let of = |n: usize| (1..=n).map(move |i| 2f64.powf(-8.0 * i as f64 / n as f64) as f32);
    let below = 1 << heads.ilog2();
    of(below).chain(of(2 * below).step_by(2)).take(heads).collect()
}

/// Task heads and index buffers.
pub fn ignores(tensor: &str) -> bool {
    is_head(tensor, &["bert."])
}
