//! The tokenizer of a BERT checkpoint without a `tokenizer.json`: `vocab.txt` and its settings.
//!
//! What comes out is the `tokenizer.json` that Hugging Face would write for it, so that there is
//! one way to load. Other vocabularies (`vocab.json`, sentencepiece) are not read here.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::error::{Result, fail};
use crate::model::source::{MAX_JSON_BYTES, Source, read_all, read_json};

/// The classes of transformers whose vocabulary and settings are BERT's.
const BERT_LIKE: [&str; 6] = [
    "BertTokenizer",
    "ConvBertTokenizer",
    "DistilBertTokenizer",
    "ElectraTokenizer",
    "MobileBertTokenizer",
    "SqueezeBertTokenizer",
];

/// What is read of `tokenizer_config.json` (and, for the tokens, of `special_tokens_map.json`).
#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Config {
    tokenizer_class: Option<String>,
    pub(crate) do_lower_case: Option<bool>,
    pub(crate) strip_accents: Option<bool>,
    pub(crate) tokenize_chinese_chars: Option<bool>,
    pub(crate) model_max_length: Option<f64>,
    /// What the model is given; without `token_type_ids` every token is of type 0.
    pub(crate) model_input_names: Option<Vec<String>>,
    do_basic_tokenize: Option<bool>,
    never_split: Option<Value>,
    unk_token: Option<Special>,
    sep_token: Option<Special>,
    pad_token: Option<Special>,
    cls_token: Option<Special>,
    mask_token: Option<Special>,
    added_tokens_decoder: BTreeMap<String, Special>,
}

impl Config {
    /// The settings of `source`, empty where it has none.
    pub(crate) fn read(source: &dyn Source) -> Result<Self> {
        Ok(read_json(source, "tokenizer_config.json")?.unwrap_or_default())
    }

    /// Whether Hugging Face would build BERT's tokenizer from these settings, whatever the
    /// normalizer in `tokenizer.json` says.
    pub(crate) fn is_bert(&self) -> bool {
        // https://github.com/huggingface/transformers/blob/v5.0.0/src/transformers/models/bert/tokenization_bert.py
        self.tokenizer_class
            .as_deref()
            .is_none_or(|class| BERT_LIKE.contains(&class.strip_suffix("Fast").unwrap_or(class)))
    }
}

/// A special token, by its text alone or with the way it is matched.
#[derive(Deserialize, Clone)]
#[serde(untagged)]
enum Special {
    Text(String),
    Token {
        content: String,
        #[serde(default)]
        lstrip: bool,
        #[serde(default)]
        rstrip: bool,
        #[serde(default)]
        normalized: bool,
        #[serde(default)]
        single_word: bool,
    },
}

impl Special {
    fn content(&self) -> &str {
        match self {
            Self::Text(content) | Self::Token { content, .. } => content,
        }
    }

    /// The entry of `added_tokens` for this token.
    fn entry(&self, id: u32) -> Value {
        let (lstrip, rstrip, normalized, single_word) = match *self {
            Self::Text(_) => (false, false, false, false),
            Self::Token { lstrip, rstrip, normalized, single_word, .. } => {
                (lstrip, rstrip, normalized, single_word)
            }
        };
        json!({
            "id": id, "content": self.content(), "single_word": single_word, "lstrip": lstrip,
            "rstrip": rstrip, "normalized": normalized, "special": true,
        })
    }
}

/// The `tokenizer.json` that the `vocab.txt` and the settings of `source` amount to; `None` where
/// there is no `vocab.txt`.
pub(crate) fn from_vocab(source: &dyn Source, config: &Config) -> Result<Option<Value>> {
    let Some(bytes) = read_all(source, "vocab.txt", MAX_JSON_BYTES)? else { return Ok(None) };
    let place = format!("{}: vocab.txt", source.name());
    check_settings(source, config)?;
    let vocab = parse_vocab(&bytes, &place)?;

    let map: Config = read_json(source, "special_tokens_map.json")?.unwrap_or_default();
    let choose = |first: &Option<Special>, second: &Option<Special>, default: &str| {
        first.as_ref().or(second.as_ref()).cloned().unwrap_or(Special::Text(default.into()))
    };
    let unk = choose(&config.unk_token, &map.unk_token, "[UNK]");
    let sep = choose(&config.sep_token, &map.sep_token, "[SEP]");
    let pad = choose(&config.pad_token, &map.pad_token, "[PAD]");
    let cls = choose(&config.cls_token, &map.cls_token, "[CLS]");
    let mask = choose(&config.mask_token, &map.mask_token, "[MASK]");

    let id = |token: &Special| {
        let id = vocab.get(token.content()).and_then(Value::as_u64);
        id.and_then(|id| u32::try_from(id).ok())
    };
    for needed in [&unk, &cls, &sep] {
        if id(needed).is_none() {
            let token = needed.content();
            return Err(fail!(
                Checkpoint,
                "{place}: the special token {token} is not in it: it is no BERT vocabulary, or \
                 tokenizer_config.json names another token"
            ));
        }
    }
    let added = [&pad, &unk, &cls, &sep, &mask];
    let added: BTreeMap<u32, Value> =
        added.into_iter().filter_map(|token| Some((id(token)?, token.entry(id(token)?)))).collect();
    if let Some(token) = config.added_tokens_decoder.values().find(|token| id(token).is_none()) {
        let token = token.content();
        return Err(fail!(
            Unsupported,
            "{}: tokenizer_config.json: added_tokens_decoder holds {token:?}, which vocab.txt lacks: \
             save the tokenizer with transformers, so that it has a tokenizer.json",
            source.name()
        ));
    }

    let token = |token: &Special, type_id: u32| json!({"SpecialToken": {"id": token.content(), "type_id": type_id}});
    let sequence = |id: &str, type_id: u32| json!({"Sequence": {"id": id, "type_id": type_id}});
    let single = [token(&cls, 0), sequence("A", 0), token(&sep, 0)];
    let pair = [&single[..], &[sequence("B", 1), token(&sep, 1)]].concat();
    let special_tokens: Map<String, Value> = [&cls, &sep]
        .into_iter()
        .map(|token| {
            let content = token.content();
            let value = json!({"id": content, "ids": [id(token)], "tokens": [content]});
            (content.to_owned(), value)
        })
        .collect();
    Ok(Some(json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added.into_values().collect::<Vec<_>>(),
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": true,
            "handle_chinese_chars": config.tokenize_chinese_chars.unwrap_or(true),
            "strip_accents": config.strip_accents,
            "lowercase": config.do_lower_case.unwrap_or(true),
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": single, "pair": pair, "special_tokens": special_tokens,
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {
            "type": "WordPiece", "unk_token": unk.content(), "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocab,
        },
    })))
}

/// Refuses settings that would make another tokenizer of the same vocabulary.
fn check_settings(source: &dyn Source, config: &Config) -> Result<()> {
    let refused = |field: &str, value: &dyn std::fmt::Display| {
        fail!(
            Unsupported,
            "{}: tokenizer_config.json: {field} is {value}, which is not supported without a \
             tokenizer.json: save the tokenizer with transformers, so that it has one",
            source.name()
        )
    };
    if !config.is_bert() {
        return Err(refused("tokenizer_class", &config.tokenizer_class.as_deref().unwrap_or("")));
    }
    if config.do_basic_tokenize == Some(false) {
        return Err(refused("do_basic_tokenize", &false));
    }
    match &config.never_split {
        Some(Value::Array(tokens)) if !tokens.is_empty() => {
            return Err(refused("never_split", &Value::from(tokens.clone())));
        }
        _ => {}
    }
    if source.has("added_tokens.json")? {
        let added: Map<String, Value> = read_json(source, "added_tokens.json")?.unwrap_or_default();
        if !added.is_empty() {
            return Err(fail!(
                Unsupported,
                "{}: added_tokens.json is not supported without a tokenizer.json: save the \
                 tokenizer with transformers, so that it has one",
                source.name()
            ));
        }
    }
    Ok(())
}

/// Token and id of each line. As in transformers, a line ends at `\n`, `\r` or both, and the last
/// of two equal lines counts.
fn parse_vocab(bytes: &[u8], place: &str) -> Result<Map<String, Value>> {
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let line = bytes[..e.valid_up_to()].iter().filter(|&&b| b == b'\n').count() + 1;
        fail!(Checkpoint, "{place}: line {line}: not valid UTF-8").with_source(e)
    })?;
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok((0_u32..).zip(text.split('\n')).map(|(id, token)| (token.to_owned(), id.into())).collect())
}
