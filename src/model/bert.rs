//! BERT (Devlin et al. 2019) in all its spellings: with and without the prefix `bert.`, with
//! `LayerNorm.gamma/beta` from the original TensorFlow release, with and without a pooler.
//!
//! Rules: transformers 5.23 `models/bert/modeling_bert.py`.

use serde_json::json;

use super::config::Config;
use super::family::HasTensor;
use super::spec::{Activation, Attention, Block, Embedding, Linear, Norm, Spec};
use crate::error::{Result, fail};

/// Reads a BERT config; `has` says which tensors the checkpoint holds.
pub fn spec(config: &Config<'_>, has: HasTensor<'_>) -> Result<Spec> {
    // Fields that would change the computation, each with the values computed here.
    config.require("position_embedding_type", &[json!("absolute")])?;
    config.require("is_decoder", &[json!(false)])?;
    config.require("add_cross_attention", &[json!(false)])?;
    config.require("feed_forward_type", &[json!("original")])?;
    config.require("quantization_config", &[])?;
    config.require("auto_map", &[])?;

    let width = config.size("hidden_size")?;
    let heads = config.size("num_attention_heads")?;
    let depth = config.size("num_hidden_layers")?;
    if width % heads != 0 {
        return Err(fail!(
            Checkpoint,
            "config.json: `hidden_size` {width} is not a multiple of `num_attention_heads` {heads}"
        ));
    }
    config.require("embedding_size", &[json!(width)])?;
    let act = config.text("hidden_act", "gelu")?;
    let activation = Activation::from_config(act).ok_or_else(|| {
        fail!(
            Unsupported,
            "config.json: `hidden_act` is \"{act}\", which is not supported (supported: gelu, \
             gelu_new, gelu_pytorch_tanh, relu, silu, tanh, linear)"
        )
    })?;
    let eps = config.positive("layer_norm_eps", 1e-12)?;

    let word = |p: &str| format!("{p}embeddings.word_embeddings.weight");
    let prefix = ["", "bert."].into_iter().find(|p| has(&word(p))).ok_or_else(|| {
        fail!(
            Checkpoint,
            "the checkpoint has neither `{}` nor `{}`; is it a BERT encoder?",
            word(""),
            word("bert.")
        )
    })?;

    let linear =
        |at: String| Linear { weight: format!("{at}.weight"), bias: Some(format!("{at}.bias")) };
    let norm = |at: String| Norm {
        weight: vec![format!("{at}.weight"), format!("{at}.gamma")],
        bias: vec![format!("{at}.bias"), format!("{at}.beta")],
        eps,
    };
    let block = |i: usize| {
        let at = format!("{prefix}encoder.layer.{i}");
        Block {
            attention: Attention {
                query: linear(format!("{at}.attention.self.query")),
                key: linear(format!("{at}.attention.self.key")),
                value: linear(format!("{at}.attention.self.value")),
                output: linear(format!("{at}.attention.output.dense")),
            },
            attention_norm: norm(format!("{at}.attention.output.LayerNorm")),
            up: linear(format!("{at}.intermediate.dense")),
            activation,
            down: linear(format!("{at}.output.dense")),
            output_norm: norm(format!("{at}.output.LayerNorm")),
        }
    };
    let pooler = format!("{prefix}pooler.dense");
    Ok(Spec {
        family: "bert",
        vocab: config.size("vocab_size")?,
        positions: config.size("max_position_embeddings")?,
        types: config.size("type_vocab_size")?,
        width,
        heads,
        head_dim: width / heads,
        inner: config.size("intermediate_size")?,
        embedding: Embedding {
            word: word(prefix),
            position: format!("{prefix}embeddings.position_embeddings.weight"),
            token_type: format!("{prefix}embeddings.token_type_embeddings.weight"),
            norm: norm(format!("{prefix}embeddings.LayerNorm")),
        },
        blocks: (0..depth).map(block).collect(),
        pooler: has(&format!("{pooler}.weight")).then(|| linear(pooler)),
    })
}

/// Task heads and index buffers: they take no part in the hidden states.
pub fn ignores(tensor: &str) -> bool {
    let name = tensor.strip_prefix("bert.").unwrap_or(tensor);
    matches!(name, "embeddings.position_ids" | "embeddings.token_type_ids")
        || !(name.starts_with("embeddings.")
            || name.starts_with("encoder.")
            || name.starts_with("pooler."))
}
