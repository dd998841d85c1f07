//! What is asked of attention: of which layers and heads, and what becomes of the weights.

use std::fmt;
use std::str::FromStr;

use super::{Capture, Layers, Overflow};
use crate::error::{Error, Result, fail};
use crate::quote::quote;
pub use crate::schedule::Reduce;

/// A choice among the heads of a layer, in the order they come back.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Heads {
    /// All of them.
    #[default]
    All,
    /// Those of these numbers; a negative one counts from the end.
    List(Vec<i32>),
}

impl Heads {
    /// The numbers of the heads in a layer of `count`.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) for a number out of range, one given twice, and none at all.
    pub fn resolve(&self, count: usize) -> Result<Vec<usize>> {
        let list = match self {
            Self::All => return Ok((0..count).collect()),
            Self::List(list) if list.is_empty() => {
                return Err(fail!(Usage, "no head is given: choose from 0..{}", count - 1));
            }
            Self::List(list) => list,
        };
        let mut heads = Vec::with_capacity(list.len());
        for &head in list {
            let steps = head.unsigned_abs() as usize;
            let found = if head < 0 { count.checked_sub(steps) } else { Some(steps) };
            let found = found.filter(|&found| found < count).ok_or_else(|| {
                fail!(
                    Usage,
                    "head {head} is out of range: a layer has heads 0..{}, or -{count}..-1 from the end",
                    count - 1
                )
            })?;
            if heads.contains(&found) {
                return Err(fail!(Usage, "head {found} is given twice"));
            }
            heads.push(found);
        }
        Ok(heads)
    }
}

impl FromStr for Heads {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if crate::words::plain(text) == "all" {
            return Ok(Self::All);
        }
        let head = |word: &str| {
            word.trim().parse().map_err(|_| {
                let (word, text) = (quote(word), quote(text));
                fail!(
                    Usage,
                    "heads `{text}`: `{word}` is no number of a head; use all, or a list such as `0,3,-1`"
                )
            })
        };
        text.split(',').map(head).collect::<Result<_>>().map(Self::List)
    }
}

impl fmt::Display for Heads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::List(list) => {
                let list: Vec<String> = list.iter().map(i32::to_string).collect();
                f.write_str(&list.join(","))
            }
        }
    }
}

/// A request for attention.
///
/// ```
/// use everylayer::capture::maps::{Maps, Reduce};
///
/// let maps = Maps::default().layers("-2..-1").heads("0,3").reduce("entropy");
/// assert_eq!(maps.reduce, Reduce::Entropy);
/// # Ok::<(), everylayer::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Maps {
    /// Which blocks, from 1; the last one unless said otherwise, and `all` is every block.
    pub layers: Layers,
    /// Which heads.
    pub heads: Heads,
    /// What becomes of the weights.
    pub reduce: Reduce,
    /// Limit, overflow and prompt of the texts; anything else that it asks for is refused.
    pub text: Capture,
}

/// A request held against a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapAxes {
    /// Blocks, from 1, in the order of the result.
    pub layers: Vec<usize>,
    /// Heads, in the order of the result.
    pub heads: Vec<usize>,
}

impl Maps {
    /// The same request for these layers.
    #[must_use]
    pub fn layers(mut self, layers: impl TryInto<Layers, Error: Into<Error>>) -> Self {
        match layers.try_into() {
            Ok(layers) => self.layers = layers,
            Err(wrong) => self.text.refuse(wrong.into()),
        }
        self
    }

    /// The same request for these heads: [`Heads`], or words such as `"0,3,-1"`.
    #[must_use]
    pub fn heads(mut self, heads: impl TryInto<Heads, Error: Into<Error>>) -> Self {
        match heads.try_into() {
            Ok(heads) => self.heads = heads,
            Err(wrong) => self.text.refuse(wrong.into()),
        }
        self
    }

    /// The same request with this reduction: [`Reduce`], or a word such as `"entropy"` or `"top:5"`.
    #[must_use]
    pub fn reduce(mut self, reduce: impl TryInto<Reduce, Error: Into<Error>>) -> Self {
        match reduce.try_into() {
            Ok(reduce) => self.reduce = reduce,
            Err(wrong) => self.text.refuse(wrong.into()),
        }
        self
    }

    /// The same request with texts made tokens of as `text` says.
    #[must_use]
    pub fn text(mut self, text: Capture) -> Self {
        let wrong = self.text.wrong.take().or(text.wrong.clone());
        self.text = Capture { wrong, ..text };
        self
    }

    /// Layers and heads in a model of `depth` blocks of `heads` heads.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) for words that could not be read, a layer or head out of range, and windows.
    pub fn resolve(&self, depth: usize, heads: usize) -> Result<MapAxes> {
        self.text.check()?;
        let Capture { max_tokens, overflow, prompt, .. } = self.text.clone();
        if self.text != (Capture { max_tokens, overflow, prompt, ..Capture::default() }) {
            return Err(fail!(
                Usage,
                "of a capture, attention takes the limit, the overflow and the prompt of texts alone: leave \
                 the rest at its default"
            ));
        }
        if matches!(self.text.overflow, Overflow::Window { .. }) {
            return Err(fail!(
                Usage,
                "attention is that of a whole text, which windows do not have: use overflow `truncate` or \
                 `error`"
            ));
        }
        let layers = self.layers.resolve_blocks(depth)?;
        if layers.contains(&0) {
            return Err(fail!(
                Usage,
                "attention does not exist at layer 0, which is the embeddings: choose blocks 1..{depth}, or \
                 `blocks` for all of them"
            ));
        }
        Ok(MapAxes { layers, heads: self.heads.resolve(heads)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_attention_does_not_take_is_refused() {
        let text = Capture::default().max_tokens(9).overflow("error").prompt("a");
        assert!(Maps::default().text(text.clone()).resolve(6, 12).is_ok());
        let pooled = Maps::default().text(text.pool("tokens")).resolve(6, 12);
        assert!(pooled.unwrap_err().to_string().contains("leave the rest at its default"));
        let wrong = Maps::default().heads("x").text(Capture::default()).resolve(6, 12);
        assert!(wrong.unwrap_err().to_string().contains("`x` is no number of a head"));
    }

    #[test]
    fn heads_are_numbers_from_either_end() {
        let of = |text: &str| text.parse::<Heads>().and_then(|heads| heads.resolve(12));
        assert_eq!(of("all").unwrap().len(), 12);
        assert_eq!(of("0, 3,-1").unwrap(), [0, 3, 11]);
        for (bad, said) in [
            ("12", "head 12 is out of range: a layer has heads 0..11, or -12..-1 from the end"),
            ("-13", "head -13 is out of range"),
            ("3,3", "head 3 is given twice"),
            ("a", "`a` is no number of a head"),
            ("", "is no number of a head"),
        ] {
            let error = of(bad).unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}
