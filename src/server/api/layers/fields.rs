//! Fields of `/v1/layers` that take more than one kind of JSON.

use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::capture::Layers;
use crate::server::api::body::push;
use crate::server::core::reading;
use crate::text::Text;

/// `input`: a text or several; a list in the list is a pair.
pub struct InputField(pub Vec<reading::Input>);

impl<'de> Deserialize<'de> for InputField {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = InputField;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, an object with `text` and `text_pair`, or a list of such")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<InputField, E> {
                OneVisitor.visit_str(text).map(|TextOrPair(text)| InputField(vec![text]))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<InputField, A::Error> {
                OneVisitor.visit_map(map).map(|TextOrPair(text)| InputField(vec![text]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<InputField, A::Error> {
                let mut all = Vec::new();
                while let Some(TextOrPair(text)) = list.next_element()? {
                    push(&mut all, text)?;
                }
                Ok(InputField(all))
            }
        }
        from.deserialize_any(All)
    }
}

/// A text or a pair.
struct TextOrPair(reading::Input);

impl<'de> Deserialize<'de> for TextOrPair {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(OneVisitor)
    }
}

struct OneVisitor;

impl<'de> Visitor<'de> for OneVisitor {
    type Value = TextOrPair;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, an object with `text` and `text_pair`, or a list of two strings")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<TextOrPair, E> {
        Ok(TextOrPair(reading::Input::Text(text.to_owned().into())))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TextOrPair, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Pair {
            text: String,
            text_pair: Option<String>,
        }
        let Pair { text, text_pair } = Pair::deserialize(MapAccessDeserializer::new(map))?;
        let text = match text_pair {
            Some(pair) => (text, pair).into(),
            None => Text::from(text),
        };
        Ok(TextOrPair(reading::Input::Text(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<TextOrPair, A::Error> {
        let wrong = |count| A::Error::invalid_length(count, &"a pair, a list of two strings");
        let text: String = list.next_element()?.ok_or_else(|| wrong(0))?;
        let pair: String = list.next_element()?.ok_or_else(|| wrong(1))?;
        match list.next_element::<serde::de::IgnoredAny>()? {
            None => Ok(TextOrPair(reading::Input::Text((text, pair).into()))),
            Some(_) => Err(wrong(3)),
        }
    }
}

/// `layers`: the words of the command line, a state, or a list of states.
pub struct LayersWord(pub Layers);

impl<'de> Deserialize<'de> for LayersWord {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct LayersVisitor;
        impl<'de> Visitor<'de> for LayersVisitor {
            type Value = LayersWord;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string such as \"-4..-1\", a whole number, or a list of them")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<LayersWord, E> {
                text.parse().map(LayersWord).map_err(E::custom)
            }

            fn visit_i64<E: serde::de::Error>(self, state: i64) -> Result<LayersWord, E> {
                self.visit_str(&state.to_string())
            }

            fn visit_u64<E: serde::de::Error>(self, state: u64) -> Result<LayersWord, E> {
                self.visit_str(&state.to_string())
            }

            fn visit_f64<E: serde::de::Error>(self, state: f64) -> Result<LayersWord, E> {
                StateVisitor.visit_f64(state).and_then(|StateNumber(state)| self.visit_str(&state))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<LayersWord, A::Error> {
                let mut all = Vec::new();
                while let Some(StateNumber(state)) = list.next_element()? {
                    push(&mut all, state)?;
                }
                self.visit_str(&all.join(","))
            }
        }
        from.deserialize_any(LayersVisitor)
    }
}

/// A state by its number, as it is written.
struct StateNumber(String);

impl<'de> Deserialize<'de> for StateNumber {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(StateVisitor)
    }
}

struct StateVisitor;

impl Visitor<'_> for StateVisitor {
    type Value = StateNumber;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_i64<E: serde::de::Error>(self, state: i64) -> Result<StateNumber, E> {
        Ok(StateNumber(state.to_string()))
    }

    fn visit_u64<E: serde::de::Error>(self, state: u64) -> Result<StateNumber, E> {
        Ok(StateNumber(state.to_string()))
    }

    fn visit_f64<E: serde::de::Error>(self, state: f64) -> Result<StateNumber, E> {
        // JSON has one kind of numbers: 2.0 is 2.
        match state.fract() == 0.0 && state.abs() < 9_007_199_254_740_992.0 {
            true => Ok(StateNumber((state as i64).to_string())),
            false => Err(E::invalid_value(serde::de::Unexpected::Float(state), &self)),
        }
    }
}
