//! BERT (Devlin et al. 2019) in all its spellings: with and without the prefix `bert.`, with
//! `LayerNorm.gamma/beta` from the original TensorFlow release, with and without a pooler; and what
//! RoBERTa and ELECTRA share with it.
//!
//! Rules: transformers 5.23 `models/bert/modeling_bert.py`.

use serde_json::json;

use super::config::{Config, HasTensor};
use super::family_util::{ModelSizes, activation, prefix, refuse_variants, without_prefix};
use crate::error::{Result, fail};
use crate::model::spec::{Attention, Bias, Block, Embedding, Linear, Norm, Order, Positions, Spec};
use crate::quote::quote;

/// What may stand before the names of its tensors.
pub const PREFIXES: &[&str] = &["", "bert."];

/// What tells the families apart that have BERT's blocks.
pub struct Style {
    /// `model_type`.
    pub family: &'static str,
    /// What may stand before a tensor's name.
    pub prefixes: &'static [&'static str],
    /// Positions are counted from behind the padding's row (RoBERTa).
    pub after_padding: bool,
    /// What its class in Transformers takes for absent fields.
    pub defaults: Defaults,
}

/// Defaults of a configuration class, where they differ between the families with BERT's blocks.
pub struct Defaults {
    /// `vocab_size`.
    pub vocab: usize,
    /// Those of [`ModelSizes::bert`].
    pub sizes: [usize; 4],
    /// `embedding_size`, where the tables may be narrower than a hidden state (ELECTRA).
    pub embedding: Option<usize>,
}

impl Defaults {
    /// BERT's.
    pub const BERT: Self = Self { vocab: 30522, sizes: ModelSizes::BASE, embedding: None };
}

/// Reads a BERT config; `has` says which tensors the checkpoint holds.
pub fn spec(config: &Config<'_>, has: HasTensor<'_>) -> Result<Spec> {
    config.require("auto_map", &[])?;
    let defaults = Defaults::BERT;
    read(config, has, &Style { family: "bert", prefixes: PREFIXES, after_padding: false, defaults })
}

/// Reads the config of a family with BERT's blocks.
pub fn read(config: &Config<'_>, has: HasTensor<'_>, style: &Style) -> Result<Spec> {
    // Fields that would change the computation, each with the values computed here.
    config.require_given("position_embedding_type", &[json!("absolute")])?;
    config.require("feed_forward_type", &[json!("original")])?;
    refuse_variants(config)?;
    let Style { defaults, .. } = style;
    let ModelSizes { width, heads, head_dim, depth, inner } =
        ModelSizes::bert(config, defaults.sizes)?;
    let embedding = match defaults.embedding {
        Some(narrow) => config.width("embedding_size", narrow)?,
        None => {
            config.require("embedding_size", &[json!(width)])?;
            width
        }
    };
    let activation = activation(config, "hidden_act", "gelu")?;
    let eps = config.positive("layer_norm_eps", 1e-12)?;
    let p = prefix(has, style.prefixes, "embeddings.word_embeddings.weight")?;

    let block = |i: usize| {
        let at = format!("{p}encoder.layer.{i}");
        Block {
            order: Order::Post,
            attention: Attention {
                query: Linear::new(format!("{at}.attention.self.query")),
                key: Linear::new(format!("{at}.attention.self.key")),
                value: Linear::new(format!("{at}.attention.self.value")),
                output: Linear::new(format!("{at}.attention.output.dense")),
                rope: None,
                bias: Bias::None,
                ..Attention::default()
            },
            attention_norm: Some(Norm::layer(format!("{at}.attention.output.LayerNorm"), eps)),
            up: Linear::new(format!("{at}.intermediate.dense")),
            gate: None,
            activation,
            down: Linear::new(format!("{at}.output.dense")),
            output_norm: Norm::layer(format!("{at}.output.LayerNorm"), eps),
            ..Block::default()
        }
    };
    let padding = match style.after_padding.then(|| config.given("pad_token_id")).transpose()? {
        None => None,
        Some(None) => Some(1),
        Some(Some(id)) => {
            Some(id.as_u64().and_then(|id| usize::try_from(id).ok()).ok_or_else(|| {
                let id = quote(id);
                fail!(Checkpoint, "config.json: `pad_token_id` is {id}, expected a token id")
            })?)
        }
    };
    let (rows, positions, padding) = positions(config, padding)?;
    let pooler = format!("{p}pooler.dense");
    Ok(Spec {
        family: style.family,
        vocab: config.size("vocab_size", defaults.vocab)?,
        positions,
        types: config.size("type_vocab_size", 2)?,
        width,
        heads,
        kv_heads: heads,
        head_dim,
        inner,
        embedding: Embedding {
            word: vec![format!("{p}embeddings.word_embeddings.weight")],
            position: Some(Positions {
                table: format!("{p}embeddings.position_embeddings.weight"),
                rows,
                padding,
            }),
            token_type: Some(format!("{p}embeddings.token_type_embeddings.weight")),
            norm: Norm::layer(format!("{p}embeddings.LayerNorm"), eps),
            width: embedding,
            projection: (embedding != width).then(|| Linear::new(format!("{p}embeddings_project"))),
            projected_norm: None,
        },
        blocks: (0..depth).map(block).collect(),
        final_norm: None,
        pooler: has(&format!("{pooler}.weight")).then(|| Linear::new(pooler)),
    })
}

/// Rows of the position table, how many tokens a text may have, and the id of padding where the
/// rows behind it count: `padding`.
pub fn positions(
    config: &Config<'_>,
    padding: Option<usize>,
) -> Result<(usize, usize, Option<usize>)> {
    let rows = config.length("max_position_embeddings", 512)?;
    let Some(padding) = padding else { return Ok((rows, rows, None)) };
    let usable =
        rows.checked_sub(padding.saturating_add(1)).filter(|n| *n > 0).ok_or_else(|| {
            fail!(
                Checkpoint,
                "config.json: `max_position_embeddings` {rows} leaves no position behind \
             padding's row {padding}"
            )
        })?;
    Ok((rows, usable, Some(padding)))
}

/// Task heads and index buffers: they take no part in the hidden states.
pub fn ignores(tensor: &str) -> bool {
    is_head(tensor, PREFIXES)
}

/// Whether `tensor`, without one of `prefixes`, is none of the encoder's.
pub fn is_head(tensor: &str, prefixes: &[&str]) -> bool {
    let name = without_prefix(tensor, prefixes);
    matches!(name, "embeddings.position_ids" | "embeddings.token_type_ids")
        || !["embeddings.", "embeddings_project.", "encoder.", "pooler."]
            .iter()
            .any(|part| name.starts_with(part))
}
