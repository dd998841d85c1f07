//! Tokens of a text of any length, made a stretch of it at a time.
//!
//! The crate `tokenizers` takes some hundred bytes of memory for a byte of text, and makes all tokens
//! of a text before any is cut off. Here a long text is walked in stretches that overlap by a few
//! words. [`Seams`] has what makes the tokens those of the whole text, which the tests hold.

mod long;

use std::ops::Range;

use tokenizers::tokenizer::pre_tokenizer::PreTokenizedString;
use tokenizers::{Model, ModelWrapper, OffsetReferential, OffsetType, PreTokenizer, Tokenizer};

use crate::error::{Result, fail};
use crate::text::kept::{Keep, Kept};
use crate::text::seams::{Seams, cut_before};

/// Sizes in bytes of text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// Of a stretch. It takes some 16 MB while it is worked on.
    stretch: usize,
    /// Of the longest stretch that is tried where no shorter one has a place to end at.
    longest: usize,
}

impl Sizes {
    pub(crate) const USUAL: Self = Self { stretch: 32 << 10, longest: 1 << 20 };
}

/// Words that are seen after a place before the words up to there are sure: the patterns in
/// [`Seams`] make at most three of a run of whitespace that is cut off.
const AFTER: usize = 4;
/// Words of a text that a stretch has before those whose tokens are taken; more where these do not
/// come out as they did before.
const BEFORE: [usize; 3] = [8, 32, 128];

/// A word of a stretch.
#[derive(Debug, Clone, PartialEq, Eq)]
struct StretchWord {
    /// Its bytes in the text.
    bytes: Range<usize>,
    /// Whether it is a token that is matched as it stands.
    added: bool,
    /// Its size when normalized, in bytes.
    size: usize,
    /// Whether it is longer, in characters, than WordPiece looks into.
    long: bool,
}

/// Where a stretch begins, and what stands in it before the words that are wanted.
struct Begin {
    at: usize,
    before: Vec<StretchWord>,
}

/// The tokens of `text`, without special tokens around them, those that `keep` names; all are
/// counted.
///
/// # Errors
///
/// `Text` where the tokenizer fails, and for a text too long for one that cannot take it apart.
pub(crate) fn encode(
    tokenizer: &Tokenizer,
    seams: &Seams,
    text: &str,
    keep: Keep,
    sizes: Sizes,
) -> Result<Kept> {
    let mut kept = Kept::default();
    if text.len() > sizes.stretch && (seams.known || text.len() > sizes.longest) {
        Walk { tokenizer, seams, text, keep, sizes, done: 0, words: 0, characters: (0, 0) }
            .run(&mut kept)?;
    } else {
        let found = prepare(tokenizer, text)?;
        take(tokenizer, found, 0..usize::MAX, |id, piece, span, word| {
            kept.push(keep, id, piece, span, word)
        })?;
    }
    kept.cut(keep);
    Ok(kept)
}

struct Walk<'a> {
    tokenizer: &'a Tokenizer,
    seams: &'a Seams,
    text: &'a str,
    keep: Keep,
    sizes: Sizes,
    /// The byte up to which tokens were taken.
    done: usize,
    /// Words up to there.
    words: usize,
    /// A byte of the text and the characters before it.
    characters: (usize, usize),
}

impl Walk<'_> {
    fn run(&mut self, kept: &mut Kept) -> Result<()> {
        if !self.seams.known {
            return Err(fail!(
                Text,
                "the text has {} bytes, and this tokenizer finds words by rules that are not known \
                 to work on a part of a text: split it, {} bytes are read at most",
                self.text.len(),
                self.sizes.longest
            ));
        }
        let mut begins = vec![Begin { at: 0, before: Vec::new() }];
        while let Some(next) = self.stretch(begins, kept)? {
            begins = next;
        }
        Ok(())
    }

    /// Takes the tokens of one stretch; where the next may begin, the best last. `None` at the end.
    fn stretch(&mut self, mut begins: Vec<Begin>, kept: &mut Kept) -> Result<Option<Vec<Begin>>> {
        let mut size = self.sizes.stretch;
        loop {
            let Some(begin) = begins.last() else { return Err(self.unsure()) };
            let at = begin.at;
            // What stands before may be long.
            let least = size.max((self.done - at).saturating_mul(2));
            let end = self.character_from(at.saturating_add(least));
            let found = prepare(self.tokenizer, &self.text[at..end])?;
            let words = self.words_of(&found, at);
            let Some(first) = resume(&words, &begin.before, self.done) else {
                begins.pop();
                continue;
            };
            if end == self.text.len() {
                self.take(found, at, first..words.len(), kept)?;
                return Ok(None);
            }
            if let Some((last, next)) = self.cut(&words, first, end) {
                self.take(found, at, first..last, kept)?;
                self.done = words[..last].iter().map(|word| word.bytes.end).max().unwrap_or(at);
                return Ok(Some(next));
            }
            let next = match self.seams.word_limit {
                Some(_) => self.unknown(found, at..end, &words, first, kept)?,
                None => self.long(found, at..end, &words, first, kept)?,
            };
            if next.is_some() {
                return Ok(next);
            }
            size = size.saturating_mul(2);
            if size > self.sizes.longest {
                return Err(self.unbroken());
            }
        }
    }

    fn unbroken(&self) -> crate::Error {
        fail!(
            Text,
            "the text has {} bytes after byte {} in which this tokenizer finds no words to split \
             at: add spaces",
            self.sizes.longest,
            self.done
        )
    }

    fn unsure(&self) -> crate::Error {
        fail!(
            Text,
            "the words of the text after byte {} depend on all that stands before, so that so long a \
             text is not read: split it",
            self.done
        )
    }

    /// The words of the stretch that begins at byte `at`.
    fn words_of(&self, found: &PreTokenizedString, at: usize) -> Vec<StretchWord> {
        let limit = self.seams.word_limit.unwrap_or(usize::MAX);
        let word =
            |(normalized, (start, end), tokens): (&str, (usize, usize), &Option<_>)| StretchWord {
                bytes: at + start..at + end,
                added: tokens.is_some(),
                size: normalized.len(),
                long: normalized.len() > limit && normalized.chars().nth(limit).is_some(),
            };
        found
            .get_splits(OffsetReferential::Original, OffsetType::Byte)
            .into_iter()
            .map(word)
            .collect()
    }

    /// The number of words up to which a stretch that ends at byte `end` is sure, `first` of them
    /// taken before; and where the next stretch may begin.
    fn cut(&self, words: &[StretchWord], first: usize, end: usize) -> Option<(usize, Vec<Begin>)> {
        let ends: Vec<usize> = words
            .iter()
            .scan(0, |most, word| {
                *most = word.bytes.end.max(*most);
                Some(*most)
            })
            .collect();
        let place = |word: usize| {
            let start = words[word].bytes.start;
            let apart = word == 0 || ends[word - 1] <= start;
            apart.then(|| cut_before(self.text, start)).flatten()
        };
        let mut after = words.iter().rev().take(AFTER).map(|word| word.size).sum::<usize>();
        let most = words.len().checked_sub(AFTER)?;
        for last in (first + 1..=most).rev() {
            let sure = after >= self.seams.margin
                && words[last].bytes.start.saturating_add(self.seams.margin) <= end;
            after += words[last - 1].size;
            if !sure || place(last).is_none() {
                continue;
            }
            let mut begins: Vec<Begin> = Vec::new();
            for wanted in BEFORE {
                // As many words before as wanted, or more; where there are not so many, fewer.
                let from = last.saturating_sub(wanted);
                let found = (0..=from)
                    .rev()
                    .chain(from + 1..last)
                    .find_map(|word| place(word).map(|at| (word, at)));
                if let Some((word, at)) = found {
                    begins.push(Begin { at, before: words[word..last].to_vec() });
                }
            }
            if !begins.is_empty() {
                begins.reverse();
                return Some((last, begins));
            }
        }
        None
    }

    /// Takes the words of a stretch of the bytes `of` whose last word is one that WordPiece does not
    /// look into for its length, whatever follows; that word to its end; and where the next stretch
    /// begins. `None`, and nothing taken, where there is none such.
    fn unknown(
        &mut self,
        found: PreTokenizedString,
        of: Range<usize>,
        words: &[StretchWord],
        first: usize,
        kept: &mut Kept,
    ) -> Result<Option<Vec<Begin>>> {
        let (Some(limit), Some(word)) = (self.seams.word_limit, words.last()) else {
            return Ok(None);
        };
        let last = words.len() - 1;
        // Enough of the word for another stretch to see that it is long.
        let overlap = limit.saturating_mul(4).saturating_add(self.seams.margin);
        let inside = |end: usize| {
            let from = end.saturating_sub(overlap);
            let inner = (word.bytes.start + self.seams.margin..=from).rev().take(overlap);
            inner
                .filter(|&at| self.text.is_char_boundary(at))
                .find(|&at| cut_before(self.text, at) == Some(at))
        };
        let apart = words[..last].iter().all(|before| before.bytes.end <= word.bytes.start);
        let whole = word.bytes.end == of.end && !word.added && word.long && last >= first && apart;
        let (true, Some(mut at)) = (whole, inside(of.end)) else { return Ok(None) };
        let start = word.bytes.start;
        let ModelWrapper::WordPiece(model) = self.tokenizer.get_model() else { return Ok(None) };
        let Some(id) = model.token_to_id(&model.unk_token) else { return Ok(None) };

        self.take(found, of.start, first..last, kept)?;
        let rest = loop {
            let end = self.character_from(at + self.sizes.stretch.max(2 * overlap));
            let found = prepare(self.tokenizer, &self.text[at..end])?;
            let words = self.words_of(&found, at);
            let rest =
                words.into_iter().next().filter(|rest| !rest.added && rest.bytes.start == at);
            let Some(rest) = rest else { return Err(self.unsure()) };
            if rest.bytes.end < end || end == self.text.len() {
                break rest;
            }
            at = inside(end).filter(|&next| next > at).ok_or_else(|| self.unbroken())?;
        };
        let span = (self.character(start), self.character(rest.bytes.end));
        kept.push(self.keep, id, &model.unk_token, span, self.words)?;
        self.words += 1;
        self.done = rest.bytes.end;
        Ok(Some(vec![Begin { at, before: vec![rest] }]))
    }

    /// Takes the tokens of the words `which` of a stretch that begins at byte `at`.
    fn take(
        &mut self,
        found: PreTokenizedString,
        at: usize,
        which: Range<usize>,
        kept: &mut Kept,
    ) -> Result<()> {
        let base = self.character(at);
        let (words, keep, first) = (self.words, self.keep, which.start);
        self.words += which.len();
        take(self.tokenizer, found, which, |id, piece, (start, end), word| {
            kept.push(keep, id, piece, (base + start, base + end), words + word - first)
        })
    }

    /// The byte at which the next character begins, from byte `at` on.
    fn character_from(&self, at: usize) -> usize {
        let all = self.text.len();
        (at..all).find(|&at| self.text.is_char_boundary(at)).unwrap_or(all)
    }

    /// The characters before byte `at`.
    fn character(&mut self, at: usize) -> usize {
        let (byte, count) = self.characters;
        let count = match at >= byte {
            true => count + self.text[byte..at].chars().count(),
            false => count - self.text[at..byte].chars().count(),
        };
        self.characters = (at, count);
        count
    }
}

/// The index of the first word after byte `done`, where the words before it are `before` as far as
/// the beginning of a stretch leaves them; `None` where they are not.
fn resume(words: &[StretchWord], before: &[StretchWord], done: usize) -> Option<usize> {
    let first = words.iter().take_while(|word| word.bytes.end <= done).count();
    let apart = words[first..].iter().all(|word| word.bytes.start >= done);
    // The first has what is put before a text; the next may be another for it.
    let compared = before.len().min(3).saturating_sub(1);
    let same = words[..first].iter().rev().zip(before.iter().rev()).take(compared);
    let same = first >= compared.min(1) && same.clone().count() == compared && {
        let mut same = same;
        same.all(|(a, b)| a.bytes == b.bytes && a.added == b.added)
    };
    let ends = before.last().is_none_or(|known| {
        words[..first]
            .last()
            .is_some_and(|found| found.bytes.end == known.bytes.end && found.added == known.added)
    });
    (apart && same && ends).then_some(first)
}

/// `text` normalized and split into words.
fn prepare(tokenizer: &Tokenizer, text: &str) -> Result<PreTokenizedString> {
    let added = tokenizer.get_added_vocabulary();
    let mut found = added.extract_and_normalize(tokenizer.get_normalizer(), text);
    if let Some(splits) = tokenizer.get_pre_tokenizer() {
        splits.pre_tokenize(&mut found).map_err(failed)?;
    }
    Ok(found)
}

/// Hands on the tokens of the words `which`, with their span in characters of the stretch and the
/// index of their word.
fn take(
    tokenizer: &Tokenizer,
    mut found: PreTokenizedString,
    which: Range<usize>,
    mut each: impl FnMut(u32, &str, (usize, usize), usize) -> Result<()>,
) -> Result<()> {
    if which.is_empty() {
        return Ok(());
    }
    // Words before keep their place, so that the others keep their index.
    if which.end < usize::MAX {
        found.split(|index, word| Ok((index < which.end).then_some(word))).map_err(failed)?;
    }
    let model = tokenizer.get_model();
    found.tokenize(|word| model.tokenize(word.get())).map_err(failed)?;
    let tokens = found.into_encoding(None, 0, OffsetType::Char).map_err(failed)?;
    let spans = tokens.get_offsets().iter().zip(tokens.get_word_ids());
    for ((&id, piece), (&span, word)) in tokens.get_ids().iter().zip(tokens.get_tokens()).zip(spans)
    {
        let word = word.map_or(0, |word| word as usize);
        if which.contains(&word) {
            each(id, piece, span, word)?;
        }
    }
    Ok(())
}

pub(crate) fn failed(e: tokenizers::Error) -> crate::Error {
    fail!(Text, "the tokenizer failed: {e}").with_source(e)
}

#[cfg(test)]
mod tests;
