//! What the families' files share: reading sizes, activations, rotary positions, prefixes.

use std::sync::Arc;

use serde_json::{Value, json};

use super::config::{Config, HasTensor, MAX_LAYERS};
use crate::error::{Result, fail};
use crate::model::spec::{Activation, Rope};
use crate::quote::quote;

/// Width, heads and depth, which every family has.
pub struct ModelSizes {
    pub width: usize,
    pub heads: usize,
    pub head_dim: usize,
    pub depth: usize,
    pub inner: usize,
}

impl ModelSizes {
    /// From the fields that a family calls `[width, heads, depth, inner]`, each with what its class in
    /// Transformers takes for an absent one; `head_dim` too where the config has it.
    pub fn read(config: &Config<'_>, names: [&str; 4], defaults: [usize; 4]) -> Result<Self> {
        let depth = config.layers(names[2], defaults[2])?;
        Self::with_depth(config, names, defaults, depth)
    }

    fn with_depth(
        config: &Config<'_>,
        [width, heads, _, inner]: [&str; 4],
        defaults: [usize; 4],
        depth: usize,
    ) -> Result<Self> {
        let (w, h) = (config.width(width, defaults[0])?, config.width(heads, defaults[1])?);
        let head_dim = match config.get("head_dim") {
            Some(_) => config.width("head_dim", 0)?,
            None if w.is_multiple_of(h) => w / h,
            None => {
                return Err(fail!(
                    Checkpoint,
                    "config.json: `{width}` {w} is not a multiple of `{heads}` {h}"
                ));
            }
        };
        Ok(Self { width: w, heads: h, head_dim, depth, inner: config.size(inner, defaults[3])? })
    }

    /// From BERT's names for them; the defaults of most families are BERT's own, [`ModelSizes::BASE`].
    pub fn bert(config: &Config<'_>, defaults: [usize; 4]) -> Result<Self> {
        Self::read(config, Self::NAMES, defaults)
    }

    /// [`ModelSizes::bert`] of a family whose layers share their tensors, `inside` of them for each that
    /// the config counts.
    pub fn shared(config: &Config<'_>, defaults: [usize; 4], inside: usize) -> Result<Self> {
        let depth = config.shared_layers(Self::NAMES[2], defaults[2])?;
        if depth * inside > MAX_LAYERS {
            return Err(fail!(
                Checkpoint,
                "config.json: `{}` is {depth} with {inside} layers in each, at most {MAX_LAYERS} \
                 in all are supported",
                Self::NAMES[2]
            ));
        }
        Self::with_depth(config, Self::NAMES, defaults, depth)
    }

    const NAMES: [&str; 4] =
        ["hidden_size", "num_attention_heads", "num_hidden_layers", "intermediate_size"];

    /// Width, heads, depth and inner width of BERT-base.
    pub const BASE: [usize; 4] = [768, 12, 12, 3072];
}

/// The activation in the field `key`.
pub fn activation(config: &Config<'_>, key: &str, default: &'static str) -> Result<Activation> {
    let act = config.text(key, default)?;
    Activation::from_config(act).ok_or_else(|| {
        fail!(
            Unsupported,
            "config.json: `{key}` is \"{act}\", which is not supported (supported: {})",
            Activation::NAMES.map(|(name, _)| name).join(", "),
            act = quote(act)
        )
    })
}

/// `tensor` without the one of `prefixes` that it begins with.
pub fn without_prefix<'t>(tensor: &'t str, prefixes: &[&str]) -> &'t str {
    let others = prefixes.iter().filter(|prefix| !prefix.is_empty());
    others.clone().find_map(|prefix| tensor.strip_prefix(prefix)).unwrap_or(tensor)
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
        None => Ok(None),
        Some(value) => match value.as_f64().filter(|x| *x > 0.0 && x.is_finite()) {
            Some(x) => Ok(Some(x)),
            None => Err(fail!(
                Checkpoint,
                "config.json: `{at}.{key}` is {}, expected a number above 0",
                quote(value)
            )),
        },
    }
}

/// The base of the angles: `rope_parameters` as Transformers 5 writes it (`layers` picks the entry
/// of a kind of layer), else one of the fields `legacy`, else `default`.
pub fn rope_base(
    config: &Config<'_>,
    layers: Option<&str>,
    legacy: &[&str],
    default: f64,
) -> Result<f64> {
    if let Some(base) = parameters(config, layers)? {
        return Ok(base);
    }
    let mut found: Option<(&str, f32)> = None;
    for key in legacy {
        if config.given(key)?.is_none() {
            continue;
        }
        let base = config.positive(key, 1.0)?;
        match found {
            Some((other, one)) if one != base => {
                return Err(fail!(
                    Unsupported,
                    "config.json: `{other}` is {one} and `{key}` is {base}: remove one of them",
                    one = quote(one),
                    base = quote(base)
                ));
            }
            _ => found = Some((key, base)),
        }
    }
    Ok(found.map_or(default, |(_, base)| f64::from(base)))
}

/// `rope_theta` of `rope_parameters`, all else in there being refused.
fn parameters(config: &Config<'_>, layers: Option<&str>) -> Result<Option<f64>> {
    let mut at = "rope_parameters".to_owned();
    let Some(mut object) = config.get(&at) else { return Ok(None) };
    if let (true, Some(layers)) = (object.is_object(), layers) {
        at = format!("{at}.{layers}");
        let Some(of_layers) = object.get(layers) else { return Ok(None) };
        object = of_layers;
    }
    if !object.is_object() {
        return Err(fail!(
            Checkpoint,
            "config.json: `{at}` is {object}, expected an object",
            object = quote(object)
        ));
    }
    // `type` is the name of old.
    let kind = object.get("rope_type").or_else(|| object.get("type"));
    if let Some(kind) = kind.filter(|kind| **kind != "default") {
        return Err(fail!(
            Unsupported,
            "config.json: `{at}.rope_type` is {kind}, which is not supported (supported: default)",
            kind = quote(kind)
        ));
    }
    let partial = number(object, &at, "partial_rotary_factor")?;
    if partial.is_some_and(|f| f != 1.0) {
        return Err(fail!(
            Unsupported,
            "config.json: `{at}.partial_rotary_factor` is not supported (supported: 1)"
        ));
    }
    number(object, &at, "rope_theta")
}

/// Refuses `rope_scaling`, the name of `rope_parameters` before Transformers 5, where it changes the
/// angles.
pub fn refuse_scaling(config: &Config<'_>) -> Result<()> {
    match config.get("rope_scaling").filter(|scaling| !scales_nothing(scaling)) {
        None => Ok(()),
        Some(scaling) => Err(fail!(
            Unsupported,
            "config.json: `rope_scaling` is {}, which is not supported (supported: null)",
            quote(scaling)
        )),
    }
}

/// Whether a `rope_scaling` leaves the angles as they are: it is empty, or says no more than "default".
pub fn scales_nothing(scaling: &Value) -> bool {
    let plain = |(key, value): (&String, &Value)| {
        matches!(key.as_str(), "type" | "rope_type") && *value == "default"
    };
    scaling.as_object().is_some_and(|fields| fields.iter().all(plain))
}

/// Rotary positions of whole heads, `head_dim` even.
pub fn rope(base: f64, head_dim: usize) -> Result<Rope> {
    if head_dim % 2 == 1 {
        return Err(fail!(
            Unsupported,
            "config.json: heads of {head_dim} numbers, an odd number, cannot have rotary positions"
        ));
    }
    finite(Rope::new(base, head_dim).angles)
}

/// Rotary positions of `angles`, which are none of an absurd base or factor.
pub fn finite(angles: Arc<[f32]>) -> Result<Rope> {
    match angles.iter().all(|angle| angle.is_finite()) {
        true => Ok(Rope { angles }),
        false => Err(fail!(
            Checkpoint,
            "config.json: the base or the factor of the rotary positions makes an angle that f32 \
             does not hold"
        )),
    }
}
