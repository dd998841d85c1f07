//! Numbers and lists of a `tokenizer.json` on which the crate `tokenizers`, which trusts its files,
//! would panic, go on without end, or take memory without bound.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokenizers::{NormalizedString, Normalizer, Tokenizer};

use crate::error::{Result, fail};
use crate::quote::quote;
use crate::text::files::compile_charsmap;

/// More rows than any vocabulary has.
pub(crate) const MAX_ID: u64 = 1 << 24;
/// Bytes of a text that a file puts beside or instead of another: a space, a marker, a token.
const MAX_TEXT: usize = 1024;
/// Bytes of a pattern.
const MAX_PATTERN: usize = 2000;
/// Times that all replacements of a normalizer together may lengthen a text.
const MAX_GROWTH: usize = 256;
/// Characters of a word that WordPiece looks into: its time grows with their cube.
const MAX_WORD: u64 = 1000;
/// Parts of a normalizer and the like, the nested ones counted.
const MAX_PARTS: usize = 64;
/// How deep they are nested.
const MAX_DEPTH: usize = 4;

/// A part and what it is made of, without the sequences around them.
pub(crate) fn flat<'a>(place: &str, part: &'a Value) -> Result<Vec<&'a Map<String, Value>>> {
    fn collect<'a>(part: &'a Value, depth: usize, all: &mut Vec<&'a Map<String, Value>>) -> bool {
        let Value::Object(fields) = part else { return true };
        let lists = ["normalizers", "pretokenizers", "processors"].map(|key| fields.get(key));
        let mut lists = lists.into_iter().flatten().filter_map(Value::as_array).peekable();
        match lists.peek() {
            Some(_) => {
                depth < MAX_DEPTH && lists.flatten().all(|inner| collect(inner, depth + 1, all))
            }
            None => {
                all.push(fields);
                all.len() <= MAX_PARTS
            }
        }
    }
    let mut all = Vec::new();
    match collect(part, 0, &mut all) {
        true => Ok(all),
        false => Err(fail!(
            Unsupported,
            "{place}: it is nested more than {MAX_DEPTH} deep or has more than {MAX_PARTS} parts"
        )),
    }
}

/// Holds the normalizer against what can be run.
pub(crate) fn normalizer(part: &Value) -> Result<()> {
    let mut growth = 1_usize;
    for fields in flat("normalizer", part)? {
        texts("normalizer", fields)?;
        if let Some(map) = fields.get("precompiled_charsmap") {
            let bytes = map.as_str().and_then(|text| STANDARD.decode(text).ok());
            let bytes = bytes.ok_or_else(|| {
                fail!(Checkpoint, "normalizer: `precompiled_charsmap` is not in base64")
            })?;
            compile_charsmap(&bytes).map_err(|said| fail!(Checkpoint, "normalizer: {said}"))?;
        }
        let Some(content) = fields.get("content").and_then(Value::as_str) else { continue };
        let pattern = fields.get("pattern").and_then(|pattern| pattern.get("String"));
        let replaced = pattern.and_then(Value::as_str).map_or(1, str::len).max(1);
        growth = growth.saturating_mul(1 + content.len() / replaced);
    }
    match growth <= MAX_GROWTH {
        true => Ok(()),
        false => Err(fail!(
            Unsupported,
            "normalizer: its replacements make a text up to {growth} times as long, the limit is \
             {MAX_GROWTH} times"
        )),
    }
}

/// Holds the pre-tokenizer against what can be run.
pub(crate) fn pre_tokenizer(part: &Value) -> Result<()> {
    for fields in flat("pre_tokenizer", part)? {
        texts("pre_tokenizer", fields)?;
        if fields.get("length").is_some_and(|length| length.as_u64() == Some(0)) {
            return Err(fail!(Checkpoint, "pre_tokenizer: `length` is 0, expected 1 or more"));
        }
    }
    Ok(())
}

/// Refuses long texts and patterns, and patterns that are nothing.
fn texts(place: &str, fields: &Map<String, Value>) -> Result<()> {
    for key in ["content", "prepend", "replacement", "str_rep"] {
        let size = fields.get(key).and_then(Value::as_str).map_or(0, str::len);
        if size > MAX_TEXT {
            return Err(too_long(place, key, size));
        }
    }
    let Some(pattern) = fields.get("pattern").and_then(Value::as_object) else { return Ok(()) };
    for text in pattern.values().filter_map(Value::as_str) {
        if text.is_empty() || text.len() > MAX_PATTERN || repeats(text) {
            return Err(fail!(
                Unsupported,
                "{place}: `pattern` is empty, has more than {MAX_PATTERN} bytes, or repeats a part \
                 more than 1000 times"
            ));
        }
    }
    Ok(())
}

/// Whether a pattern counts to more than 1000 in braces: all counts together.
fn repeats(pattern: &str) -> bool {
    let counts = pattern.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
    let counts = counts.flat_map(|(count, _)| count.split(',')).filter_map(|n| n.parse().ok());
    counts.fold(1_u64, |all, n: u64| all.saturating_mul(n.max(1))) > 1000
}

fn too_long(place: &str, key: &str, size: usize) -> crate::Error {
    fail!(Unsupported, "{place}: `{key}` has {size} bytes, at most {MAX_TEXT} are read")
}

/// A `TemplateProcessing`.
#[derive(Deserialize)]
struct Template {
    single: Vec<Piece>,
    pair: Vec<Piece>,
    special_tokens: HashMap<String, Special>,
}

#[derive(Deserialize)]
enum Piece {
    Sequence { id: String, type_id: u32 },
    SpecialToken { id: String, type_id: u32 },
}

#[derive(Deserialize)]
struct Special {
    ids: Vec<u64>,
    tokens: Vec<String>,
}

/// Holds the post-processor against what can be run.
pub(crate) fn post_processor(part: &Value) -> Result<()> {
    let place = "post_processor";
    let mut around = 0;
    for fields in flat(place, part)? {
        for key in ["sep", "cls"] {
            let Some(token) = fields.get(key) else { continue };
            let id = token.get(1).and_then(Value::as_u64).unwrap_or(u64::MAX);
            if id >= MAX_ID {
                return Err(fail!(
                    Checkpoint,
                    "{place}: `{key}` is {token}, expected a token and its id",
                    token = quote(token)
                ));
            }
        }
        let kind = fields.get("type").and_then(Value::as_str).unwrap_or_default();
        around += usize::from(kind != "ByteLevel");
        if fields.contains_key("single") {
            let template: Template = serde_json::from_value(Value::Object(fields.clone()))
                .map_err(|e| fail!(Checkpoint, "{place}: {e}").with_source(e))?;
            template.check().map_err(|e| e.at(place))?;
        }
    }
    match around > 1 {
        true => Err(fail!(Unsupported, "{place}: special tokens are put around a text twice")),
        false => Ok(()),
    }
}

impl Template {
    fn check(&self) -> Result<()> {
        for (name, special) in &self.special_tokens {
            let (ids, tokens) = (special.ids.len(), special.tokens.len());
            if ids != tokens || ids > 16 {
                return Err(fail!(
                    Checkpoint,
                    "`special_tokens`: {name:?} has {ids} ids and {tokens} tokens, expected as many, \
                     and 16 at most"
                ));
            }
            if let Some(id) = special.ids.iter().find(|id| **id >= MAX_ID) {
                return Err(fail!(Checkpoint, "`special_tokens`: {name:?} has the id {id}"));
            }
        }
        for (name, pieces, texts) in [("single", &self.single, 1), ("pair", &self.pair, 2)] {
            if pieces.len() > MAX_PARTS {
                return Err(fail!(Unsupported, "`{name}` has more than {MAX_PARTS} parts"));
            }
            let mut found = [0, 0];
            for piece in pieces {
                let (Piece::Sequence { type_id, .. } | Piece::SpecialToken { type_id, .. }) = piece;
                if *type_id > 255 {
                    return Err(fail!(Checkpoint, "`{name}`: `type_id` is {type_id}"));
                }
                match piece {
                    Piece::Sequence { id, .. } => found[usize::from(id != "A")] += 1,
                    Piece::SpecialToken { id, .. } if self.special_tokens.contains_key(id) => {}
                    Piece::SpecialToken { id, .. } => {
                        return Err(fail!(
                            Checkpoint,
                            "`{name}` has {id:?}, which `special_tokens` lacks"
                        ));
                    }
                }
            }
            if found != [1, texts - 1] {
                return Err(fail!(
                    Checkpoint,
                    "`{name}` has {} of the first text and {} of the second, expected each of {texts} \
                     once",
                    found[0],
                    found[1]
                ));
            }
        }
        Ok(())
    }
}

/// Holds the settings of a model, its vocabulary left out, against what can be run.
pub(crate) fn model(fields: &Map<String, Value>) -> Result<()> {
    for key in ["unk_token", "continuing_subword_prefix", "end_of_word_suffix"] {
        let size = fields.get(key).and_then(Value::as_str).map_or(0, str::len);
        if size > MAX_TEXT {
            return Err(too_long("model", key, size));
        }
    }
    match fields.get("max_input_chars_per_word") {
        Some(count) if count.as_u64().is_none_or(|count| count > MAX_WORD) => Err(fail!(
            Unsupported,
            "model: `max_input_chars_per_word` is {count}, at most {MAX_WORD} characters of a word \
             are looked into"
        )),
        _ => Ok(()),
    }
}

/// Holds the tokens that are matched as they stand against what can be matched.
pub(crate) fn added(tokenizer: &Tokenizer) -> Result<()> {
    let added = tokenizer.get_added_tokens_decoder();
    let eats = [false, true].map(|normalized| {
        added.values().find(|token| token.rstrip && token.normalized == normalized)
    });
    for token in added.values() {
        let content = &token.content;
        if content.len() > MAX_TEXT {
            let size = content.len();
            return Err(fail!(
                Unsupported,
                "an added token has {size} bytes, at most {MAX_TEXT} are read"
            ));
        }
        let mut text = NormalizedString::from(content.as_str());
        if let (true, Some(normalizer)) = (token.normalized, tokenizer.get_normalizer()) {
            normalizer.normalize(&mut text).map_err(|e| {
                fail!(Checkpoint, "the added token {content:?}: {e}", content = quote(content))
                    .with_source(e)
            })?;
        }
        if text.is_empty() {
            return Err(fail!(
                Checkpoint,
                "the added token {content:?} is empty after the normalizer, so that it would \
                 match without end: remove it, or set its `normalized` to false",
                content = quote(content)
            ));
        }
        if let (true, Some(other)) =
            (text.get().starts_with(char::is_whitespace), eats[usize::from(token.normalized)])
        {
            return Err(fail!(
                Unsupported,
                "the added tokens {:?} (`rstrip`) and {content:?} both take the space between them",
                other.content,
                content = quote(content)
            ));
        }
    }
    Ok(())
}
