//! MPNet (Song et al. 2020): positions as RoBERTa's, and T5's relative buckets in every layer.
//!
//! Rules: transformers 5.23 `models/mpnet/modeling_mpnet.py`.

use serde_json::json;

use super::bert::{is_head, positions};
use super::config::{Config, HasTensor};
use super::family_util::{ModelSizes, activation, prefix, refuse_variants};
use crate::error::Result;
use crate::model::spec::{Attention, Bias, Block, Embedding, Linear, Norm, Order, Positions, Spec};

/// What may stand before the names of its tensors.
pub const PREFIXES: &[&str] = &["", "mpnet."];

/// Buckets of distances, half of them for keys behind the query; from 128 on all are alike.
const BUCKETS: usize = 32;
const REACH: i64 = 128;

/// Reads an MPNet config.
pub fn spec(config: &Config<'_>, has: HasTensor<'_>) -> Result<Spec> {
    refuse_variants(config)?;
    // Transformers reads the field for the size of the table, and computes buckets for 32.
    config.require_given("relative_attention_num_buckets", &[json!(BUCKETS)])?;
    let sizes = ModelSizes::bert(config, ModelSizes::BASE)?;
    let activation = activation(config, "hidden_act", "gelu")?;
    let eps = config.positive("layer_norm_eps", 1e-12)?;
    let p = prefix(has, PREFIXES, "embeddings.word_embeddings.weight")?;
    let bias = Bias::Relative {
        table: format!("{p}encoder.relative_attention_bias.weight"),
        buckets: BUCKETS,
        rows: (-REACH..=REACH).map(bucket).collect(),
    };
    let block = |i: usize| {
        let at = format!("{p}encoder.layer.{i}");
        Block {
            order: Order::Post,
            attention: Attention {
                query: Linear::new(format!("{at}.attention.attn.q")),
                key: Linear::new(format!("{at}.attention.attn.k")),
                value: Linear::new(format!("{at}.attention.attn.v")),
                output: Linear::new(format!("{at}.attention.attn.o")),
                rope: None,
                bias: bias.clone(),
                ..Attention::default()
            },
            attention_norm: Some(Norm::layer(format!("{at}.attention.LayerNorm"), eps)),
            up: Linear::new(format!("{at}.intermediate.dense")),
            gate: None,
            activation,
            down: Linear::new(format!("{at}.output.dense")),
            output_norm: Norm::layer(format!("{at}.output.LayerNorm"), eps),
            ..Block::default()
        }
    };
    // Fixed in the model's code, whatever `pad_token_id` says.
    let (rows, positions, padding) = positions(config, Some(1))?;
    let table = format!("{p}embeddings.position_embeddings.weight");
    let pooler = format!("{p}pooler.dense");
    Ok(Spec {
        family: "mpnet",
        vocab: config.size("vocab_size", 30_527)?,
        positions,
        types: 1,
        width: sizes.width,
        heads: sizes.heads,
        kv_heads: sizes.heads,
        head_dim: sizes.head_dim,
        inner: sizes.inner,
        embedding: Embedding {
            word: vec![format!("{p}embeddings.word_embeddings.weight")],
            position: Some(Positions { table, rows, padding }),
            token_type: None,
            norm: Norm::layer(format!("{p}embeddings.LayerNorm"), eps),
            width: sizes.width,
            projection: None,
            projected_norm: None,
        },
        blocks: (0..sizes.depth).map(block).collect(),
        final_norm: None,
        pooler: has(&format!("{pooler}.weight")).then(|| Linear::new(pooler)),
    })
}

/// The bucket of a key `distance` tokens behind its query: `relative_position_bucket`, whose
/// logarithms are in f32.
fn bucket(distance: i64) -> usize {
    let half = BUCKETS / 2;
    let exact = half / 2;
    let side = if distance > 0 { half } else { 0 };
    let n = distance.unsigned_abs() as usize;
    if n < exact {
        return side + n;
    }
    let log = (n as f32 / exact as f32).ln() / (REACH as f32 / exact as f32).ln();
    side + (exact + (log * (half - exact) as f32) as usize).min(half - 1)
}

/// Task heads and index buffers.
pub fn ignores(tensor: &str) -> bool {
    is_head(tensor, PREFIXES)
}
