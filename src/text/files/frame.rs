//! The special tokens around a text: the post-processor of a tokenizer.

use serde_json::{Map, Value, json};
use tokenizers::{PostProcessorWrapper, Tokenizer};

use crate::error::{Result, fail};
use crate::quote::quote;

/// What stands around a text, and between the two of a pair.
#[derive(Debug)]
pub(crate) enum Frame {
    /// One list for a text and one for a pair.
    Template { single: Vec<TemplatePart>, pair: Vec<TemplatePart> },
    /// RoBERTa's, which trims the spans of tokens that begin with a space.
    Roberta { sep: String, cls: String, trim_offsets: bool, add_prefix_space: bool },
}

/// A part of a template, with its token type.
#[derive(Debug, Clone)]
pub(crate) enum TemplatePart {
    /// A special token: how it is written, and the token whose id it has.
    Token { text: String, of: String, kind: u32 },
    /// The first text of a pair (or the only one), or its second.
    Text { second: bool, kind: u32 },
}

impl TemplatePart {
    pub(super) fn token(text: &str, kind: u32) -> Self {
        Self::Token { text: text.to_owned(), of: text.to_owned(), kind }
    }

    pub(super) fn first() -> Self {
        Self::Text { second: false, kind: 0 }
    }

    pub(super) fn second(kind: u32) -> Self {
        Self::Text { second: true, kind }
    }
}

impl Frame {
    /// `cls A sep`, `cls A sep B sep`, the second text and what follows it of type 1.
    pub(super) fn bert(cls: TemplatePart, sep: &TemplatePart) -> Self {
        let second = match sep.clone() {
            TemplatePart::Token { text, of, .. } => TemplatePart::Token { text, of, kind: 1 },
            text => text,
        };
        let single = vec![cls, TemplatePart::first(), sep.clone()];
        let pair = [&single[..], &[TemplatePart::second(1), second]].concat();
        Self::Template { single, pair }
    }

    /// `bos A eos`, `bos A eos eos B eos`, all of type 0.
    pub(super) fn xlm_roberta(bos: &str, eos: &str) -> Self {
        let (bos, eos) = (TemplatePart::token(bos, 0), TemplatePart::token(eos, 0));
        let single = vec![bos, TemplatePart::first(), eos.clone()];
        let pair = [&single[..], &[eos.clone(), TemplatePart::second(0), eos]].concat();
        Self::Template { single, pair }
    }

    /// `A`, `A B`, each after `bos` and before `eos` where these are there.
    pub(super) fn plain(bos: Option<&str>, eos: Option<&str>) -> Self {
        let around = |text: TemplatePart, kind: u32| {
            let bos = bos.map(|bos| TemplatePart::token(bos, kind));
            let eos = eos.map(|eos| TemplatePart::token(eos, kind));
            bos.into_iter().chain([text]).chain(eos).collect::<Vec<_>>()
        };
        let single = around(TemplatePart::first(), 0);
        let pair = [single.clone(), around(TemplatePart::second(1), 1)].concat();
        Self::Template { single, pair }
    }

    /// The post-processor, with the ids of `tokenizer`.
    ///
    /// # Errors
    ///
    /// `Checkpoint` for a token that the vocabulary lacks.
    pub(crate) fn processor(&self, tokenizer: &Tokenizer) -> Result<PostProcessorWrapper> {
        let id = |token: &str| {
            tokenizer.token_to_id(token).ok_or_else(|| {
                fail!(
                    Checkpoint,
                    "the vocabulary has no {token:?}, which stands around each text",
                    token = quote(token)
                )
            })
        };
        let value = match self {
            Self::Roberta { sep, cls, trim_offsets, add_prefix_space } => {
                json!({
                    "type": "RobertaProcessing", "sep": [sep, id(sep)?], "cls": [cls, id(cls)?],
                    "trim_offsets": trim_offsets, "add_prefix_space": add_prefix_space,
                })
            }
            Self::Template { single, pair } => {
                let mut special = Map::new();
                for part in pair {
                    if let TemplatePart::Token { text, of, .. } = part {
                        let value = json!({"id": text, "ids": [id(of)?], "tokens": [text]});
                        special.insert(text.clone(), value);
                    }
                }
                json!({
                    "type": "TemplateProcessing", "single": template(single),
                    "pair": template(pair), "special_tokens": special,
                })
            }
        };
        serde_json::from_value(value)
            .map_err(|e| fail!(Checkpoint, "the special tokens: {e}").with_source(e))
    }
}

fn template(parts: &[TemplatePart]) -> Value {
    let parts = parts.iter().map(|part| match part {
        TemplatePart::Token { text, kind, .. } => {
            json!({"SpecialToken": {"id": text, "type_id": kind}})
        }
        TemplatePart::Text { second, kind } => {
            json!({"Sequence": {"id": if *second { "B" } else { "A" }, "type_id": kind}})
        }
    });
    parts.collect()
}
