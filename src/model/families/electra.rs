//! ELECTRA (Clark et al. 2020): BERT whose tables may be narrower than a hidden state.
//!
//! Rules: transformers 5.23 `models/electra/modeling_electra.py`.

use super::bert::{Defaults, Style, is_head, read};
use super::config::{Config, HasTensor};
use crate::error::Result;
use crate::model::spec::Spec;

/// What may stand before the names of its tensors.
pub const PREFIXES: &[&str] = &["", "electra."];

/// Reads an ELECTRA config.
pub fn spec(config: &Config<'_>, has: HasTensor<'_>) -> Result<Spec> {
    let defaults = Defaults { vocab: 30522, sizes: [256, 4, 12, 1024], embedding: Some(128) };
    let style = Style { family: "electra", prefixes: PREFIXES, after_padding: false, defaults };
    Ok(Spec { pooler: None, ..read(config, has, &style)? })
}

/// Task heads and index buffers.
pub fn ignores(tensor: &str) -> bool {
    is_head(tensor, PREFIXES)
}
