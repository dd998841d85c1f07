//! The bodies of requests: JSON to the fields of a route, and what is wrong in the words of JSON.
//!
//! Every error names its field (`outputs[1].pool`) and what is taken there. Lists are read as they
//! come: a type that is not known beforehand is decided by the first item, without a copy of the rest.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{
    DeserializeOwned, Deserializer, Error as _, MapAccess, SeqAccess, Unexpected, Visitor,
};

use crate::quote::quote;
use crate::server::core::error::{ApiError, ErrorCode};

/// Of the items of one list, beside what they point to.
const MOST_BYTES: usize = 32 << 20;

/// Reads an object of fields. `null` is an absent field wherever one may be absent.
///
/// # Errors
///
/// `ErrorCode::Malformed`, which names the field.
pub fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    read_any(body).map(|Object(fields)| fields)
}

/// Reads JSON of any kind.
///
/// # Errors
///
/// As [`read`].
pub fn read_any<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(ApiError::new(ErrorCode::Malformed, "the body is empty: send JSON"));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = serde_path_to_error::deserialize(&mut json)
        .map_err(|e| wrong(&e.path().to_string(), e.inner()))?;
    json.end().map_err(|e| wrong(".", &e))?;
    Ok(read)
}

/// What an error of the JSON reader is to a client.
fn wrong(path: &str, error: &serde_json::Error) -> ApiError {
    let said = error.to_string();
    let is_range = said.starts_with("number out of range");
    if !error.is_data() && !is_range {
        return ApiError::new(ErrorCode::Malformed, format!("the body is not JSON: {said}"));
    }
    let said = said.rsplit_once(" at line ").map_or(&*said, |(said, _)| said);
    let path = if path == "." { None } else { Some(quote(path)) };
    let place = path.as_deref().map_or("the body".to_owned(), |path| format!("`{path}`"));
    let ticked = |rest: &str| rest.split('`').nth(1).map(quote).unwrap_or_default();
    let message = if is_range {
        format!("{place}: the number is out of range")
    } else if let Some(rest) = said.strip_prefix("missing field ") {
        format!("{place}: the field `{}` is missing", ticked(rest))
    } else if let Some(rest) = said.strip_prefix("duplicate field ") {
        format!("{place}: the field `{}` is there twice", ticked(rest))
    } else if let Some(rest) = said.strip_prefix("unknown field ") {
        let known = rest.rsplit_once(", expected ").map_or("", |(_, known)| known);
        let known = known.strip_prefix("one of ").unwrap_or(known);
        format!("{place}: unknown field: use {known}")
    } else if let Some((found, wanted)) = mismatch(said) {
        format!("{place}: expected {wanted}, found {found}")
    } else {
        format!("{place}: {said}")
    };
    let error = ApiError::new(ErrorCode::Malformed, message);
    match path {
        Some(path) => error.of(path),
        None => error,
    }
}

/// What was found and what was wanted, of serde's `invalid type: FOUND, expected WANTED`.
fn mismatch(said: &str) -> Option<(String, String)> {
    let rest = said.strip_prefix("invalid type: ");
    let rest = rest.or_else(|| said.strip_prefix("invalid value: "));
    let (found, wanted) =
        rest.or_else(|| said.strip_prefix("invalid "))?.rsplit_once(", expected ")?;
    let found = match found {
        "sequence" => "a list".to_owned(),
        "map" => "an object".to_owned(),
        found => quote(found.replace("floating point", "number").replace("integer", "number")),
    };
    Some((found, wanted.replace("a sequence", "a list")))
}

/// An object; a list of the fields' values in their order, which serde would take too, is none.
#[derive(Default)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct FieldsVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for FieldsVisitor<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        from.deserialize_map(FieldsVisitor(PhantomData))
    }
}

/// A whole number; JSON has one kind of numbers, so that 2.0 is one.
struct Whole {
    least: u64,
    most: u64,
    what: &'static str,
}

impl Visitor<'_> for Whole {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<u64, E> {
        if (self.least..=self.most).contains(&number) {
            return Ok(number);
        }
        Err(E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<u64, E> {
        // Below 2^53 every whole number is itself.
        let is_whole = number.fract() == 0.0 && (0.0..9_007_199_254_740_992.0).contains(&number);
        match is_whole {
            true => self.visit_u64(number as u64),
            false => Err(E::invalid_value(Unexpected::Float(number), &self)),
        }
    }
}

/// How many of something; one at least.
#[derive(Clone, Copy)]
pub struct Count(pub usize);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let most = u64::from(u32::MAX);
        let visitor = Whole { least: 1, most, what: "a whole number from 1 to 4294967295" };
        from.deserialize_any(visitor).map(|n| Self(n as usize))
    }
}

/// The error of a word that is none of `names`.
pub fn not_one_of(text: &str, names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    format!("expected {}, found string `{}`", names.join(" or "), quote(text))
}

/// A row of the vocabulary.
pub struct TokenId(u32);

impl TokenId {
    const VISITOR: Whole = Whole {
        least: 0,
        most: u32::MAX as u64,
        what: "a token id, a whole number from 0 to 4294967295",
    };
}

impl<'de> Deserialize<'de> for TokenId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Self::VISITOR).map(|n| Self(n as u32))
    }
}

/// Ids as the service takes them.
pub fn plain(ids: Vec<TokenId>) -> Vec<u32> {
    ids.into_iter().map(|id| id.0).collect()
}

/// A word of a grammar, such as a pooling; its own error says what there is.
pub struct Word<T>(pub T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map(Self).map_err(D::Error::custom)
    }
}

/// What a field of texts or ids may hold, for [`Items`].
pub trait Listed: Sized {
    /// What the field takes, for errors.
    const WANTED: &'static str;
    /// What an item of its list may be, for errors.
    const ITEM: &'static str;
    /// Whether its items may be lists.
    const LISTS: bool = true;
    /// The lists that may be its items.
    type Inner: DeserializeOwned;

    /// Of an empty list.
    fn none() -> Self;
    /// Of one text.
    fn text(_: String) -> Option<Self> {
        None
    }

    /// Of a list of texts.
    fn texts(_: Vec<String>) -> Option<Self> {
        None
    }

    /// Of a list of ids.
    fn ids(_: Vec<TokenId>) -> Option<Self> {
        None
    }

    /// Of a list of lists.
    fn lists(_: Vec<Self::Inner>) -> Option<Self> {
        None
    }
}

/// A field that takes a text, or a list of one kind of items; the first item says which.
pub struct Items<T>(pub T);

impl<'de, T: Listed> Deserialize<'de> for Items<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ItemsVisitor(PhantomData))
    }
}

struct ItemsVisitor<T>(PhantomData<T>);

impl<'de, T: Listed> Visitor<'de> for ItemsVisitor<T> {
    type Value = Items<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WANTED)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        let wrong = || E::invalid_type(Unexpected::Str(text), &self);
        T::text(text.to_owned()).map(Items).ok_or_else(wrong)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let wrong = || A::Error::invalid_type(Unexpected::Seq, &self);
        match list.next_element::<FirstItem<T>>()? {
            None => Some(T::none()),
            Some(FirstItem::Text(first)) => T::texts(rest(first, list)?),
            Some(FirstItem::Id(first)) => T::ids(rest(first, list)?),
            Some(FirstItem::List(first)) => T::lists(rest(first, list)?),
        }
        .map(Items)
        .ok_or_else(wrong)
    }
}

/// The first item of a list, whose kind is that of all.
enum FirstItem<T: Listed> {
    Text(String),
    Id(TokenId),
    List(T::Inner),
}

impl<'de, T: Listed> Deserialize<'de> for FirstItem<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ItemVisitor(PhantomData))
    }
}

struct ItemVisitor<T>(PhantomData<T>);

impl<'de, T: Listed> Visitor<'de> for ItemVisitor<T> {
    type Value = FirstItem<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::ITEM)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(FirstItem::Text(text.to_owned()))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Self::Value, E> {
        TokenId::VISITOR.visit_u64(number).map(|id| FirstItem::Id(TokenId(id as u32)))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Self::Value, E> {
        TokenId::VISITOR.visit_f64(number).map(|id| FirstItem::Id(TokenId(id as u32)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        if !T::LISTS {
            return Err(A::Error::invalid_type(Unexpected::Seq, &self));
        }
        T::Inner::deserialize(SeqAccessDeserializer::new(list)).map(FirstItem::List)
    }
}

fn rest<'de, I: Deserialize<'de>, A: SeqAccess<'de>>(
    first: I,
    mut list: A,
) -> Result<Vec<I>, A::Error> {
    let mut all = vec![first];
    while let Some(next) = list.next_element()? {
        push(&mut all, next)?;
    }
    Ok(all)
}

/// A list, which [`push`] bounds.
pub struct List<T>(pub Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Items<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Items<T> {
            type Value = List<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a sequence")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<List<T>, A::Error> {
                let mut all = Vec::new();
                while let Some(item) = list.next_element()? {
                    push(&mut all, item)?;
                }
                Ok(List(all))
            }
        }
        from.deserialize_seq(Items(PhantomData))
    }
}

/// Adds an item to a list of a body. An item may be two bytes there, and many more here.
///
/// # Errors
///
/// For more than [`MOST_BYTES`] of items.
pub fn push<I, E: serde::de::Error>(all: &mut Vec<I>, item: I) -> Result<(), E> {
    let most = MOST_BYTES / size_of::<I>().max(1);
    if all.len() >= most {
        return Err(E::custom(format_args!("a list has more than {most} items")));
    }
    all.push(item);
    Ok(())
}
