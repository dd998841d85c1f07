//! RoBERTa (Liu et al. 2019), XLM-RoBERTa and CamemBERT: BERT whose positions are counted from
//! behind the padding's row.
//!
//! Rules: transformers 5.23 `models/roberta/modeling_roberta.py`.

use super::bert::{Defaults, Style, is_head, read};
use super::config::{Config, HasTensor};
use crate::error::Result;
use crate::model::spec::Spec;

pub const PREFIXES: &[&str] = &["", "roberta.", "xlm-roberta.", "xlm_roberta.", "camembert."];

fn named(
    config: &Config<'_>,
    has: HasTensor<'_>,
    family: &'static str,
    defaults: Defaults,
) -> Result<Spec> {
    read(config, has, &Style { family, prefixes: PREFIXES, after_padding: true, defaults })
}

/// Reads a RoBERTa config.
pub fn roberta(config: &Config<'_>, has: HasTensor<'_>) -> Result<Spec> {
    named(config, has, "roberta", Defaults { vocab: 50265, ..Defaults::BERT })
}

/// Reads an XLM-RoBERTa config.
pub fn xlm_roberta(config: &Config<'_>, has: HasTensor<'_>) -> Result<Spec> {
    named(config, has, "xlm-roberta", Defaults::BERT)
}

/// Reads a CamemBERT config.
pub fn camembert(config: &Config<'_>, has: HasTensor<'_>) -> Result<Spec> {
    named(config, has, "camembert", Defaults::BERT)
}

/// Task heads and index buffers.
pub fn ignores(tensor: &str) -> bool {
    is_head(tensor, PREFIXES)
}
