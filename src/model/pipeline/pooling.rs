//! What a sentence-transformers checkpoint says about pooling: `1_Pooling/config.json`.

use serde_json::Value;

use crate::error::{Result, fail};
use crate::math::pool::PoolMode;

/// The booleans that came before `pooling_mode`, in the order in which their results are joined
/// (`_LEGACY_POOLING_MODE_KWARGS`, sentence-transformers 6.2.0
/// `sentence_transformer/modules/pooling.py`).
const LEGACY: [(&str, PoolMode); 6] = [
    ("pooling_mode_cls_token", PoolMode::Cls),
    ("pooling_mode_max_tokens", PoolMode::Max),
    ("pooling_mode_mean_tokens", PoolMode::Mean),
    ("pooling_mode_mean_sqrt_len_tokens", PoolMode::MeanSqrt),
    ("pooling_mode_weightedmean_tokens", PoolMode::WeightedMean),
    ("pooling_mode_lasttoken", PoolMode::Last),
];

/// The names of `pooling_mode` (`Pooling.POOLING_MODES`, same file).
const NAMES: [(&str, PoolMode); 6] = [
    ("cls", PoolMode::Cls),
    ("max", PoolMode::Max),
    ("mean", PoolMode::Mean),
    ("mean_sqrt_len_tokens", PoolMode::MeanSqrt),
    ("weightedmean", PoolMode::WeightedMean),
    ("lasttoken", PoolMode::Last),
];

/// A checkpoint's pooling of a text's tokens to one row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pooling {
    /// Joined in this order; at least one.
    pub modes: Vec<PoolMode>,
    /// Whether the tokens of the prompt are pooled too.
    pub include_prompt: bool,
}

impl Default for Pooling {
    /// The mean, as sentence-transformers takes for a checkpoint without `modules.json`.
    fn default() -> Self {
        Self { modes: vec![PoolMode::Mean], include_prompt: true }
    }
}

impl Pooling {
    /// Reads the value of a `1_Pooling/config.json`. `pooling_mode` (a name or a list of names)
    /// goes before the older booleans; where none of those is true it is the mean.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a mode that is not known, by
    /// its name; [`ErrorKind::Checkpoint`](crate::ErrorKind::Checkpoint) for a value of the wrong
    /// type. The caller adds the file with [`Error::at`](crate::Error::at).
    pub fn from_config(config: &Value) -> Result<Self> {
        let Some(fields) = config.as_object() else {
            return Err(fail!(Checkpoint, "the pooling configuration is not a JSON object"));
        };
        let mut old = Vec::new();
        for (key, value) in fields.iter().filter(|(key, _)| key.starts_with("pooling_mode_")) {
            match LEGACY.iter().position(|(name, _)| name == key) {
                Some(i) if truth(key, value)? => old.push(i),
                None if !matches!(value, Value::Bool(false) | Value::Null) => {
                    return Err(fail!(
                        Unsupported,
                        "`{key}` is an unknown pooling (supported: {})",
                        LEGACY.map(|(name, _)| name).join(", ")
                    ));
                }
                _ => {}
            }
        }
        old.sort_unstable();
        let modes = match fields.get("pooling_mode") {
            Some(Value::Array(list)) => list.iter().map(named).collect::<Result<Vec<_>>>()?,
            Some(one) => vec![named(one)?],
            None if old.is_empty() => vec![PoolMode::Mean],
            None => old.into_iter().map(|i| LEGACY[i].1).collect(),
        };
        if modes.is_empty() {
            return Err(fail!(
                Checkpoint,
                "`pooling_mode` is an empty list: name at least one mode"
            ));
        }
        let include_prompt = match fields.get("include_prompt") {
            Some(value) => truth("include_prompt", value)?,
            None => true,
        };
        Ok(Self { modes, include_prompt })
    }

    /// Width of a row made of tokens of `width`.
    pub fn widen(&self, width: usize) -> usize {
        width * self.modes.len()
    }
}

/// True or false; null is false, as in Python.
fn truth(key: &str, value: &Value) -> Result<bool> {
    if value.is_null() {
        return Ok(false);
    }
    value.as_bool().ok_or_else(|| fail!(Checkpoint, "`{key}` is {value}, not true or false"))
}

fn named(value: &Value) -> Result<PoolMode> {
    let Some(name) = value.as_str() else {
        return Err(fail!(Checkpoint, "`pooling_mode` holds {value}, not the name of a mode"));
    };
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, mode)| *mode).ok_or_else(|| {
        fail!(
            Unsupported,
            "unknown pooling mode `{name}` (supported: {})",
            NAMES.map(|(name, _)| name).join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::PoolMode::{Cls, Last, Max, Mean, MeanSqrt, WeightedMean};
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn configurations() {
        let cases = [
            (json!({}), vec![Mean], true),
            (
                json!({"word_embedding_dimension": 384, "pooling_mode_cls_token": false}),
                vec![Mean],
                true,
            ),
            (json!({"pooling_mode_cls_token": true, "include_prompt": false}), vec![Cls], false),
            // Joined in sentence-transformers' order, not in the order of the file.
            (
                json!({"pooling_mode_lasttoken": true, "pooling_mode_mean_tokens": true,
                       "pooling_mode_weightedmean_tokens": true, "pooling_mode_cls_token": true,
                       "pooling_mode_mean_sqrt_len_tokens": true, "pooling_mode_max_tokens": true}),
                vec![Cls, Max, Mean, MeanSqrt, WeightedMean, Last],
                true,
            ),
            (json!({"pooling_mode": "lasttoken"}), vec![Last], true),
            (json!({"pooling_mode": ["max", "cls"]}), vec![Max, Cls], true),
            (
                json!({"pooling_mode": "mean_sqrt_len_tokens", "pooling_mode_cls_token": true}),
                vec![MeanSqrt],
                true,
            ),
            (
                json!({"pooling_mode": "weightedmean", "embedding_dimension": 2}),
                vec![WeightedMean],
                true,
            ),
        ];
        for (i, (config, modes, include_prompt)) in cases.into_iter().enumerate() {
            let got = Pooling::from_config(&config).unwrap();
            assert_eq!(got, Pooling { modes, include_prompt }, "{i}: {config}");
        }
    }

    #[test]
    fn refusals() {
        let cases = [
            (json!([]), ErrorKind::Checkpoint, "object"),
            (json!({"pooling_mode": "attention"}), ErrorKind::Unsupported, "`attention`"),
            (json!({"pooling_mode": ["mean", "median"]}), ErrorKind::Unsupported, "`median`"),
            (json!({"pooling_mode": []}), ErrorKind::Checkpoint, "empty"),
            (json!({"pooling_mode": 3}), ErrorKind::Checkpoint, "3"),
            (
                json!({"pooling_mode_attention": true}),
                ErrorKind::Unsupported,
                "pooling_mode_attention",
            ),
            (
                json!({"pooling_mode_cls_token": "yes"}),
                ErrorKind::Checkpoint,
                "pooling_mode_cls_token",
            ),
            (json!({"include_prompt": 1}), ErrorKind::Checkpoint, "include_prompt"),
        ];
        for (i, (config, kind, want)) in cases.into_iter().enumerate() {
            let error = Pooling::from_config(&config).unwrap_err();
            assert_eq!(error.kind(), kind, "{i}: {config}");
            assert!(error.to_string().contains(want), "{i}: got `{error}`, want `{want}`");
        }
    }
}
