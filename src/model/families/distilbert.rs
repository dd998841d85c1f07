//! DistilBERT (Sanh et al. 2019): BERT without token types and pooler, under names of its own.
//!
//! Rules: transformers 5.23 `models/distilbert/modeling_distilbert.py`.

use super::config::{Config, HasTensor};
use super::family_util::{ModelSizes, activation, prefix, refuse_variants, without_prefix};
use crate::error::Result;
use crate::model::spec::{Attention, Bias, Block, Embedding, Linear, Norm, Order, Positions, Spec};

/// What may stand before the names of its tensors.
pub const PREFIXES: &[&str] = &["", "distilbert."];

/// ε of every normalisation, which the model's code fixes.
const EPS: f32 = 1e-12;

/// Reads a DistilBERT config.
pub fn spec(config: &Config<'_>, has: HasTensor<'_>) -> Result<Spec> {
    refuse_variants(config)?;
    // Its class knows the first three by BERT's names too.
    let mut names = ["dim", "n_heads", "n_layers", "hidden_dim"];
    let others = ["hidden_size", "num_attention_heads", "num_hidden_layers"];
    for (name, other) in names.iter_mut().zip(others) {
        match config.get(name) {
            Some(value) => config.require(other, std::slice::from_ref(value))?,
            None if config.get(other).is_some() => *name = other,
            None => {}
        }
    }
    let sizes = ModelSizes::read(config, names, [768, 12, 6, 3072])?;
    let activation = activation(config, "activation", "gelu")?;
    let p = prefix(has, PREFIXES, "embeddings.word_embeddings.weight")?;
    let block = |i: usize| {
        let at = format!("{p}transformer.layer.{i}");
        Block {
            order: Order::Post,
            attention: Attention {
                query: Linear::new(format!("{at}.attention.q_lin")),
                key: Linear::new(format!("{at}.attention.k_lin")),
                value: Linear::new(format!("{at}.attention.v_lin")),
                output: Linear::new(format!("{at}.attention.out_lin")),
                rope: None,
                bias: Bias::None,
                ..Attention::default()
            },
            attention_norm: Some(Norm::layer(format!("{at}.sa_layer_norm"), EPS)),
            up: Linear::new(format!("{at}.ffn.lin1")),
            gate: None,
            activation,
            down: Linear::new(format!("{at}.ffn.lin2")),
            output_norm: Norm::layer(format!("{at}.output_layer_norm"), EPS),
            ..Block::default()
        }
    };
    let rows = config.length("max_position_embeddings", 512)?;
    let table = format!("{p}embeddings.position_embeddings.weight");
    Ok(Spec {
        family: "distilbert",
        vocab: config.size("vocab_size", 30_522)?,
        positions: rows,
        types: 1,
        width: sizes.width,
        heads: sizes.heads,
        kv_heads: sizes.heads,
        head_dim: sizes.head_dim,
        inner: sizes.inner,
        embedding: Embedding {
            word: vec![format!("{p}embeddings.word_embeddings.weight")],
            position: Some(Positions { table, rows, padding: None }),
            token_type: None,
            norm: Norm::layer(format!("{p}embeddings.LayerNorm"), EPS),
            width: sizes.width,
            projection: None,
            projected_norm: None,
        },
        blocks: (0..sizes.depth).map(block).collect(),
        final_norm: None,
        pooler: None,
    })
}

/// Task heads and index buffers.
pub fn ignores(tensor: &str) -> bool {
    let name = without_prefix(tensor, PREFIXES);
    name == "embeddings.position_ids"
        || !(name.starts_with("embeddings.") || name.starts_with("transformer."))
}
