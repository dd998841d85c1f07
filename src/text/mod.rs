//! Texts and their tokens: what goes into an encoder, and how its rows map back to the text.
//!
//! Here are the plain types; reading a tokenizer and encoding are in [`tokenizer`], what the files
//! beside a vocabulary say in `settings`, `keys`, `class`, `rules` and `added`, vocabularies without
//! a `tokenizer.json` in `wordpiece` and `files`, long texts in `stretch`, `seams` and `kept`, their
//! windows in [`window`], batches in [`mod@pack`]. Nothing here knows a model or a device.

mod added;
mod class;
mod file;
mod files;
mod kept;
mod keys;
pub mod pack;
mod rules;
mod runs;
mod seams;
mod settings;
mod sound;
mod stretch;
mod strings;
pub mod tokenizer;
pub mod window;
mod wordpiece;

use std::borrow::Cow;
use std::ops::Range;

use tokenizers::normalizers::StripAccents;
use tokenizers::{NormalizedString, Normalizer};

pub use keys::known_keys;
pub use pack::{PackedBatch, pack, pack_some};
pub use strings::Strings;
pub use tokenizer::Tokenizer;

/// A text, or a pair of texts that a model reads together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Text<'a> {
    /// The text, or the first of a pair.
    pub text: Cow<'a, str>,
    /// The second text of a pair.
    pub pair: Option<Cow<'a, str>>,
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self { text: Cow::Borrowed(text), pair: None }
    }
}

impl<'a> From<&'a String> for Text<'a> {
    fn from(text: &'a String) -> Self {
        text.as_str().into()
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self { text: Cow::Owned(text), pair: None }
    }
}

impl<'a> From<(&'a str, &'a str)> for Text<'a> {
    fn from((text, pair): (&'a str, &'a str)) -> Self {
        Self { text: Cow::Borrowed(text), pair: Some(Cow::Borrowed(pair)) }
    }
}

impl From<(String, String)> for Text<'_> {
    fn from((text, pair): (String, String)) -> Self {
        Self { text: Cow::Owned(text), pair: Some(Cow::Owned(pair)) }
    }
}

impl<'a> From<&'a Text<'_>> for Text<'a> {
    fn from(text: &'a Text<'_>) -> Self {
        Self { text: Cow::Borrowed(&text.text), pair: text.pair.as_deref().map(Cow::Borrowed) }
    }
}

/// What happens to a text with more tokens than the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Overflow {
    /// It is cut on the right, or on the left where the files of the model say so, special tokens
    /// kept; [`Tokens::lost`] counts what went.
    #[default]
    Truncate,
    /// It is an error of kind [`TooLong`](crate::ErrorKind::TooLong).
    Error,
    /// It goes through the model in overlapping windows of the limit, each with the special tokens
    /// of a text; a token's or a word's vector is that of the window in which it has most context,
    /// and poolings are over all tokens once. A prompt is part of the first window alone. Not for pairs.
    Window {
        /// Tokens that two neighbouring windows share, as Hugging Face's `stride`; half of the
        /// window's (special tokens left out) where it is `None`.
        stride: Option<usize>,
    },
}

/// An end of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// Its beginning.
    Left,
    /// Its end.
    Right,
}

/// The tokens of one text or pair, special tokens among them. All lists have the same length.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Tokens {
    /// Row of each token in the vocabulary.
    pub ids: Vec<u32>,
    /// Token type (segment) of each token: 1 for the second text of a BERT pair.
    pub types: Vec<u32>,
    /// Each token as the vocabulary spells it, such as `##ing`.
    pub pieces: Strings,
    /// Start and end of each token in the text that it belongs to, counted in characters (Unicode
    /// scalar values); `[0, 0]` for a special token.
    pub spans: Vec<[u32; 2]>,
    /// The word that each token is part of; `None` for a special token. The words of a pair's
    /// second text go on where those of the first end.
    pub words: Vec<Option<u32>>,
    /// Whether the tokenizer added the token. One that stands in the text, such as a literal
    /// `[SEP]`, is not marked, as in Hugging Face's `special_tokens_mask`.
    pub special: Vec<bool>,
    /// Whether the token belongs to the second text of a pair.
    pub second: Vec<bool>,
    /// How many tokens were cut off.
    pub lost: usize,
}

/// One word of a text and the tokens it was split into.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Word {
    /// The word as the text spells it.
    pub text: String,
    /// Its first character in the text that it belongs to.
    pub start: u32,
    /// The character after its last.
    pub end: u32,
    /// Whether it is of the second text of a pair.
    pub second: bool,
    /// Its tokens.
    pub tokens: Range<usize>,
}

impl Tokens {
    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no token at all.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Counts spans and words from character `prefix` of the first text on: what stands before it,
    /// a prompt, was not the caller's. Its tokens keep their place and lose span and word, as
    /// special tokens have none.
    pub fn forget_prefix(&mut self, prefix: u32) {
        for i in 0..self.len() {
            let [start, end] = self.spans[i];
            if self.second[i] || self.special[i] {
                continue;
            }
            self.spans[i] = [start.saturating_sub(prefix), end.saturating_sub(prefix)];
            if end <= prefix {
                self.words[i] = None;
            }
        }
        // A word that the prompt and the text share keeps its tokens in the text.
        let first = self.words.iter().flatten().min().copied().unwrap_or(0);
        self.words.iter_mut().flatten().for_each(|word| *word -= first);
    }

    /// The words that the tokens make up, in order, as `text` (the one that was encoded) spells
    /// them. A word is a run of tokens of one word index. Whitespace at its ends is left out: the
    /// tokens of some models begin with the space before them. What is whitespace alone is no word.
    pub fn words(&self, text: &Text<'_>) -> Vec<Word> {
        let first = Characters::new(&text.text);
        let second = Characters::new(text.pair.as_deref().unwrap_or(""));
        let mut words = Vec::new();
        let mut start = 0;
        for run in self.words.chunk_by(|a, b| a == b) {
            let tokens = start..start + run.len();
            start = tokens.end;
            let (Some(Some(_)), Some(&[from, _]), Some(&[_, to])) =
                (run.first(), self.spans.get(tokens.start), self.spans.get(tokens.end - 1))
            else {
                continue;
            };
            let in_second = self.second.get(tokens.start).copied().unwrap_or(false);
            let of = if in_second { &second } else { &first };
            let last = tokens.end - 1;
            let to = match self.spans.get(tokens.end..).and_then(|rest| rest.first()) {
                Some(&[next, _]) if next >= to => of.with_marks(to, next, &self.pieces, last),
                Some(&[0, 0]) | None => of.with_marks(to, u32::MAX, &self.pieces, last),
                Some(_) => to,
            };
            let (text, start, end) = of.trimmed(from, to);
            if start >= end || (!text.is_empty() && text.trim().is_empty()) {
                continue;
            }
            words.push(Word { text: text.to_owned(), start, end, second: in_second, tokens });
        }
        words
    }
}

/// A text that can be sliced by characters.
struct Characters<'a> {
    text: &'a str,
    /// Byte of each character, then the length; empty where every character is one byte.
    bytes: Vec<usize>,
}

impl<'a> Characters<'a> {
    fn new(text: &'a str) -> Self {
        let bytes = match text.is_ascii() {
            true => Vec::new(),
            false => text.char_indices().map(|(at, _)| at).chain([text.len()]).collect(),
        };
        Self { text, bytes }
    }

    fn byte(&self, character: u32) -> usize {
        let at = usize::try_from(character).unwrap_or(usize::MAX);
        match self.bytes.is_empty() {
            true => at.min(self.text.len()),
            false => self.bytes.get(at).copied().unwrap_or(self.text.len()),
        }
    }

    /// `to`, or the end of the marks that follow it before `limit`, where normalisation joined them to
    /// the letter before: `a` and an accent to `á`, whose token spans the `a` alone. A piece that
    /// ends in the letter itself has lost its marks instead.
    fn with_marks(&self, to: u32, limit: u32, pieces: &Strings, last: usize) -> u32 {
        if self.bytes.is_empty() {
            return to;
        }
        let rest = self.text.get(self.byte(to)..self.byte(limit)).unwrap_or("");
        let letter = self.text.get(..self.byte(to)).and_then(|t| t.chars().next_back());
        let (Some(letter), Some(piece)) = (letter, pieces.get(last)) else { return to };
        let joined = rest.chars().scan(letter, |before, c| {
            let joins = is_joined(*before, c);
            *before = c;
            joins.then_some(())
        });
        let kept =
            piece.chars().next_back().is_some_and(|p| letter.to_lowercase().eq(p.to_lowercase()));
        if kept { to } else { to + joined.count() as u32 }
    }

    /// The characters `from..to` without whitespace at the ends, and where those are; all of them
    /// where there is nothing else.
    fn trimmed(&self, from: u32, to: u32) -> (&'a str, u32, u32) {
        let slice = self.text.get(self.byte(from)..self.byte(to)).unwrap_or("");
        let core = slice.trim();
        if core.is_empty() || core.len() == slice.len() {
            return (slice, from, to.max(from));
        }
        let before = slice.len() - slice.trim_start().len();
        let after = &slice[before + core.len()..];
        let count = |part: &str| part.chars().count() as u32;
        (core, from + count(&slice[..before]), to - count(after))
    }
}

/// Whether `c` is a combining mark, or composes with the character `before` it as Hangul does.
fn is_joined(before: char, c: char) -> bool {
    let mut mark = NormalizedString::from(c.to_string());
    if StripAccents.normalize(&mut mark).is_ok() && mark.get().is_empty() {
        return true;
    }
    let mut pair = NormalizedString::from(String::from_iter([before, c]));
    pair.nfc();
    pair.get().chars().count() == 1
}
