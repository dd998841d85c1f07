//! What a folder says of its tokenizer beside the vocabulary: `tokenizer_config.json`,
//! `special_tokens_map.json`, `added_tokens.json` and the class that `config.json` names.

use serde_json::{Map, Value};

use crate::error::{Result, fail};
use crate::model::sources::{Source, read_json};
use crate::quote::quote;
use crate::text::class::{self, Rules, TokenizerClass};
use crate::text::keys;

pub(crate) const CONFIG: &str = "tokenizer_config.json";

/// The settings of a folder.
pub(crate) struct Settings {
    /// How the folder is named in an error.
    pub(crate) folder: String,
    /// The class of its tokenizer: the one that `tokenizer_config.json` names, else `config.json`,
    /// else that of the `model_type`.
    pub(crate) class: &'static TokenizerClass,
    /// `tokenizer_config.json`.
    config: Map<String, Value>,
}

impl Settings {
    /// The settings of `source`, empty where it has none.
    ///
    /// # Errors
    ///
    /// `Unsupported` for a key or a tokenizer class that is not computed, `Checkpoint` for a bad file.
    pub(crate) fn read(source: &dyn Source) -> Result<Self> {
        let folder = source.name();
        let config: Map<String, Value> = read_json(source, CONFIG)?.unwrap_or_default();
        let model: Map<String, Value> = read_json(source, "config.json")?.unwrap_or_default();
        let named = name_of_class(&config, CONFIG)
            .transpose()
            .or_else(|| name_of_class(&model, "config.json").transpose())
            .transpose()
            .map_err(|e| e.at(&folder))?;
        let model_type = model.get("model_type").and_then(Value::as_str).unwrap_or_default();
        let class = match named {
            // Transformers 5 takes tokenizer.json as it stands, whatever class is named.
            _ if model_type == "modernbert" => &class::BACKEND,
            None => match class::of_model_type(model_type) {
                // A vocab.txt of a model that Transformers does not know is taken for BERT's.
                Some(class) => class,
                None if vocabulary_alone(source)? => {
                    class::of_model_type("bert").unwrap_or(&class::BACKEND)
                }
                None => &class::BACKEND,
            },
            Some((name, file)) => class::find(name).ok_or_else(|| {
                fail!(
                    Unsupported,
                    "{folder}: {file}: `tokenizer_class` is {name:?}, which is not a known class \
                     of Transformers; if the folder has a complete tokenizer.json, use \
                     \"PreTrainedTokenizerFast\"",
                    name = quote(name)
                )
            })?,
        };
        if let (Rules::Refused(why), Some((name, file))) = (class.rules, named) {
            return Err(fail!(
                Unsupported,
                "{folder}: {file}: `tokenizer_class` is {name:?}, which is not supported: {why}",
                name = quote(name)
            ));
        }
        // After the class, which may be why there are keys that nobody else has.
        keys::check_config(&config).map_err(|e| e.at(&folder))?;
        Ok(Self { folder, class, config })
    }

    /// The setting `key`, `None` where it is absent or null.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.config.get(key).filter(|value| !value.is_null())
    }

    /// The setting `key` as it is spelt, null too.
    pub(crate) fn said(&self, key: &str) -> Option<&Value> {
        self.config.get(key)
    }

    /// Every setting.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.config.iter()
    }

    /// The setting `key`, true or false.
    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.typed(key, "true or false", Value::as_bool)
    }

    /// The setting `key`, a number.
    pub(crate) fn number(&self, key: &str) -> Result<Option<f64>> {
        self.typed(key, "a number", Value::as_f64)
    }

    /// The setting `key`, a text.
    pub(crate) fn text(&self, key: &str) -> Result<Option<&str>> {
        self.typed(key, "a string", Value::as_str)
    }

    /// The setting `key`, a list of texts.
    pub(crate) fn texts(&self, key: &str) -> Result<Option<Vec<&str>>> {
        self.typed(key, "a list of strings", |value| {
            value.as_array()?.iter().map(Value::as_str).collect()
        })
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        expected: &str,
        as_type: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        as_type(value).map(Some).ok_or_else(|| {
            let folder = &self.folder;
            fail!(
                Checkpoint,
                "{folder}: {CONFIG}: `{key}` is {value}, expected {expected}",
                value = quote(value)
            )
        })
    }
}

fn vocabulary_alone(source: &dyn Source) -> Result<bool> {
    Ok(!source.has("tokenizer.json")? && source.has("vocab.txt")?)
}

/// `tokenizer_class` of a file, and the name of the file; an empty one is none.
fn name_of_class<'a>(
    file: &'a Map<String, Value>,
    name: &'static str,
) -> Result<Option<(&'a str, &'static str)>> {
    match file.get("tokenizer_class") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(class)) => Ok((!class.is_empty()).then_some((class.as_str(), name))),
        Some(other) => Err(fail!(
            Checkpoint,
            "{name}: `tokenizer_class` is {other}, expected the name of a class",
            name = quote(name),
            other = quote(other)
        )),
    }
}
