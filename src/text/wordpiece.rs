//! The tokenizer of a BERT checkpoint without a `tokenizer.json`: `vocab.txt` and its settings.
//!
//! What comes out is the `tokenizer.json` that Hugging Face would write for it, so that there is
//! one way to load.

use serde_json::{Map, Value, json};

use crate::error::{Result, fail};
use crate::model::sources::{MAX_JSON_BYTES, Source, read_all};
use crate::quote::quote;
use crate::text::added::Declared;
use crate::text::class::Rules;
use crate::text::settings::Settings;

/// The `tokenizer.json` that the `vocab.txt` and the settings of `source` amount to, without the
/// declared tokens; `None` where there is no `vocab.txt`.
pub(crate) fn from_vocab(
    source: &dyn Source,
    settings: &Settings,
    declared: &Declared,
) -> Result<Option<Value>> {
    let Some(bytes) = read_all(source, "vocab.txt", MAX_JSON_BYTES)? else { return Ok(None) };
    let place = format!("{}: vocab.txt", source.name());
    check_settings(settings)?;
    let vocab = parse_vocab(&bytes, &place)?;
    let special =
        |role: &str| -> Result<(String, Value)> {
            let token = declared.role(role).unwrap_or_default();
            let id = vocab.get(token).cloned().ok_or_else(|| {
            fail!(
                Checkpoint,
                "{place}: the special token {token:?} (`{role}`) is not in it: it is no vocabulary \
                 of a {}, or tokenizer_config.json names another token",
                settings.class.name, token = quote(token))
        })?;
            Ok((token.to_owned(), id))
        };
    let (unk, _) = special("unk_token")?;
    let post_processor = template(special("cls_token")?, special("sep_token")?);
    Ok(Some(json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": true,
            "handle_chinese_chars": settings.flag("tokenize_chinese_chars")?.unwrap_or(true),
            "strip_accents": settings.flag("strip_accents")?,
            "lowercase": settings.flag("do_lower_case")?.unwrap_or(true),
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": post_processor,
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {
            "type": "WordPiece", "unk_token": unk, "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocab,
        },
    })))
}

/// BERT's post-processor: `[CLS] A [SEP] B [SEP]`, the second text of type 1.
fn template((cls, cls_id): (String, Value), (sep, sep_id): (String, Value)) -> Value {
    let token =
        |token: &str, type_id: u32| json!({"SpecialToken": {"id": token, "type_id": type_id}});
    let sequence = |id: &str, type_id: u32| json!({"Sequence": {"id": id, "type_id": type_id}});
    let single = [token(&cls, 0), sequence("A", 0), token(&sep, 0)];
    let pair = [&single[..], &[sequence("B", 1), token(&sep, 1)]].concat();
    let special = [(&cls, cls_id), (&sep, sep_id)].into_iter().map(|(content, id)| {
        (content.clone(), json!({"id": content, "ids": [id], "tokens": [content]}))
    });
    json!({
        "type": "TemplateProcessing", "single": single, "pair": pair,
        "special_tokens": special.collect::<Map<String, Value>>(),
    })
}

/// Refuses settings that would make another tokenizer of the same vocabulary.
fn check_settings(settings: &Settings) -> Result<()> {
    let folder = &settings.folder;
    let class = settings.class.name;
    let known = match settings.class.rules {
        Rules::Bert { .. } => class != "FunnelTokenizer",
        _ => class == "ConvBertTokenizer",
    };
    if !known {
        return Err(fail!(
            Unsupported,
            "{folder}: a vocab.txt without a tokenizer.json is not read for the tokenizer class \
             {class}: save the tokenizer with transformers, so that it has one"
        ));
    }
    if settings.flag("do_basic_tokenize")? == Some(false) {
        return Err(fail!(
            Unsupported,
            "{folder}: tokenizer_config.json: `do_basic_tokenize` is false, which is not supported \
             without a tokenizer.json: save the tokenizer with transformers, so that it has one"
        ));
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
