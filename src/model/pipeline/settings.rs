//! The settings of the Transformer module, and those of the whole pipeline.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Pipeline;
use crate::error::{Result, fail};
use crate::model::source::{Source, read_json};

/// The names the settings of the Transformer module have had, newest first.
const SETTINGS: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

#[derive(Deserialize, Default)]
struct Settings {
    max_seq_length: Option<usize>,
    do_lower_case: Option<bool>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Deserialize, Default)]
struct Prompts {
    prompts: Option<BTreeMap<String, Option<String>>>,
    default_prompt_name: Option<String>,
    truncate_dim: Option<usize>,
    model_type: Option<String>,
}

impl Pipeline {
    pub(super) fn read_settings(&mut self, source: &dyn Source) -> Result<()> {
        for file in SETTINGS {
            let path = match self.transformer.as_str() {
                "" => file.to_owned(),
                folder => format!("{folder}/{file}"),
            };
            let Some(settings) = read_json::<Settings>(source, &path)? else { continue };
            refuse(&settings.others).map_err(|e| e.at(format!("{}: {path}", source.name())))?;
            self.lower_case = settings.do_lower_case.unwrap_or(false);
            self.max_tokens = settings.max_seq_length;
            return Ok(());
        }
        Ok(())
    }

    pub(super) fn read_prompts(&mut self, source: &dyn Source) -> Result<()> {
        let file = "config_sentence_transformers.json";
        let Some(config) = read_json::<Prompts>(source, file)? else { return Ok(()) };
        if let Some(kind) = config.model_type.filter(|kind| kind != "SentenceTransformer") {
            return Err(fail!(
                Unsupported,
                "{}: {file}: `model_type` is \"{kind}\", which is not supported (supported: \
                 SentenceTransformer)",
                source.name()
            ));
        }
        // A prompt may be null or empty: none.
        let prompts = config.prompts.unwrap_or_default();
        self.prompts = prompts.into_iter().map(|(k, v)| (k, v.unwrap_or_default())).collect();
        self.truncate_dim = config.truncate_dim;
        if let Some(name) = config.default_prompt_name {
            // sentence-transformers gives every model an empty `query` and `document`.
            let prompt = self.prompts.get(&name).map(String::as_str);
            let given = matches!(name.as_str(), "query" | "document").then_some("");
            let prompt = prompt.or(given).ok_or_else(|| {
                fail!(
                    Checkpoint,
                    "{}: {file}: `default_prompt_name` is \"{name}\", which is not among `prompts`",
                    source.name()
                )
            })?;
            self.default_prompt = Some(prompt.to_owned()).filter(|p| !p.is_empty());
        }
        Ok(())
    }
}

/// Refuses what would make the Transformer module give something else than its last state.
fn refuse(settings: &Map<String, Value>) -> Result<()> {
    let text = |output: Value| json!({"method": "forward", "method_output_name": output});
    for (key, value) in settings {
        let supported = match key.as_str() {
            "transformer_task" => *value == "feature-extraction",
            "module_output_name" => *value == "token_embeddings",
            "modality_config" => {
                let of_text = value.get("text");
                of_text.is_some_and(|of_text| {
                    *of_text == text(json!("last_hidden_state"))
                        || *of_text == text(json!(["last_hidden_state"]))
                })
            }
            // What would reach the tokenizer or the model from here.
            "processing_kwargs" | "query_expansion" | "query_length" | "document_length"
            | "query_prefix" | "document_prefix" => false,
            "model_args" | "model_kwargs" | "config_args" | "config_kwargs" | "tokenizer_args"
            | "processor_kwargs" => false,
            _ => true,
        };
        let nothing = match value {
            Value::Null => true,
            Value::Object(fields) => fields.is_empty(),
            _ => false,
        };
        if !supported && !nothing {
            return Err(fail!(Unsupported, "`{key}` is {value}, which is not supported"));
        }
    }
    Ok(())
}
