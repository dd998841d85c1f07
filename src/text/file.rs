//! The shape of a `tokenizer.json`: the parts and their members that are known.
//!
//! The crate `tokenizers` reads the file and passes over a member that it does not know; such a
//! member is refused here, since it may stand for other tokens in another version.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::error::{Result, fail};
use crate::model::sources::parse_json;
use crate::quote::quote;
use crate::text::files::MAX_PIECE;
use crate::text::keys::unknown;
use crate::text::sound::{self, MAX_ID};

/// The file, its vocabulary passed over.
#[derive(Deserialize)]
struct File {
    #[serde(default)]
    added_tokens: Vec<Map<String, Value>>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    model: Model,
    // The direction is read from the loaded tokenizer; the limit comes from the caller.
    #[serde(rename = "truncation")]
    _truncation: Option<IgnoredAny>,
    // Batches are not padded.
    #[serde(rename = "padding")]
    _padding: Option<IgnoredAny>,
    // From ids to text.
    #[serde(rename = "decoder")]
    _decoder: Option<IgnoredAny>,
    #[serde(rename = "version")]
    _version: Option<IgnoredAny>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Deserialize)]
struct Model {
    vocab: Option<Vocabulary>,
    #[serde(default)]
    merges: Vec<Merge>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// A vocabulary, passed over but for its bounds.
///
/// Its pieces are short where it is a list (Unigram): the crate `tokenizers` keeps a node a byte of a
/// piece and drops them by recursion.
struct Vocabulary {
    /// Bytes of the longest piece.
    longest: usize,
}

impl<'de> Deserialize<'de> for Vocabulary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(Pieces)
    }
}

struct Pieces;

impl<'de> Visitor<'de> for Pieces {
    type Value = Vocabulary;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a vocabulary")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Vocabulary, A::Error> {
        let mut longest = 0;
        while let Some((piece, id)) = map.next_entry::<Cow<'_, str>, u64>()? {
            if id >= MAX_ID {
                return Err(A::Error::custom(format!("a piece has the id {id}")));
            }
            longest = longest.max(piece.len());
        }
        Ok(Vocabulary { longest })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Vocabulary, A::Error> {
        let mut longest = 0;
        while let Some((piece, _)) = seq.next_element::<(Cow<'_, str>, IgnoredAny)>()? {
            if piece.len() > MAX_PIECE {
                let size = piece.len();
                let said = format!("a piece has {size} bytes, at most {MAX_PIECE} are read");
                return Err(A::Error::custom(said));
            }
            longest = longest.max(piece.len());
        }
        Ok(Vocabulary { longest })
    }
}

/// A merge of byte pairs, in either of its spellings.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Pair(String, String),
    Line(String),
}

impl Merge {
    fn parts(&self) -> Option<(&str, &str)> {
        match self {
            Self::Pair(first, second) => Some((first, second)),
            Self::Line(line) => line.split_once(' '),
        }
    }
}

/// A kind of part and its members.
type Part = (&'static str, &'static [&'static str]);

const NORMALIZERS: &[Part] = &[
    ("BertNormalizer", &["clean_text", "handle_chinese_chars", "strip_accents", "lowercase"]),
    ("Strip", &["strip_left", "strip_right"]),
    ("StripAccents", &[]),
    ("NFC", &[]),
    ("NFD", &[]),
    ("NFKC", &[]),
    ("NFKD", &[]),
    ("Sequence", &["normalizers"]),
    ("Lowercase", &[]),
    ("Nmt", &[]),
    ("Precompiled", &["precompiled_charsmap"]),
    ("Replace", &["pattern", "content"]),
    ("Prepend", &["prepend"]),
    ("ByteLevel", &[]),
];

const PRE_TOKENIZERS: &[Part] = &[
    ("BertPreTokenizer", &[]),
    ("ByteLevel", &["add_prefix_space", "trim_offsets", "use_regex"]),
    ("CharDelimiterSplit", &["delimiter"]),
    ("Metaspace", &["replacement", "prepend_scheme", "split", "add_prefix_space", "str_rep"]),
    ("Whitespace", &[]),
    ("WhitespaceSplit", &[]),
    ("Sequence", &["pretokenizers"]),
    ("Split", &["pattern", "behavior", "invert"]),
    ("Punctuation", &["behavior"]),
    ("Digits", &["individual_digits"]),
    ("UnicodeScripts", &[]),
    ("FixedLength", &["length"]),
];

const POST_PROCESSORS: &[Part] = &[
    ("BertProcessing", &["sep", "cls"]),
    ("RobertaProcessing", &["sep", "cls", "trim_offsets", "add_prefix_space"]),
    ("ByteLevel", &["add_prefix_space", "trim_offsets", "use_regex"]),
    ("TemplateProcessing", &["single", "pair", "special_tokens"]),
    ("Sequence", &["processors"]),
];

const MODELS: &[Part] = &[
    (
        "BPE",
        &[
            "dropout",
            "unk_token",
            "continuing_subword_prefix",
            "end_of_word_suffix",
            "fuse_unk",
            "byte_fallback",
            "ignore_merges",
        ],
    ),
    ("WordPiece", &["unk_token", "continuing_subword_prefix", "max_input_chars_per_word"]),
    ("WordLevel", &["unk_token"]),
    ("Unigram", &["unk_id", "byte_fallback"]),
];

const TOKEN: &[&str] =
    &["id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"];

/// Refuses a part or a member of the `tokenizer.json` in `bytes` that is not known; `place` is how
/// the file is named in an error.
pub(crate) fn check(bytes: &[u8], place: &str) -> Result<()> {
    let file: File = parse_json(bytes, place)?;
    members(&file).map_err(|e| e.at(place))
}

fn members(file: &File) -> Result<()> {
    if let Some(key) = file.others.keys().next() {
        return Err(unknown("top level", key));
    }
    for token in &file.added_tokens {
        if let Some(key) = token.keys().find(|key| !TOKEN.contains(&key.as_str())) {
            return Err(unknown("added_tokens", key));
        }
    }
    part("normalizer", &file.normalizer, NORMALIZERS)?;
    part("pre_tokenizer", &file.pre_tokenizer, PRE_TOKENIZERS)?;
    part("post_processor", &file.post_processor, POST_PROCESSORS)?;
    fields("model", &file.model.others, MODELS)?;
    sound::normalizer(&file.normalizer)?;
    sound::pre_tokenizer(&file.pre_tokenizer)?;
    sound::post_processor(&file.post_processor)?;
    sound::model(&file.model.others)?;
    merges(&file.model)?;
    match file.model.others.get("dropout").and_then(Value::as_f64) {
        Some(share) if share > 0.0 => Err(fail!(
            Unsupported,
            "model: `dropout` is {share}, so that the tokens of a text are drawn by chance: set it \
             to null"
        )),
        _ => Ok(()),
    }
}

/// Holds the merges against the pieces: the crate takes a place of the longest one for what a merge
/// makes, and the prefix off its second part.
fn merges(model: &Model) -> Result<()> {
    let prefix = model.others.get("continuing_subword_prefix").and_then(Value::as_str);
    let prefix = prefix.unwrap_or_default();
    let longest = model.vocab.as_ref().map_or(0, |vocab| vocab.longest);
    for (at, merge) in model.merges.iter().enumerate() {
        let fits = merge.parts().is_some_and(|(first, second)| {
            let second = second.strip_prefix(prefix);
            second.is_some_and(|second| first.len() + second.len() <= longest)
        });
        if !fits {
            return Err(fail!(Checkpoint, "model: merge {at} makes no piece of the vocabulary"));
        }
    }
    Ok(())
}

/// Checks a part that may be absent, and those that it is made of.
fn part(place: &str, value: &Value, known: &[Part]) -> Result<()> {
    let Value::Object(found) = value else { return Ok(()) };
    fields(place, found, known)?;
    for (_, inner) in found.iter().filter(|(key, _)| *key != "special_tokens") {
        let Value::Array(list) = inner else { continue };
        if found.get("type").is_some_and(|kind| kind == "Sequence") {
            list.iter().try_for_each(|inner| part(place, inner, known))?;
        }
    }
    Ok(())
}

fn fields(place: &str, found: &Map<String, Value>, known: &[Part]) -> Result<()> {
    // The oldest files name no kind; the crate finds it by the members.
    let Some(kind) = found.get("type").and_then(Value::as_str) else { return Ok(()) };
    let Some((_, members)) = known.iter().find(|(name, _)| *name == kind) else {
        return Err(fail!(
            Unsupported,
            "{place}: `type` is {kind:?}, which is not supported",
            kind = quote(kind)
        ));
    };
    let stray = found.keys().find(|key| *key != "type" && !members.contains(&key.as_str()));
    stray.map_or(Ok(()), |key| Err(unknown(&format!("{place}: {kind}"), key)))
}
