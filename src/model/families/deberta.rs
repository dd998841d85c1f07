//! DeBERTa v2 and v3 (He et al. 2021): content and relative positions meet in every score.
//!
//! Rules: transformers 5.23 `models/deberta_v2/modeling_deberta_v2.py`.

use std::sync::Arc;

use serde_json::{Value, json};

use super::bert::is_head;
use super::config::{Config, HasTensor};
use super::family_util::{ModelSizes, activation, prefix, refuse_variants};
use crate::error::{Result, fail};
use crate::model::spec::{
    Attention, Bias, Block, Convolution, Disentangled, Embedding, Linear, Norm, Order, Positions,
    Spec,
};
use crate::quote::quote;

/// What may stand before the names of its tensors.
pub const PREFIXES: &[&str] = &["", "deberta."];

/// Reads a DeBERTa v2 config.
pub fn spec(config: &Config<'_>, has: HasTensor<'_>) -> Result<Spec> {
    refuse_variants(config)?;
    let ModelSizes { width, heads, head_dim, depth, inner } =
        ModelSizes::bert(config, [1536, 24, 24, 6144])?;
    let embedding = config.width("embedding_size", width)?;
    let is_narrow = embedding != width;
    config.require_given("attention_head_size", &[json!(head_dim)])?;
    let activation = activation(config, "hidden_act", "gelu")?;
    let eps = config.positive("layer_norm_eps", 1e-7)?;
    let rows = config.length("max_position_embeddings", 512)?;
    let p = prefix(has, PREFIXES, "embeddings.word_embeddings.weight")?;
    let relative = match config.flag("relative_attention", false)? {
        true => Some(Relative::read(config, rows, p, eps)?),
        false => None,
    };
    let convolution = convolution(config, p, eps)?;
    let block = |i: usize| {
        let at = format!("{p}encoder.layer.{i}");
        let attention = format!("{at}.attention.self");
        Block {
            order: Order::Post,
            attention: Attention {
                query: Linear::new(format!("{attention}.query_proj")),
                key: Linear::new(format!("{attention}.key_proj")),
                value: Linear::new(format!("{attention}.value_proj")),
                output: Linear::new(format!("{at}.attention.output.dense")),
                rope: None,
                bias: relative.as_ref().map_or(Bias::None, |r| r.bias(&attention)),
                ..Attention::default()
            },
            attention_norm: Some(Norm::layer(format!("{at}.attention.output.LayerNorm"), eps)),
            up: Linear::new(format!("{at}.intermediate.dense")),
            gate: None,
            activation,
            down: Linear::new(format!("{at}.output.dense")),
            output_norm: Norm::layer(format!("{at}.output.LayerNorm"), eps),
            convolution: convolution.clone().filter(|_| i == 0),
            ..Block::default()
        }
    };
    let is_placed = config.flag("position_biased_input", true)?;
    let table = format!("{p}embeddings.position_embeddings.weight");
    let is_typed = config.given("type_vocab_size")?.is_some_and(|n| *n != json!(0));
    let types = format!("{p}embeddings.token_type_embeddings.weight");
    let norm = Norm::layer(format!("{p}embeddings.LayerNorm"), eps);
    Ok(Spec {
        family: "deberta-v2",
        vocab: config.size("vocab_size", 128_100)?,
        positions: rows,
        types: if is_typed { config.stated_size("type_vocab_size")? } else { 1 },
        width,
        heads,
        kv_heads: heads,
        head_dim,
        inner,
        embedding: Embedding {
            word: vec![format!("{p}embeddings.word_embeddings.weight")],
            position: is_placed.then_some(Positions { table, rows, padding: None }),
            token_type: is_typed.then_some(types),
            norm: if is_narrow { Norm::none() } else { norm.clone() },
            width: embedding,
            projection: is_narrow.then(|| Linear::unbiased(format!("{p}embeddings.embed_proj"))),
            projected_norm: is_narrow.then_some(norm),
        },
        blocks: (0..depth).map(block).collect(),
        final_norm: None,
        // The pooler of its classifiers has another function and another width.
        pooler: None,
    })
}

/// What v2-xlarge and v2-xxlarge add to the first layer (`ConvLayer`).
fn convolution(config: &Config<'_>, p: &str, eps: f32) -> Result<Option<Convolution>> {
    if config.given("conv_kernel_size")?.is_none_or(|n| *n == json!(0)) {
        return Ok(None);
    }
    let taps = config.stated_axis("conv_kernel_size")?;
    if taps.is_multiple_of(2) {
        return Err(fail!(
            Unsupported,
            "config.json: `conv_kernel_size` is {taps}, which is not supported (supported: odd \
             numbers)",
            taps = quote(taps)
        ));
    }
    config.require_given("conv_groups", &[json!(1)])?;
    Ok(Some(Convolution {
        product: Linear::new(format!("{p}encoder.conv.conv")),
        taps,
        activation: activation(config, "conv_act", "tanh")?,
        norm: Norm::layer(format!("{p}encoder.conv.LayerNorm"), eps),
    }))
}

/// What all layers share of the relative positions.
struct Relative {
    table: String,
    norm: Norm,
    span: usize,
    rows: Arc<[usize]>,
    shared: bool,
    content_to_position: bool,
    position_to_content: bool,
}

impl Relative {
    fn read(config: &Config<'_>, positions: usize, p: &str, eps: f32) -> Result<Self> {
        // Zero and less are "as many as there are positions", and "no buckets".
        let count = |key: &str| match config.given(key)?.and_then(Value::as_i64) {
            Some(..=0) => Ok(None),
            _ => config.given_length(key),
        };
        let reach = count("max_relative_positions")?.unwrap_or(positions);
        let buckets = count("position_buckets")?;
        let span = buckets.unwrap_or(reach);
        let place = |distance: i64| {
            let bucket = match buckets {
                Some(buckets) => log_bucket(distance, buckets, reach),
                None => distance,
            };
            (bucket + span as i64).clamp(0, 2 * span as i64 - 1) as usize
        };
        let furthest = positions as i64 - 1;
        let norm = match config.text("norm_rel_ebd", "none")? {
            "none" => Norm::none(),
            "layer_norm" => Norm::layer(format!("{p}encoder.LayerNorm"), eps),
            other => {
                return Err(fail!(
                    Unsupported,
                    "config.json: `norm_rel_ebd` is \"{other}\", which is not supported \
                     (supported: none, layer_norm)",
                    other = quote(other)
                ));
            }
        };
        let (mut content_to_position, mut position_to_content) = (false, false);
        for term in terms(config)? {
            match term {
                "c2p" => content_to_position = true,
                "p2c" => position_to_content = true,
                other => {
                    return Err(fail!(
                        Unsupported,
                        "config.json: `pos_att_type` has \"{other}\", which is not supported \
                         (supported: c2p, p2c)",
                        other = quote(other)
                    ));
                }
            }
        }
        Ok(Self {
            table: format!("{p}encoder.rel_embeddings.weight"),
            norm,
            span,
            rows: (-furthest..=furthest).map(place).collect(),
            shared: config.flag("share_att_key", false)?,
            content_to_position,
            position_to_content,
        })
    }

    fn bias(&self, attention: &str) -> Bias {
        let of = |wanted: bool, shared: &str, own: &str, biased: bool| {
            wanted.then(|| match self.shared {
                true => Linear::new(format!("{attention}.{shared}")),
                false => Linear::with(format!("{attention}.{own}"), biased),
            })
        };
        Bias::Disentangled(Box::new(Disentangled {
            table: self.table.clone(),
            norm: self.norm.clone(),
            span: self.span,
            rows: Arc::clone(&self.rows),
            query: of(self.position_to_content, "query_proj", "pos_query_proj", true),
            key: of(self.content_to_position, "key_proj", "pos_key_proj", true),
        }))
    }
}

/// `pos_att_type`: a list, or names with `|` between them.
fn terms<'a>(config: &Config<'a>) -> Result<Vec<&'a str>> {
    match config.get("pos_att_type") {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => {
            Ok(text.split('|').map(str::trim).filter(|t| !t.is_empty()).collect())
        }
        Some(value) => {
            let list = value.as_array().map(|l| l.iter().map(Value::as_str).collect());
            list.and_then(|l: Option<Vec<_>>| l).ok_or_else(|| {
                fail!(
                    Checkpoint,
                    "config.json: `pos_att_type` is {}, expected a list of names",
                    quote(value)
                )
            })
        }
    }
}

/// `make_log_bucket_position`: near distances one by one, further ones by their logarithm, in f32.
fn log_bucket(distance: i64, buckets: usize, reach: usize) -> i64 {
    let middle = (buckets / 2) as i64;
    let far = distance.abs();
    if far <= middle {
        return distance;
    }
    let share = (far as f32 / middle as f32).ln() / ((reach as f32 - 1.0) / middle as f32).ln();
    let bucket = (share * (middle - 1) as f32).ceil() as i64 + middle;
    bucket * distance.signum()
}

/// Task heads and index buffers.
pub fn ignores(tensor: &str) -> bool {
    is_head(tensor, PREFIXES) || tensor.starts_with("pooler.")
}
