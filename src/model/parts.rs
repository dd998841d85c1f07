//! What the families' files share: reading sizes, activations, rotary positions, prefixes.

use serde_json::{Value, json};

use super::config::Config;
use super::family::HasTensor;
use super::spec::{Activation, Rope};
use crate::error::{Result, fail};

/// Width, heads and depth, which every family has.
pub struct Sizes {
    pub width: usize,
    pub heads: usize,
    pub head_dim: usize,
    pub depth: usize,
    pub inner: usize,
}

impl Sizes {
    /// From the fields that a family calls `[width, heads, depth, inner]`; `head_dim` too where the
    /// config has it.
    pub fn read(config: &Config<'_>, [width, heads, depth, inner]: [&str; 4]) -> Result<Self> {
        let (w, h) = (config.size(width)?, config.size(heads)?);
        let head_dim = match config.get("head_dim") {
            Some(_) => config.size("head_dim")?,
            None if w.is_multiple_of(h) => w / h,
            None => {
                return Err(fail!(
                    Checkpoint,
                    "config.json: `{width}` {w} is not a multiple of `{heads}` {h}"
                ));
            }
        };
        let (depth, inner) = (config.size(depth)?, config.size(inner)?);
        Ok(Self { width: w, heads: h, head_dim, depth, inner })
    }

    /// From BERT's names for them.
    pub fn bert(config: &Config<'_>) -> Result<Self> {
        let names =
            ["hidden_size", "num_attention_heads", "num_hidden_layers", "intermediate_size"];
        Self::read(config, names)
    }
}

/// The activation in the field `key`.
pub fn activation(config: &Config<'_>, key: &str, default: &'static str) -> Result<Activation> {
    let act = config.text(key, default)?;
    Activation::from_config(act).ok_or_else(|| {
        fail!(
            Unsupported,
            "config.json: `{key}` is \"{act}\", which is not supported (supported: gelu, \
             gelu_new, gelu_pytorch_tanh, relu, silu, tanh, linear)"
        )
    })
}

/// The first of `prefixes` under which the checkpoint has `tensor`.
pub fn prefix<'p>(has: HasTensor<'_>, prefixes: &[&'p str], tensor: &str) -> Result<&'p str> {
    let found = prefixes.iter().find(|p| has(&format!("{p}{tensor}")));
    found.copied().ok_or_else(|| {
        let names: Vec<_> = prefixes.iter().map(|p| format!("`{p}{tensor}`")).collect();
        fail!(
            Checkpoint,
            "the checkpoint has none of {}; is it an encoder of this family?",
            names.join(", ")
        )
    })
}

/// What no encoder here computes, whatever its family.
pub fn refuse_variants(config: &Config<'_>) -> Result<()> {
    config.require("is_decoder", &[json!(false)])?;
    config.require("add_cross_attention", &[json!(false)])?;
    config.require("quantization_config", &[])
}

/// A number above 0 in a JSON object of the config.
fn number(object: &Value, at: &str, key: &str) -> Result<Option<f64>> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_f64().filter(|x| *x > 0.0 && x.is_finite()) {
            Some(x) => Ok(Some(x)),
            None => Err(fail!(
                Checkpoint,
                "config.json: `{at}.{key}` is {value}, expected a number above 0"
            )),
        },
    }
}

/// The base of the angles: `rope_parameters` as Transformers 5 writes it (`layers` picks the entry
/// of a kind of layer), else the field `legacy`, else `default`.
pub fn rope_base(
    config: &Config<'_>,
    layers: Option<&str>,
    legacy: &str,
    default: f64,
) -> Result<f64> {
    let mut at = "rope_parameters".to_owned();
    let mut parameters = config.get(&at);
    if let (Some(object), Some(layers)) = (parameters, layers) {
        at = format!("{at}.{layers}");
        parameters = object.get(layers);
    }
    if let Some(object) = parameters {
        let kind = object.get("rope_type").and_then(Value::as_str).unwrap_or("default");
        if kind != "default" {
            return Err(fail!(
                Unsupported,
                "config.json: `{at}.rope_type` is \"{kind}\", which is not supported (supported: \
                 default)"
            ));
        }
        let partial = number(object, &at, "partial_rotary_factor")?;
        if partial.is_some_and(|f| f != 1.0) {
            return Err(fail!(
                Unsupported,
                "config.json: `{at}.partial_rotary_factor` is not supported (supported: 1)"
            ));
        }
        if let Some(theta) = number(object, &at, "rope_theta")? {
            return Ok(theta);
        }
    }
    Ok(match config.get(legacy) {
        Some(_) => f64::from(config.positive(legacy, 1.0)?),
        None => default,
    })
}

/// Rotary positions of whole heads, `head_dim` even.
pub fn rope(base: f64, head_dim: usize) -> Result<Rope> {
    if head_dim % 2 == 1 {
        return Err(fail!(
            Unsupported,
            "config.json: heads of {head_dim} numbers, an odd number, cannot have rotary positions"
        ));
    }
    Ok(Rope::new(base, head_dim))
}
