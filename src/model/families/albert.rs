//! ALBERT (Lan et al. 2020): narrow tables, and layers that share their weights in groups.
//!
//! Rules: transformers 5.23 `models/albert/modeling_albert.py`.

use serde_json::json;

use super::bert::is_head;
use super::config::{Config, HasTensor};
use super::family_util::{ModelSizes, activation, prefix, refuse_variants};
use crate::error::Result;
use crate::model::spec::{Attention, Bias, Block, Embedding, Linear, Norm, Order, Positions, Spec};

/// What may stand before the names of its tensors.
pub const PREFIXES: &[&str] = &["", "albert."];

/// Reads an ALBERT config.
pub fn spec(config: &Config<'_>, has: HasTensor<'_>) -> Result<Spec> {
    refuse_variants(config)?;
    config.require_given("position_embedding_type", &[json!("absolute")])?;
    let groups = config.layers("num_hidden_groups", 1)?;
    // Each layer of a group gives a state of its own, as Transformers counts them.
    let inside = config.layers("inner_group_num", 1)?;
    let sizes = ModelSizes::shared(config, [4096, 64, 12, 16384], inside)?;
    let activation = activation(config, "hidden_act", "gelu_new")?;
    let eps = config.positive("layer_norm_eps", 1e-12)?;
    let width = config.width("embedding_size", 128)?;
    let p = prefix(has, PREFIXES, "embeddings.word_embeddings.weight")?;
    let block = |n: usize| {
        let (i, layer) = (n / inside, n % inside);
        // `int(i / (num_hidden_layers / num_hidden_groups))`
        let group = (i as f64 / (sizes.depth as f64 / groups as f64)) as usize;
        let at = format!("{p}encoder.albert_layer_groups.{group}.albert_layers.{layer}");
        Block {
            order: Order::Post,
            attention: Attention {
                query: Linear::new(format!("{at}.attention.query")),
                key: Linear::new(format!("{at}.attention.key")),
                value: Linear::new(format!("{at}.attention.value")),
                output: Linear::new(format!("{at}.attention.dense")),
                rope: None,
                bias: Bias::None,
                ..Attention::default()
            },
            attention_norm: Some(Norm::layer(format!("{at}.attention.LayerNorm"), eps)),
            up: Linear::new(format!("{at}.ffn")),
            gate: None,
            activation,
            down: Linear::new(format!("{at}.ffn_output")),
            output_norm: Norm::layer(format!("{at}.full_layer_layer_norm"), eps),
            ..Block::default()
        }
    };
    let rows = config.length("max_position_embeddings", 512)?;
    let table = format!("{p}embeddings.position_embeddings.weight");
    let pooler = format!("{p}pooler");
    Ok(Spec {
        family: "albert",
        vocab: config.size("vocab_size", 30_000)?,
        positions: rows,
        types: config.size("type_vocab_size", 2)?,
        width: sizes.width,
        heads: sizes.heads,
        kv_heads: sizes.heads,
        head_dim: sizes.head_dim,
        inner: sizes.inner,
        embedding: Embedding {
            word: vec![format!("{p}embeddings.word_embeddings.weight")],
            position: Some(Positions { table, rows, padding: None }),
            token_type: Some(format!("{p}embeddings.token_type_embeddings.weight")),
            norm: Norm::layer(format!("{p}embeddings.LayerNorm"), eps),
            width,
            projection: Some(Linear::new(format!("{p}encoder.embedding_hidden_mapping_in"))),
            projected_norm: None,
        },
        blocks: (0..sizes.depth * inside).map(block).collect(),
        final_norm: None,
        pooler: has(&format!("{pooler}.weight")).then(|| Linear::new(pooler)),
    })
}

/// Task heads and index buffers.
pub fn ignores(tensor: &str) -> bool {
    is_head(tensor, PREFIXES)
}
