//! The table of encoder families: one row each, one small file each.

mod albert;
mod bert;
pub mod config;
mod deberta;
mod distilbert;
mod electra;
mod eurobert;
mod family_util;
mod gte;
mod jina;
mod modernbert;
mod mpnet;
mod nomic;
mod roberta;
mod unsupported;

use serde_json::Value;

use crate::error::{Result, fail};
use crate::model::spec::Spec;
use crate::quote::quote;
use config::{Config, HasTensor};

/// How one family is read.
pub struct Family {
    /// `model_type` in `config.json`.
    pub model_type: &'static str,
    /// Config and tensor names to a spec.
    pub spec: fn(&Config<'_>, HasTensor<'_>) -> Result<Spec>,
    /// Whether a tensor the spec does not use may be passed over (heads, buffers); any other is
    /// an error, since it would change what the model computes.
    pub ignores: fn(&str) -> bool,
    /// What may stand before the names of its tensors, in a checkpoint or in an adapter's.
    pub prefixes: &'static [&'static str],
    /// The class of its tokenizer where no file of the model names one; `None` where Transformers
    /// has none for it.
    pub tokenizer: Option<&'static str>,
}

/// Every family this version computes.
pub const FAMILIES: &[Family] = &[
    Family {
        model_type: "bert",
        spec: bert::spec,
        ignores: bert::ignores,
        prefixes: bert::PREFIXES,
        tokenizer: Some("BertTokenizer"),
    },
    Family {
        model_type: "roberta",
        spec: roberta::roberta,
        ignores: roberta::ignores,
        prefixes: roberta::PREFIXES,
        tokenizer: Some("RobertaTokenizer"),
    },
    Family {
        model_type: "xlm-roberta",
        spec: roberta::xlm_roberta,
        ignores: roberta::ignores,
        prefixes: roberta::PREFIXES,
        tokenizer: Some("XLMRobertaTokenizer"),
    },
    Family {
        model_type: "camembert",
        spec: roberta::camembert,
        ignores: roberta::ignores,
        prefixes: roberta::PREFIXES,
        tokenizer: Some("CamembertTokenizer"),
    },
    Family {
        model_type: "distilbert",
        spec: distilbert::spec,
        ignores: distilbert::ignores,
        prefixes: distilbert::PREFIXES,
        tokenizer: Some("DistilBertTokenizer"),
    },
    Family {
        model_type: "mpnet",
        spec: mpnet::spec,
        ignores: mpnet::ignores,
        prefixes: mpnet::PREFIXES,
        tokenizer: Some("MPNetTokenizer"),
    },
    Family {
        model_type: "electra",
        spec: electra::spec,
        ignores: electra::ignores,
        prefixes: electra::PREFIXES,
        tokenizer: Some("ElectraTokenizer"),
    },
    Family {
        model_type: "albert",
        spec: albert::spec,
        ignores: albert::ignores,
        prefixes: albert::PREFIXES,
        tokenizer: Some("AlbertTokenizer"),
    },
    Family {
        model_type: "modernbert",
        spec: modernbert::spec,
        ignores: modernbert::ignores,
        prefixes: modernbert::PREFIXES,
        tokenizer: None,
    },
    Family {
        model_type: "nomic_bert",
        spec: nomic::nomic,
        ignores: nomic::ignores,
        prefixes: nomic::PREFIXES,
        tokenizer: Some("BertTokenizer"),
    },
    Family {
        model_type: "gte",
        spec: gte::spec,
        ignores: gte::ignores,
        prefixes: gte::PREFIXES,
        tokenizer: Some("XLMRobertaTokenizer"),
    },
    Family {
        model_type: "new",
        spec: gte::spec,
        ignores: gte::ignores,
        prefixes: gte::PREFIXES,
        tokenizer: None,
    },
    Family {
        model_type: "deberta-v2",
        spec: deberta::spec,
        ignores: deberta::ignores,
        prefixes: deberta::PREFIXES,
        tokenizer: Some("DebertaV2Tokenizer"),
    },
    Family {
        model_type: "eurobert",
        spec: eurobert::spec,
        ignores: eurobert::ignores,
        prefixes: eurobert::PREFIXES,
        tokenizer: None,
    },
    Family {
        model_type: "jina_embeddings_v3",
        spec: nomic::jina,
        ignores: nomic::ignores,
        prefixes: nomic::JINA_PREFIXES,
        tokenizer: Some("XLMRobertaTokenizer"),
    },
];

/// JinaBERT v2, whose `model_type` is that of BERT.
const JINA: Family = Family {
    model_type: "bert",
    spec: jina::spec,
    ignores: jina::ignores,
    prefixes: jina::PREFIXES,
    tokenizer: Some("BertTokenizer"),
};

/// The family that `config.json` names.
pub fn find(config: &Config<'_>) -> Result<&'static Family> {
    let known = || FAMILIES.iter().map(|f| f.model_type).collect::<Vec<_>>().join(", ");
    let model_type = match config.get("model_type") {
        Some(Value::String(name)) => name.as_str(),
        Some(other) => {
            return Err(fail!(
                Checkpoint,
                "config.json: `model_type` is {}, expected a string",
                quote(other)
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
    if model_type == "bert" && jina::is_jina(config) {
        return Ok(&JINA);
    }
    FAMILIES.iter().find(|f| f.model_type == model_type).ok_or_else(|| {
        let what = unsupported::what(model_type).map_or_else(String::new, |what| format!(", {what}"));
        fail!(
            Unsupported,
            "config.json: `model_type` is \"{model_type}\"{what}, which is not supported (supported: {})",
            known(), model_type = quote(model_type))
    })
}

#[cfg(test)]
mod tests;
