//! The tokens of one word of any length, in some bytes of memory for each of its own. The crate
//! `tokenizers` takes some hundred, as it has a word's symbols or paths all at once.
//!
//! **BPE**: of all neighbours that can be merged those of the least rank are, the leftmost first,
//! until there are none. So what is done on both sides of a place, and in which order, is the same in a
//! word and in the two tokens at the place alone, as long as nothing is merged across. It follows that
//! tokens are those of a word just if each two neighbours are those of their own text. A word is taken
//! in parts that overlap, which are joined behind a token that both have: left of it the neighbours are
//! those of one part, right of it of the other.
//!
//! **Unigram**: the best path to each place, found from left to right with the sums that the crate
//! makes, so that ties and rounding fall as there. Of a place only the length of its last piece is kept.

use std::collections::HashMap;
use std::io::{self, Write};
use std::ops::Range;

use tokenizers::models::bpe::BPE;
use tokenizers::models::unigram::Unigram;
use tokenizers::{Model, ModelWrapper, Token, Tokenizer};

use crate::error::{Result, fail};
use crate::text::stretch::failed;

/// Bytes of a part of a word that BPE is run on.
const PART: usize = 16 << 10;
/// Tokens that the next part of a word begins before the sure ones of a part, and times as large it is.
const BACK: [(usize, usize); 4] = [(0, 1), (64, 2), (512, 4), (4096, 16)];

/// Subtracted from the least score for a character that is no piece: the crate's `K_UNK_PENALTY`.
const UNKNOWN: f64 = 10.0;

/// What is known of a model beside what the crate tells.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Runs {
    Bpe,
    Unigram(Pieces),
}

/// The pieces of a Unigram model as a tree of their bytes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pieces {
    /// The node that a byte leads to from a node, by both.
    next: HashMap<(u32, u8), u32>,
    /// The score of the piece that ends at a node.
    scores: Vec<Option<f64>>,
    longest: usize,
    unknown: Option<u32>,
}

impl Runs {
    /// `None` for a model whose long words cannot be taken apart.
    pub(crate) fn of(tokenizer: &Tokenizer) -> Option<Self> {
        match tokenizer.get_model() {
            ModelWrapper::BPE(model) => is_local(model).then_some(Self::Bpe),
            ModelWrapper::Unigram(model) if model.alpha.is_none() => {
                Pieces::of(model).map(Self::Unigram)
            }
            _ => None,
        }
    }

    /// Hands on the tokens of `word`, with the bytes of it that they stand for.
    pub(crate) fn tokens(
        &self,
        tokenizer: &Tokenizer,
        word: &str,
        each: impl FnMut(u32, &str, (usize, usize)) -> Result<()>,
    ) -> Result<()> {
        match (self, tokenizer.get_model()) {
            (Self::Bpe, ModelWrapper::BPE(model)) => bpe(model, word, PART, each),
            (Self::Unigram(pieces), ModelWrapper::Unigram(model)) => {
                pieces.tokens(model, word, each)
            }
            _ => Err(fail!(Text, "the tokenizer has another model than it had")),
        }
    }
}

/// Whether the ends of a word are as its middle, and what one character becomes hangs on no other: unknown
/// ones may become one token, or a byte each.
fn is_local(model: &BPE) -> bool {
    let none = |part: &Option<String>| part.as_deref().is_none_or(str::is_empty);
    none(&model.continuing_subword_prefix)
        && none(&model.end_of_word_suffix)
        && model.dropout.is_none_or(|share| share == 0.0)
        && !model.byte_fallback
        && (!model.fuse_unk || model.unk_token.is_none())
}

/// A part of a word and its tokens, with their places in the word.
struct WordPart {
    end: usize,
    tokens: Vec<(Token, usize, usize)>,
}

impl WordPart {
    fn of(model: &BPE, word: &str, from: usize, size: usize) -> Result<Self> {
        let end = (from.saturating_add(size)..word.len()).find(|&at| word.is_char_boundary(at));
        let end = end.unwrap_or(word.len());
        let tokens = model.tokenize(&word[from..end]).map_err(failed)?.into_iter();
        let placed = tokens.map(|token| {
            let (start, stop) = token.offsets;
            (token, from + start, from + stop)
        });
        Ok(Self { end, tokens: placed.collect() })
    }

    /// The numbers of the first token from `from` on that `other` has as well, here and there.
    fn shared(&self, from: usize, other: &Self) -> Option<(usize, usize)> {
        let found = |(token, start, stop): &(Token, usize, usize)| {
            let at = other.tokens.binary_search_by_key(start, |other| other.1).ok()?;
            let (same, _, end) = &other.tokens[at];
            (same.id == token.id && end == stop).then_some(at)
        };
        (from..self.tokens.len()).find_map(|at| Some((at, found(&self.tokens[at])?)))
    }
}

/// The tokens of `word`, by parts of `size` bytes and more.
fn bpe(
    model: &BPE,
    word: &str,
    size: usize,
    mut each: impl FnMut(u32, &str, (usize, usize)) -> Result<()>,
) -> Result<()> {
    // Tokens of it before `next` were handed on.
    let (mut part, mut next) = (WordPart::of(model, word, 0, size)?, 0);
    let mut hand_on = |part: &WordPart, which: Range<usize>| {
        part.tokens[which]
            .iter()
            .try_for_each(|(t, start, stop)| each(t.id, &t.value, (*start, *stop)))
    };
    while part.end < word.len() {
        let joined = BACK.iter().find_map(|&(back, times)| {
            // What follows may change the last tokens, so that the next part begins before them.
            let from = (part.tokens.len() * 3 / 4).saturating_sub(back).max(next);
            let from = (next..=from).rev().find(|&at| word.is_char_boundary(part.tokens[at].1))?;
            let after = match WordPart::of(model, word, part.tokens[from].1, size * times) {
                Ok(after) if after.end > part.end => after,
                Ok(_) => return None,
                Err(e) => return Some(Err(e)),
            };
            part.shared(from, &after).map(|shared| Ok((shared, after)))
        });
        let Some(joined) = joined else {
            let at = part.end;
            return Err(fail!(
                Text,
                "a word of the text has {} bytes, and its tokens near byte {at} depend on all of \
                 it: add spaces",
                word.len()
            ));
        };
        let ((last, same), after) = joined?;
        hand_on(&part, next..last + 1)?;
        (part, next) = (after, same + 1);
    }
    hand_on(&part, next..part.tokens.len())
}

impl Pieces {
    fn of(model: &Unigram) -> Option<Self> {
        let mut pieces =
            Self { next: HashMap::new(), scores: vec![None], longest: 0, unknown: unknown(model)? };
        for (piece, score) in model.iter() {
            let mut node = 0;
            for &byte in piece.as_bytes() {
                let count = u32::try_from(pieces.scores.len()).ok()?;
                node = *pieces.next.entry((node, byte)).or_insert(count);
                if node == count {
                    pieces.scores.push(None);
                }
            }
            // Of two of one name the crate takes the last.
            *pieces.scores.get_mut(node as usize)? = Some(*score);
            pieces.longest = pieces.longest.max(piece.len());
        }
        (pieces.longest <= usize::from(u16::MAX)).then_some(pieces)
    }

    fn tokens(
        &self,
        model: &Unigram,
        word: &str,
        mut each: impl FnMut(u32, &str, (usize, usize)) -> Result<()>,
    ) -> Result<()> {
        let pieces = self.best(model, word)?;
        let is_unknown = |piece: &str| match model.token_to_id(piece) {
            Some(id) => Some(id) == self.unknown,
            None => true,
        };
        let mut at = 0;
        while at < word.len() {
            let start = at;
            at += usize::from(pieces[start]);
            // Neighbours that are unknown are one token.
            if is_unknown(&word[start..at]) {
                while at < word.len() && is_unknown(&word[at..at + usize::from(pieces[at])]) {
                    at += usize::from(pieces[at]);
                }
            }
            let piece = &word[start..at];
            if let Some(id) = model.token_to_id(piece) {
                each(id, piece, (start, at))?;
                continue;
            }
            let of_byte = |byte: u8| {
                let name = format!("<0x{byte:02X}>");
                model.token_to_id(&name).map(|id| (id, name))
            };
            let bytes = || piece.bytes().map(of_byte);
            if model.byte_fallback() && bytes().all(|byte| byte.is_some()) {
                for (id, name) in bytes().flatten() {
                    each(id, &name, (start, at))?;
                }
                continue;
            }
            let unknown = self.unknown.ok_or_else(no_unknown)?;
            each(unknown, piece, (start, at))?;
        }
        Ok(())
    }

    /// The length of the piece that begins at each byte of `word` where one does.
    fn best(&self, model: &Unigram, word: &str) -> Result<Vec<u16>> {
        // Of the best path to each place: the length of its last piece, and its score, which is
        // looked at from a piece's length before.
        let mut last = vec![0u16; word.len() + 1];
        let ring = self.longest.max(4) + 1;
        let mut scores = vec![0f64; ring];
        let unknown = model.min_score - UNKNOWN;
        for (start, c) in word.char_indices() {
            let base = scores[start % ring];
            let mut reach = |length: usize, score: f64| {
                let end = start + length;
                let score = score + base;
                if last[end] == 0 || score > scores[end % ring] {
                    last[end] = length as u16;
                    scores[end % ring] = score;
                }
            };
            let (mut node, mut is_piece) = (0, false);
            for (length, &byte) in (1..).zip(&word.as_bytes()[start..]) {
                let Some(&next) = self.next.get(&(node, byte)) else { break };
                node = next;
                if let Some(score) = self.scores[node as usize] {
                    reach(length, score);
                    is_piece |= length == c.len_utf8();
                }
            }
            if !is_piece {
                self.unknown.ok_or_else(no_unknown)?;
                reach(c.len_utf8(), unknown);
            }
        }
        // From the end of each piece of the best path to its beginning.
        let (mut end, mut length) = (word.len(), last[word.len()]);
        while end > 0 {
            let start = end - usize::from(length);
            length = std::mem::replace(&mut last[start], length);
            end = start;
        }
        Ok(last)
    }
}

fn no_unknown() -> crate::Error {
    fail!(Text, "the text has characters that the vocabulary lacks, and no token stands for them")
}

/// The id of what a Unigram model does not know, where it has one; `None` where it does not say.
fn unknown(model: &Unigram) -> Option<Option<u32>> {
    /// Takes the beginning of what is written, and then no more.
    struct FirstBytes(Vec<u8>);
    impl Write for FirstBytes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.0.len() < 256 {
                true => self.0.extend_from_slice(bytes),
                false => return Err(io::ErrorKind::WriteZero.into()),
            }
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    // The crate has no other way to it; the vocabulary follows.
    let mut head = FirstBytes(Vec::new());
    let _ = serde_json::to_writer(&mut head, model);
    let text = String::from_utf8_lossy(&head.0).into_owned();
    let value = text.split_once("\"unk_id\":")?.1.split([',', '}']).next()?;
    match value {
        "null" => Some(None),
        id => id.parse().ok().map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A model of the letters `a`, `b`, `c` and what these merges make, in any order.
    fn bpe_of(merges: &[(&str, &str)]) -> Tokenizer {
        let letters = ["a", "b", "c"].map(str::to_owned).into_iter();
        let made = merges.iter().map(|(first, second)| format!("{first}{second}"));
        let vocabulary: HashMap<String, u32> = letters.chain(made).zip(0..).collect();
        let model = serde_json::json!({ "type": "BPE", "vocab": vocabulary, "merges": merges });
        Tokenizer::new(serde_json::from_str::<BPE>(&model.to_string()).unwrap())
    }

    #[test]
    fn parts_of_a_word_are_joined_where_their_tokens_are_the_same() {
        // In the second a merge comes before that of its part.
        let in_order = [("a", "a"), ("aa", "aa"), ("b", "a"), ("c", "ba"), ("aaaa", "cba")];
        let early = [("a", "ab"), ("b", "c"), ("a", "b"), ("ba", "a"), ("b", "a")];
        for merges in [in_order, early] {
            are_joined(&bpe_of(&merges));
        }
    }

    fn are_joined(tokenizer: &Tokenizer) {
        assert_eq!(Runs::of(tokenizer), Some(Runs::Bpe));
        let ModelWrapper::BPE(model) = tokenizer.get_model() else { panic!("another model") };
        for word in ["a".repeat(999), "aab".repeat(300), "cbaaaaacbab".repeat(90)] {
            let whole = model.tokenize(&word).unwrap();
            let whole: Vec<_> = whole.iter().map(|token| (token.id, token.offsets)).collect();
            for size in [16, 37, 200] {
                let mut parts = Vec::new();
                let each = |id, _: &str, place| {
                    parts.push((id, place));
                    Ok(())
                };
                bpe(model, &word, size, each).unwrap();
                assert!(parts == whole, "{word:.20} in parts of {size}");
            }
        }
    }
}
