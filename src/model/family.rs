//! The table of encoder families: one row each, one small file each.

use serde_json::Value;

use super::bert;
use super::config::Config;
use super::spec::Spec;
use crate::error::{Result, fail};

/// The names of the tensors a checkpoint holds.
pub type HasTensor<'a> = &'a dyn Fn(&str) -> bool;

/// How one family is read.
pub struct Family {
    /// `model_type` in `config.json`.
    pub model_type: &'static str,
    /// Config and tensor names to a spec.
    pub spec: fn(&Config<'_>, HasTensor<'_>) -> Result<Spec>,
    /// Whether a tensor the spec does not use may be passed over (heads, buffers); any other is
    /// an error, since it would change what the model computes.
    pub ignores: fn(&str) -> bool,
}

/// Every family this version computes.
pub const FAMILIES: &[Family] =
    &[Family { model_type: "bert", spec: bert::spec, ignores: bert::ignores }];

/// The family that `config.json` names.
pub fn find(config: &Config<'_>) -> Result<&'static Family> {
    let known = || FAMILIES.iter().map(|f| f.model_type).collect::<Vec<_>>().join(", ");
    let model_type = match config.get("model_type") {
        Some(Value::String(name)) => name.as_str(),
        Some(other) => {
            return Err(fail!(
                Checkpoint,
                "config.json: `model_type` is {other}, expected a string"
            ));
        }
        None => {
            return Err(fail!(
                Checkpoint,
                "config.json has no `model_type`; add it (supported: {})",
                known()
            ));
        }
    };
    FAMILIES.iter().find(|f| f.model_type == model_type).ok_or_else(|| {
        fail!(
            Unsupported,
            "config.json: `model_type` is \"{model_type}\", which is not supported (supported: {})",
            known()
        )
    })
}
