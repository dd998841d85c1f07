//! The settings of the Transformer module, and those of the whole pipeline.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::keys::{self, Keys};
use super::{Kind, Pipeline};
use crate::error::{Result, fail};
use crate::model::sources::{Source, read_json};
use crate::quote::quote;

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

/// The settings of the whole.
const WHOLE: &str = "config_sentence_transformers.json";

#[derive(Deserialize, Default)]
struct ModelSettings {
    max_seq_length: Option<usize>,
    do_lower_case: Option<bool>,
}

#[derive(Deserialize, Default)]
struct Prompts {
    prompts: Option<BTreeMap<String, Option<String>>>,
    default_prompt_name: Option<String>,
    truncate_dim: Option<usize>,
    similarity_fn_name: Option<String>,
}

/// The fields of `config_sentence_transformers.json`, none where there is no such file.
pub(super) fn whole(source: &dyn Source) -> Result<Map<String, Value>> {
    let fields: Map<String, Value> = read_json(source, WHOLE)?.unwrap_or_default();
    keys::check(&fields, keys::WHOLE).map_err(|e| e.at(format!("{}: {WHOLE}", source.name())))?;
    Ok(fields)
}

/// What `model_type` says.
pub(super) fn kind(source: &dyn Source, whole: &Map<String, Value>) -> Result<Kind> {
    let Some(value) = whole.get("model_type").filter(|value| !value.is_null()) else {
        return Ok(Kind::default());
    };
    let named = |kind: &Kind| value.as_str() == Some(&kind.to_string());
    Kind::ALL.into_iter().find(named).ok_or_else(|| {
        fail!(
            Unsupported,
            "{}: {WHOLE}: `model_type` is {value}, which is not supported (supported: {})",
            source.name(),
            Kind::ALL.map(|kind| kind.to_string()).join(", "),
            value = quote(value)
        )
    })
}

impl Pipeline {
    pub(super) fn read_settings(&mut self, source: &dyn Source) -> Result<()> {
        for file in SETTINGS {
            let path = match self.transformer.as_str() {
                "" => file.to_owned(),
                folder => format!("{folder}/{file}"),
            };
            let Some(fields) = read_json::<Map<String, Value>>(source, &path)? else { continue };
            // As there, a file that says nothing is passed over for an older one.
            if fields.is_empty() {
                continue;
            }
            let place = || format!("{}: {path}", source.name());
            let longest = check(&fields).map_err(|e| e.at(place()))?;
            let settings: ModelSettings = typed(fields, &place())?;
            self.lower_case = settings.do_lower_case.unwrap_or(false);
            self.max_tokens = longest.or(settings.max_seq_length);
            return Ok(());
        }
        Ok(())
    }

    pub(super) fn read_prompts(
        &mut self,
        source: &dyn Source,
        whole: Map<String, Value>,
    ) -> Result<()> {
        let config: Prompts = typed(whole, &format!("{}: {WHOLE}", source.name()))?;
        // A prompt may be null or empty: none.
        let prompts = config.prompts.unwrap_or_default();
        self.prompts = prompts.into_iter().map(|(k, v)| (k, v.unwrap_or_default())).collect();
        self.truncate_dim = config.truncate_dim;
        self.similarity = config.similarity_fn_name;
        if let Some(name) = config.default_prompt_name {
            // sentence-transformers gives every model an empty `query` and `document`.
            let prompt = self.prompts.get(&name).map(String::as_str);
            let given = matches!(name.as_str(), "query" | "document").then_some("");
            let prompt = prompt.or(given).ok_or_else(|| {
                fail!(
                    Checkpoint,
                    "{}: {WHOLE}: `default_prompt_name` is \"{name}\", which is not among `prompts`",
                    source.name(), name = quote(name))
            })?;
            self.default_prompt = Some(prompt.to_owned()).filter(|p| !p.is_empty());
        }
        Ok(())
    }
}

/// `fields` as a `T`; `place` is the file that an error names.
fn typed<T: DeserializeOwned>(fields: Map<String, Value>, place: &str) -> Result<T> {
    serde_json::from_value(Value::Object(fields))
        .map_err(|e| fail!(Checkpoint, "{place}: {e}").with_source(e))
}

/// Arguments by the names they have had, newest first.
const ARGUMENTS: [([&str; 2], Keys); 3] = [
    (["model_kwargs", "model_args"], keys::MODEL_ARGS),
    (["config_kwargs", "config_args"], keys::CONFIG_ARGS),
    (["processor_kwargs", "tokenizer_args"], keys::TOKENIZER_ARGS),
];

/// Refuses what would make the Transformer module give something else than its last state; hands
/// out the limit that is set for the tokenizer.
fn check(settings: &Map<String, Value>) -> Result<Option<usize>> {
    keys::check(settings, keys::TRANSFORMER)?;
    let text = |output: Value| json!({"method": "forward", "method_output_name": output});
    if let Some(config) = settings.get("modality_config").filter(|value| !value.is_null()) {
        let of_text = config.get("text");
        let last = of_text.is_some_and(|of_text| {
            *of_text == text(json!("last_hidden_state"))
                || *of_text == text(json!(["last_hidden_state"]))
        });
        if !last {
            return Err(fail!(
                Unsupported,
                "`modality_config` is {config}, which is not supported (supported: \
                 last_hidden_state of text)",
                config = quote(config)
            ));
        }
    }
    let mut longest = None;
    for (names, keys) in ARGUMENTS {
        for name in names {
            let fields = match settings.get(name) {
                None | Some(Value::Null) => continue,
                Some(Value::Object(fields)) => fields,
                Some(value) => {
                    return Err(fail!(
                        Checkpoint,
                        "`{name}` is {value}, expected an object",
                        name = quote(name),
                        value = quote(value)
                    ));
                }
            };
            keys::check(fields, keys).map_err(|e| e.at(format!("`{name}`")))?;
            if let Some(value) = fields.get("model_max_length").filter(|value| !value.is_null()) {
                let n = value.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|&n| n > 0);
                longest = Some(n.ok_or_else(|| {
                    fail!(
                        Checkpoint,
                        "`model_max_length` is {value}, expected a whole number",
                        value = quote(value)
                    )
                })?);
            }
        }
    }
    Ok(longest)
}
