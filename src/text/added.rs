//! Tokens that the files beside a vocabulary declare, as Transformers collects them: the special
//! tokens by role, tokens of other names, `additional_special_tokens`, and tokens with their flags.

use std::collections::HashSet;

use serde_json::{Map, Value};
use tokenizers::AddedToken;

use crate::error::{Result, fail};
use crate::model::sources::{Source, read_json};
use crate::quote::quote;
use crate::text::keys::{check_map, names_token};
use crate::text::settings::{CONFIG, Settings};

const MAP: &str = "special_tokens_map.json";
const ADDED: &str = "added_tokens.json";

/// The keys of special tokens, in the order in which missing ones are added.
pub(crate) const ROLES: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// What a CamemBERT tokenizer declares where the files declare no additional tokens.
const CAMEMBERT: [&str; 3] = ["<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"];

/// The tokens that a folder declares.
pub(crate) struct Declared {
    /// By role, in the order of [`ROLES`].
    roles: [Option<Declaration>; 7],
    /// Of `added_tokens_decoder`, else of `added_tokens.json`, by rising id. The ids themselves are
    /// not kept: as in Transformers, a token that the vocabulary has is its row there, another one
    /// the next row after all others.
    numbered: Vec<Declaration>,
    /// The tokens of other names and the additional ones.
    further: Vec<Declaration>,
    /// Whether a file lists additional tokens.
    has_list: bool,
    /// Whether `numbered` is of `added_tokens.json`, which does not hold over `tokenizer.json`.
    older: bool,
}

/// A token as a file spells it.
#[derive(Clone)]
struct Declaration {
    token: AddedToken,
    /// Whether the file says `normalized`; if not, it is what `special` is not.
    normalized: bool,
}

impl Declaration {
    /// A token by its text alone.
    fn special(content: &str) -> Self {
        Self { token: AddedToken::from(content, true), normalized: false }
    }

    fn set_special(&mut self) {
        self.token.special = true;
        if !self.normalized {
            self.token.normalized = false;
        }
    }

    /// The token that `value` spells, by its text or with its flags. `special`: what it is where
    /// the file does not say.
    fn parse(value: &Value, special: bool, place: &dyn Fn() -> String) -> Result<Self> {
        let fields = match value {
            Value::String(content) => return Ok(Self::special(content)),
            Value::Object(fields) => fields,
            other => {
                let place = place();
                return Err(fail!(
                    Checkpoint,
                    "{place} is {other}, expected a token",
                    other = quote(other)
                ));
            }
        };
        let Some(Value::String(content)) = fields.get("content") else {
            return Err(fail!(Checkpoint, "{}: the token has no text in `content`", place()));
        };
        let mut flags = [None; 5];
        let names = ["special", "normalized", "lstrip", "rstrip", "single_word"];
        for (key, value) in fields {
            let Some(at) = names.iter().position(|name| name == key) else {
                if key == "content" || key == "__type" || key == "id" {
                    continue;
                }
                return Err(fail!(
                    Unsupported,
                    "{}: a token has no setting `{key}`",
                    place(),
                    key = quote(key)
                ));
            };
            flags[at] = match value {
                Value::Null => None,
                Value::Bool(flag) => Some(*flag),
                other => {
                    let place = place();
                    return Err(fail!(
                        Checkpoint,
                        "{place}: `{key}` is {other}, expected true or false",
                        key = quote(key),
                        other = quote(other)
                    ));
                }
            };
        }
        let [given, normalized, lstrip, rstrip, single_word] = flags;
        let special = given.unwrap_or(special);
        let token = AddedToken::from(content.as_str(), special)
            .normalized(normalized.unwrap_or(!special))
            .lstrip(lstrip.unwrap_or(false))
            .rstrip(rstrip.unwrap_or(false))
            .single_word(single_word.unwrap_or(false));
        Ok(Self { token, normalized: normalized.is_some() })
    }
}

impl Declared {
    /// The tokens that the files of `source` declare beside its vocabulary.
    ///
    /// # Errors
    ///
    /// `Checkpoint` or `Unsupported` for what is no token.
    pub(crate) fn read(source: &dyn Source, settings: &Settings) -> Result<Self> {
        Self::collect(source, settings).map_err(|e| e.at(&settings.folder))
    }

    fn collect(source: &dyn Source, settings: &Settings) -> Result<Self> {
        let mut numbered = decoder(settings)?;
        // Where there is a decoder, the older files do not count.
        let older = numbered.is_none();
        let map: Map<String, Value> = match older {
            true => read_json(source, MAP)?.unwrap_or_default(),
            false => Map::new(),
        };
        check_map(&map, MAP)?;
        let Further { tokens: further, special, has_list } = further(settings, &map)?;
        let mut roles = [const { None }; 7];
        for (at, role) in ROLES.iter().enumerate() {
            let said = match (map.get(*role), settings.said(role)) {
                (Some(value), _) => Some((value, MAP)),
                (None, Some(value)) => Some((value, CONFIG)),
                (None, None) => None,
            };
            roles[at] = match said {
                // A role that is null is none, one that is absent is the class's.
                Some((Value::Null, _)) => None,
                Some((value, file)) => {
                    Some(Declaration::parse(value, true, &|| format!("{file}: `{role}`"))?)
                }
                None => settings.class.specials[at].map(Declaration::special),
            };
        }
        if older {
            numbered = Some(added(source, &roles, &special)?);
        }
        let numbered = numbered.unwrap_or_default();
        let mut declared = Self { roles, numbered, further, has_list, older };
        declared.settle(settings);
        Ok(declared)
    }

    /// A token that is declared twice has the flags of its number; roles are special.
    fn settle(&mut self, settings: &Settings) {
        // In these classes a mask that stands by its text alone takes the space before it.
        let eats = matches!(
            settings.class.name,
            "BarthezTokenizer" | "BigBirdTokenizer" | "CamembertTokenizer" | "MPNetTokenizer"
        );
        for (at, role) in self.roles.iter_mut().enumerate() {
            let Some(role) = role else { continue };
            if let Some(found) =
                self.numbered.iter_mut().find(|n| n.token.content == role.token.content)
            {
                found.set_special();
                *role = found.clone();
            } else if eats && at == 6 && !role.normalized {
                role.token.lstrip = true;
            }
            role.set_special();
        }
    }

    /// The special token of `role`, one of [`ROLES`].
    pub(crate) fn role(&self, role: &str) -> Option<&str> {
        let at = ROLES.iter().position(|known| *known == role)?;
        self.roles[at].as_ref().map(|found| found.token.content.as_str())
    }

    /// Has `role` be the special token `content` where no file says anything of it.
    pub(crate) fn set_default(&mut self, settings: &Settings, role: &str, content: &str) {
        let at = ROLES.iter().position(|known| *known == role);
        if let (Some(at), None) = (at, settings.said(role)) {
            self.roles[at].get_or_insert_with(|| Declaration::special(content));
        }
    }

    /// Declares the tokens of a vocabulary file that are matched as they stand.
    pub(crate) fn add_of_vocabulary(&mut self, tokens: impl IntoIterator<Item = AddedToken>) {
        self.further
            .extend(tokens.into_iter().map(|token| Declaration { token, normalized: true }));
    }

    /// Declares the additional tokens of the class where no file lists others.
    ///
    /// # Errors
    ///
    /// `Checkpoint` for a bad `extra_ids`.
    pub(crate) fn add_of_class(&mut self, settings: &Settings) -> Result<()> {
        match settings.class.name {
            _ if self.has_list => {}
            "CamembertTokenizer" => self.further.extend(CAMEMBERT.map(Declaration::special)),
            "T5Tokenizer" => {
                let tokens = extra_ids(settings)?;
                self.further.extend(tokens.map(|token| Declaration::special(&token)));
            }
            _ => {}
        }
        Ok(())
    }

    /// Adds the tokens to `inner`, which may have some of them.
    pub(crate) fn add_to(self, inner: &mut tokenizers::Tokenizer) -> Result<()> {
        let known = inner.get_added_tokens_decoder();
        let mut names: HashSet<String> = known.values().map(|t| t.content.clone()).collect();
        let mut tokens = Vec::new();
        for Declaration { token, .. } in self.numbered {
            if names.insert(token.content.clone()) || !self.older {
                tokens.push(token);
            }
        }
        for Declaration { token, .. } in self.roles.into_iter().flatten().chain(self.further) {
            if names.insert(token.content.clone()) {
                tokens.push(token);
            }
        }
        inner.add_tokens(tokens).map(|_| ()).map_err(|e| {
            fail!(Checkpoint, "the declared tokens cannot be added: {e}").with_source(e)
        })
    }
}

/// T5's tokens for what is left out of a text: `extra_ids` of them.
pub(crate) fn extra_ids(settings: &Settings) -> Result<impl DoubleEndedIterator<Item = String>> {
    let count = match settings.get("extra_ids") {
        None => 100,
        Some(count) => count.as_u64().filter(|&count| count <= 10_000).ok_or_else(|| {
            let folder = &settings.folder;
            fail!(
                Checkpoint,
                "{folder}: {CONFIG}: `extra_ids` is {count}, expected at most 10000",
                count = quote(count)
            )
        })?,
    };
    Ok((0..count).map(|i| format!("<extra_id_{i}>")))
}

/// `added_tokens_decoder` of `tokenizer_config.json`, `None` where the key is absent.
fn decoder(settings: &Settings) -> Result<Option<Vec<Declaration>>> {
    let key = "added_tokens_decoder";
    let Some(value) = settings.get(key) else { return Ok(None) };
    let Value::Object(tokens) = value else {
        return Err(fail!(
            Checkpoint,
            "{CONFIG}: `{key}` is {value}, expected an object of tokens",
            key = quote(key),
            value = quote(value)
        ));
    };
    let mut found = Vec::with_capacity(tokens.len());
    for (id, token) in tokens {
        let place = || format!("{CONFIG}: `{key}`: `{id}`");
        let Ok(number) = id.parse::<u32>() else {
            return Err(fail!(Checkpoint, "{}: expected the id of a token", place()));
        };
        found.push((number, Declaration::parse(token, false, &place)?));
    }
    found.sort_by_key(|(id, _)| *id);
    Ok(Some(found.into_iter().map(|(_, token)| token).collect()))
}

/// `added_tokens.json`: texts and ids. A token is special where it has a role or is in `special`.
fn added(
    source: &dyn Source,
    roles: &[Option<Declaration>; 7],
    special: &HashSet<String>,
) -> Result<Vec<Declaration>> {
    let tokens: Map<String, Value> = read_json(source, ADDED)?.unwrap_or_default();
    let mut found = Vec::with_capacity(tokens.len());
    for (content, id) in tokens {
        let Some(id) = id.as_u64() else {
            return Err(fail!(
                Checkpoint,
                "{ADDED}: `{content}` is {id}, expected the id of the token",
                content = quote(content)
            ));
        };
        let special = special.contains(&content)
            || roles.iter().flatten().any(|known| known.token.content == content);
        found.push((id, AddedToken::from(content, special)));
    }
    found.sort_by_key(|(id, _)| *id);
    let token = |(_, token)| Declaration { token, normalized: true };
    Ok(found.into_iter().map(token).collect())
}

/// Tokens of other names (`image_token`) and the additional ones.
struct Further {
    tokens: Vec<Declaration>,
    /// The texts of those that `added_tokens.json` takes for special.
    special: HashSet<String>,
    /// Whether there is a list of additional tokens.
    has_list: bool,
}

/// The further tokens of the settings and of `special_tokens_map.json`. `extra_special_tokens` is the
/// name of Transformers 5 for `additional_special_tokens`.
fn further(settings: &Settings, map: &Map<String, Value>) -> Result<Further> {
    let mut found = Vec::new();
    let mut special = HashSet::new();
    let own = settings.entries().map(|entry| (entry, CONFIG));
    for ((key, value), file) in own.chain(map.iter().map(|entry| (entry, MAP))) {
        if names_token(key, value) {
            found.push(Declaration::parse(value, true, &|| format!("{file}: `{key}`"))?);
        }
    }
    let filled = |value: &&Value| match value {
        Value::Null => false,
        Value::Array(list) => !list.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    };
    let (new, old) = ("extra_special_tokens", "additional_special_tokens");
    let of_config = [new, old]
        .into_iter()
        .find_map(|key| settings.said(key).filter(filled).map(|value| (key, value, CONFIG)));
    let of_map =
        [new, old].into_iter().find_map(|key| map.get(key).filter(filled).map(|v| (key, v, MAP)));
    let lists = match (of_config, of_map) {
        // The older name in the older file counts where nothing else does.
        (Some(config), Some((key, ..))) if key == old => vec![config],
        (config, map) => config.into_iter().chain(map).collect(),
    };
    let specific = "model_specific_special_tokens";
    let specific = settings.get(specific).map(|value| (specific, value, CONFIG));
    for (key, value, file) in specific.iter().chain(&lists) {
        let place = || format!("{file}: `{key}`");
        let tokens: Vec<&Value> = match value {
            Value::Array(list) => list.iter().collect(),
            Value::Object(fields) => fields.values().collect(),
            other => {
                return Err(fail!(
                    Checkpoint,
                    "{} is {other}, expected a list of tokens",
                    place(),
                    other = quote(other)
                ));
            }
        };
        for token in tokens {
            let mut token = Declaration::parse(token, true, &place)?;
            token.set_special();
            if *key == new || (*key == old && *file == CONFIG) {
                special.insert(token.token.content.clone());
            }
            found.push(token);
        }
    }
    Ok(Further { tokens: found, special, has_list: !lists.is_empty() })
}
