//! The special and added tokens that a folder declares beside its vocabulary file, in the order in
//! which Transformers adds them.
//!
//! `added_tokens_decoder` of `tokenizer_config.json` replaces `special_tokens_map.json` and
//! `added_tokens.json`, which older versions wrote.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value};
use tokenizers::AddedToken;

use crate::error::{Result, fail};
use crate::model::source::{Source, read_json};

const CONFIG: &str = "tokenizer_config.json";
const MAP: &str = "special_tokens_map.json";
const ADDED: &str = "added_tokens.json";

/// The settings that name the special tokens of every class, in the order in which they are added.
pub(super) const NAMES: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// The special tokens of a class where no file says another, in the order of [`NAMES`].
pub(super) type Defaults<'a> = [Option<&'a str>; 7];

/// A token and how it is matched; `normalized` of one that does not say so is that of `special`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Token {
    pub(super) content: String,
    lstrip: bool,
    rstrip: bool,
    single_word: bool,
    normalized: Option<bool>,
    special: bool,
    /// Whether the file says no more than the text. Such a token is not equal to one that is
    /// spelt out, and both are added.
    plain: bool,
}

impl Token {
    /// A special token that is matched as it stands.
    pub(super) fn special(content: &str) -> Self {
        Self {
            content: content.to_owned(),
            lstrip: false,
            rstrip: false,
            single_word: false,
            normalized: None,
            special: true,
            plain: true,
        }
    }

    /// A token of a vocabulary file that is matched as it stands.
    pub(super) fn of_vocabulary(content: &str, special: bool) -> Self {
        let token = Self::special(content);
        Self { normalized: Some(false), special, plain: false, ..token }
    }

    /// This token with the whitespace before it, where the file says no more than its text.
    fn with_space_before(mut self) -> Self {
        self.lstrip |= self.plain;
        self
    }

    /// `special` is what an object that does not say so is.
    fn read(value: &Value, special: bool) -> Option<Self> {
        let fields = match value {
            Value::String(content) => return Some(Self::special(content)),
            Value::Object(fields) => fields,
            _ => return None,
        };
        let flag = |name: &str| match fields.get(name) {
            None => Some(None),
            Some(value) => value.as_bool().map(Some),
        };
        Some(Self {
            content: fields.get("content")?.as_str()?.to_owned(),
            lstrip: flag("lstrip")?.unwrap_or(false),
            rstrip: flag("rstrip")?.unwrap_or(false),
            single_word: flag("single_word")?.unwrap_or(false),
            normalized: flag("normalized")?,
            special: flag("special")?.unwrap_or(false) || special,
            plain: false,
        })
    }

    fn into_added(self) -> AddedToken {
        AddedToken {
            content: self.content,
            single_word: self.single_word,
            lstrip: self.lstrip,
            rstrip: self.rstrip,
            normalized: self.normalized.unwrap_or(!self.special),
            special: self.special,
        }
    }
}

/// What a folder declares.
#[derive(Debug, Default)]
pub(super) struct Declared {
    /// By setting; `None` for null.
    named: BTreeMap<String, Option<Token>>,
    /// `extra_special_tokens`, `None` where no file has it.
    extra: Option<Vec<Token>>,
    /// Tokens with the ids that the files give them.
    by_id: BTreeMap<u32, Token>,
}

impl Declared {
    /// Reads the files of `source`; `config` is its `tokenizer_config.json`.
    ///
    /// # Errors
    ///
    /// `Checkpoint` for what is no token.
    pub(super) fn read(source: &dyn Source, config: &Map<String, Value>) -> Result<Self> {
        let mut all = Self::default();
        all.settings(config, CONFIG, false)?;
        match config.get("added_tokens_decoder") {
            Some(Value::Object(decoder)) => {
                for (id, value) in decoder {
                    let token = Token::read(value, false).filter(|token| !token.plain);
                    let (Ok(id), Some(token)) = (id.parse(), token) else {
                        return Err(no_token(
                            CONFIG,
                            &format!("added_tokens_decoder: {id}"),
                            value,
                        ));
                    };
                    all.by_id.insert(id, token);
                }
            }
            Some(other) if !other.is_null() => {
                return Err(no_token(CONFIG, "added_tokens_decoder", other));
            }
            _ => {
                if let Some(map) = read_json::<Map<String, Value>>(source, MAP)? {
                    all.settings(&map, MAP, true)?;
                }
                if let Some(added) = read_json::<Map<String, Value>>(source, ADDED)? {
                    all.added(&added)?;
                }
            }
        }
        let known: BTreeMap<&str, &Token> =
            all.by_id.values().map(|token| (token.content.as_str(), token)).collect();
        for token in all.named.values_mut().flatten() {
            if let Some(&known) = known.get(token.content.as_str()) {
                *token = known.clone();
            }
        }
        Ok(all)
    }

    /// The tokens of a file of settings; an object is `special` where the file means so.
    fn settings(&mut self, map: &Map<String, Value>, file: &str, special: bool) -> Result<()> {
        for (key, value) in map {
            if key.ends_with("_token") && (value.is_null() || Token::read(value, special).is_some())
            {
                self.named.insert(key.clone(), Token::read(value, special));
            } else if NAMES.contains(&key.as_str()) {
                return Err(no_token(file, key, value));
            }
        }
        // The old name counts where the new one is empty.
        let lists = ["extra_special_tokens", "additional_special_tokens"];
        for key in lists {
            if self.extra.as_ref().is_some_and(|extra| !extra.is_empty()) {
                break;
            }
            match map.get(key) {
                None | Some(Value::Null) => {}
                Some(Value::Object(named)) if key == "extra_special_tokens" => {
                    for (name, value) in named {
                        let token = Token::read(value, true);
                        let token = token.ok_or_else(|| no_token(file, name, value))?;
                        self.named.insert(name.clone(), Some(token));
                    }
                }
                Some(Value::Array(list)) => {
                    let tokens = list.iter().map(|value| {
                        Token::read(value, true).ok_or_else(|| no_token(file, key, value))
                    });
                    self.extra = Some(tokens.collect::<Result<_>>()?);
                }
                Some(other) => return Err(no_token(file, key, other)),
            }
        }
        Ok(())
    }

    /// `added_tokens.json`: ids by token.
    fn added(&mut self, added: &Map<String, Value>) -> Result<()> {
        for (content, id) in added {
            let id = id.as_u64().and_then(|id| u32::try_from(id).ok());
            let Some(id) = id else {
                return Err(fail!(Checkpoint, "{ADDED}: the id of {content:?} is no number"));
            };
            let named = self.named.values().flatten().chain(self.extra.iter().flatten());
            let special = named.into_iter().any(|token| token.content == *content);
            let token = Token::special(content);
            let normalized = Some(!special);
            self.by_id.insert(id, Token { special, normalized, plain: false, ..token });
        }
        Ok(())
    }

    /// The special tokens of a class with these defaults. Where `spaced`, a mask that is only named
    /// takes the whitespace before it.
    pub(super) fn names(&self, defaults: &Defaults<'_>, spaced: bool) -> Names {
        let mut all = NAMES.iter().zip(defaults).map(|(&name, default)| {
            let token = match self.named.get(name) {
                Some(said) => said.clone(),
                None => default.map(Token::special),
            };
            match spaced && name == "mask_token" {
                true => token.map(Token::with_space_before),
                false => token,
            }
        });
        Names(std::array::from_fn(|_| all.next().flatten()))
    }

    /// What is added to a vocabulary: the tokens with an id, the special tokens of the class, those
    /// of other settings, and `extra_special_tokens`, else those of the vocabulary file.
    pub(super) fn tokens(&self, names: &Names, of_vocabulary: Vec<Token>) -> Vec<AddedToken> {
        let others = self.named.iter().filter(|(name, _)| !NAMES.contains(&name.as_str()));
        let others = others.filter_map(|(_, token)| token.as_ref());
        let named: Vec<&Token> = names.0.iter().flatten().chain(others).collect();
        let extra = self.extra.as_ref().unwrap_or(&of_vocabulary);

        let known: HashSet<&str> = self.by_id.values().map(|t| t.content.as_str()).collect();
        let mut seen = HashSet::new();
        let new = named.iter().copied().chain(extra);
        let new = new.filter(|t| !known.contains(t.content.as_str()) && seen.insert(*t));
        let special: HashSet<&str> = named.iter().map(|t| t.content.as_str()).collect();
        let all = self.by_id.values().chain(new).cloned();
        all.map(|token| {
            let special = token.special || special.contains(token.content.as_str());
            Token { special, ..token }.into_added()
        })
        .collect()
    }

    /// The tokens with an id, in its order.
    pub(super) fn by_id(&self) -> impl Iterator<Item = (u32, &str)> {
        self.by_id.iter().map(|(&id, token)| (id, token.content.as_str()))
    }
}

/// The special tokens of a tokenizer, in the order of [`NAMES`].
#[derive(Debug)]
pub(super) struct Names([Option<Token>; 7]);

impl Names {
    /// The text of the token that the setting `name` says, where it is not null.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = NAMES.iter().zip(&self.0).find(|(known, _)| **known == name);
        found.and_then(|(_, token)| token.as_ref()).map(|token| token.content.as_str())
    }

    /// The text of the token that the setting `name` says.
    ///
    /// # Errors
    ///
    /// `Checkpoint` where it is null.
    pub(super) fn text(&self, name: &str) -> Result<&str> {
        self.get(name).ok_or_else(|| {
            fail!(Checkpoint, "{CONFIG}: `{name}` is null, and the tokenizer needs it: name it")
        })
    }
}

fn no_token(file: &str, key: &str, value: &Value) -> crate::Error {
    fail!(Checkpoint, "{file}: `{key}` is {value}, which is no token")
}
