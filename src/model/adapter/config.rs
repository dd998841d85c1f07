//! `adapter_config.json` of a LoRA adapter (Hu et al. 2021), as peft 0.21 writes it: every key is
//! computed, harmless, or refused by name.

use serde_json::{Map, Value};

use super::pattern::{Named, Pattern, ends_with, strings};
use crate::error::{Result, fail};
use crate::quote::quote;

/// Keys that change nothing of a merged adapter's states, whatever they say.
const HARMLESS: [&str; 17] = [
    // What wrote it, for which head, of which class the base is.
    "peft_version",
    "task_type",
    "auto_mapping",
    "inference_mode",
    // Dropout is for training.
    "lora_dropout",
    // For layers that store (in, out), which no encoder here has; peft drops it for the others.
    "fan_in_fan_out",
    // Which biases were trained: those that were are in the file.
    "bias",
    // How first values were found; `init_lora_weights` says whether the base was changed.
    "loftq_config",
    "eva_config",
    "corda_config",
    "lora_ga_config",
    // Where the adapter is kept while it runs.
    "runtime_config",
    // Read with keys that are refused.
    "megatron_core",
    "qalora_group_size",
    // Ties to heads that share the word table.
    "ensure_weight_tying",
    // Of the base, which its own place in the hub's cache says.
    "revision",
    "base_model_name_or_path",
];

/// `init_lora_weights` that leave the base as it is. The others (PiSSA, OLoRA, CorDA, LoftQ, LoRA-GA)
/// take away from it what the adapter began with.
const INITS: [&str; 3] = ["gaussian", "eva", "orthogonal"];

/// What a config says of the adapter.
#[derive(Debug)]
pub(crate) struct LoraConfig {
    rank: usize,
    alpha: f64,
    ranks: Vec<(String, usize)>,
    alphas: Vec<(String, f64)>,
    by_root: bool,
    /// Whether rows have a length of their own (DoRA).
    pub dora: bool,
    /// Whether the second product of each has a bias.
    pub bias: bool,
    targets: Pattern,
    excluded: Pattern,
    saved: Vec<String>,
    layers: Option<Vec<u64>>,
    layer_names: Vec<String>,
}

impl LoraConfig {
    /// Reads the file's JSON.
    ///
    /// # Errors
    ///
    /// `Unsupported` naming the key that is not computed here.
    pub fn read(value: &Value) -> Result<Self> {
        let Value::Object(fields) = value else {
            return Err(fail!(Checkpoint, "not a JSON object"));
        };
        let kind = fields.get("peft_type").unwrap_or(&Value::Null);
        if *kind != "LORA" {
            return Err(fail!(
                Unsupported,
                "`peft_type` is {kind}, which is not supported (supported: \"LORA\"): merge the \
                 adapter into its base with peft's merge_and_unload() and save that",
                kind = quote(kind)
            ));
        }
        let mut config = Self {
            rank: 8,
            alpha: 8.0,
            ranks: Vec::new(),
            alphas: Vec::new(),
            by_root: false,
            dora: false,
            bias: false,
            targets: Pattern::None,
            excluded: Pattern::None,
            saved: Vec::new(),
            layers: None,
            layer_names: Vec::new(),
        };
        fields.iter().try_for_each(|(key, value)| config.set(key, value))?;
        Ok(config)
    }

    fn set(&mut self, key: &str, value: &Value) -> Result<()> {
        match key {
            "peft_type" => {}
            "r" => self.rank = rank(key, value)?,
            "lora_alpha" => self.alpha = alpha(key, value)?,
            "rank_pattern" => self.ranks = by_pattern(key, value, rank)?,
            "alpha_pattern" => self.alphas = by_pattern(key, value, alpha)?,
            "use_rslora" => self.by_root = flag(key, value)?,
            "use_dora" => self.dora = flag(key, value)?,
            "lora_bias" => self.bias = flag(key, value)?,
            "target_modules" => self.targets = Pattern::read(key, value)?,
            "exclude_modules" => self.excluded = Pattern::read(key, value)?,
            "modules_to_save" => self.saved = names(key, value)?,
            "layers_pattern" => self.layer_names = names(key, value)?,
            "layers_to_transform" => self.layers = layers(key, value)?,
            "init_lora_weights" => {
                let known = value.as_str().is_some_and(|name| INITS.contains(&name));
                if !known && !value.is_boolean() && !value.is_null() {
                    return Err(fail!(
                        Unsupported,
                        "`{key}` is {value}, which changes the base's weights and is not supported \
                         (supported: true, false, {}): convert the adapter with \
                         peft's `path_initial_model_for_weight_conversion`, or merge it there",
                        INITS.join(", "),
                        key = quote(key),
                        value = quote(value)
                    ));
                }
            }
            _ if HARMLESS.contains(&key) => {}
            // What a later peft knows is off where it says so.
            _ if is_off(value) => {}
            _ => {
                return Err(fail!(
                    Unsupported,
                    "`{key}` is {value}, which is not supported: merge the adapter into its base with \
                     peft's merge_and_unload() and save that",
                    key = quote(key),
                    value = quote(value)
                ));
            }
        }
        Ok(())
    }

    /// The rank of the adapter of `module`, and what its product is multiplied by.
    pub fn rank_and_scale(&self, module: &Named<'_>) -> Result<(usize, f64)> {
        let rank = find(&self.ranks, module)?.unwrap_or(self.rank);
        let alpha = find(&self.alphas, module)?.unwrap_or(self.alpha);
        let by = if self.by_root { (rank as f64).sqrt() } else { rank as f64 };
        Ok((rank, alpha / by))
    }

    /// Whether the config says that `module` is adapted. Rules: peft `check_target_module_exists`.
    pub fn targets(&self, module: &Named<'_>) -> Result<bool> {
        if self.excluded.has(module)? {
            return Ok(false);
        }
        // A module that is saved whole is not adapted besides, nor is what is in it.
        let path = module.own;
        let is_saved = |saved: &String| {
            let mut heads = path.match_indices('.').map(|(i, _)| &path[..i]).chain([path]);
            heads.any(|head| ends_with(head, saved))
        };
        if self.saved.iter().any(is_saved) || !self.targets.has(module)? {
            return Ok(false);
        }
        let Some(layers) = &self.layers else { return Ok(true) };
        // Only names in a list are held against the layers, and not a name in full.
        if !self.targets.is_list() || self.targets.names(module) {
            return Ok(true);
        }
        let parts: Vec<&str> = path.split('.').collect();
        let layer = parts.windows(2).find_map(|pair| {
            let of_layer =
                self.layer_names.is_empty() || self.layer_names.iter().any(|n| n == pair[0]);
            pair[1].parse().ok().filter(|_: &u64| of_layer)
        });
        Ok(layer.is_some_and(|layer| layers.contains(&layer)))
    }

    /// Whether the config names its targets at all; where it does not, peft has a table of its own,
    /// which it writes into the config it saves.
    pub fn names_targets(&self) -> bool {
        !matches!(self.targets, Pattern::None)
    }
}

/// The value of the first pattern that `module` ends with.
fn find<T: Copy>(patterns: &[(String, T)], module: &Named<'_>) -> Result<Option<T>> {
    for (pattern, value) in patterns {
        if module.ends_in(pattern)? {
            return Ok(Some(*value));
        }
    }
    Ok(None)
}

fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

fn expected(key: &str, value: &Value, what: &str) -> crate::Error {
    fail!(Checkpoint, "`{key}` is {value}, expected {what}", key = quote(key), value = quote(value))
}

fn rank(key: &str, value: &Value) -> Result<usize> {
    let rank = value.as_u64().filter(|n| (1..=u64::from(u32::MAX)).contains(n));
    rank.map(|n| n as usize).ok_or_else(|| expected(key, value, "a positive whole number"))
}

fn alpha(key: &str, value: &Value) -> Result<f64> {
    value.as_f64().filter(|x| x.is_finite()).ok_or_else(|| expected(key, value, "a number"))
}

fn flag(key: &str, value: &Value) -> Result<bool> {
    match value {
        Value::Null => Ok(false),
        Value::Bool(flag) => Ok(*flag),
        _ => Err(expected(key, value, "true or false")),
    }
}

/// Names in a list, or one alone.
fn names(key: &str, value: &Value) -> Result<Vec<String>> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::String(name) => Ok(vec![name.clone()]),
        Value::Array(items) => {
            strings(items).ok_or_else(|| expected(key, value, "a list of names"))
        }
        _ => Err(expected(key, value, "a list of names")),
    }
}

/// Layers in a list, or one alone; an empty list is all of them.
fn layers(key: &str, value: &Value) -> Result<Option<Vec<u64>>> {
    let items = match value {
        Value::Null => return Ok(None),
        Value::Array(items) if items.is_empty() => return Ok(None),
        Value::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    let numbers: Option<Vec<u64>> = items.iter().map(Value::as_u64).collect();
    numbers.map(Some).ok_or_else(|| expected(key, value, "layer numbers"))
}

fn by_pattern<T>(
    key: &str,
    value: &Value,
    read: impl Fn(&str, &Value) -> Result<T>,
) -> Result<Vec<(String, T)>> {
    let empty = Map::new();
    let fields = match value {
        Value::Null => &empty,
        Value::Object(fields) => fields,
        _ => return Err(expected(key, value, "an object of numbers by module")),
    };
    let entry = |(name, value): (&String, &Value)| {
        Ok((name.clone(), read(&format!("{key}.{name}"), value)?))
    };
    fields.iter().map(entry).collect()
}
