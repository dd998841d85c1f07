//! A word that is longer than a stretch: its normalized text is put together from stretches within it,
//! and made tokens of by [`Runs`](crate::text::runs::Runs).

use std::ops::Range;

use tokenizers::NormalizedString;
use tokenizers::tokenizer::normalizer::Range as TemplatePart;
use tokenizers::tokenizer::pre_tokenizer::PreTokenizedString;

use super::{Begin, StretchWord, Walk, failed, prepare};
use crate::error::Result;
use crate::text::kept::Kept;
use crate::text::seams::cut_before;

/// Characters of a word that a stretch within it begins before the place from which it is taken: more
/// than a word has that is cut off one by its beginning, such as `'ll`.
const CONTEXT: usize = 4;
/// Places that are looked at for one to go on at.
const TRIED: usize = 4096;

/// A word, normalized, and where it stands in the text.
#[derive(Default)]
struct Long {
    text: String,
    places: Places,
}

impl Long {
    /// Adds what `word`, of a stretch that begins at byte `base`, has of the bytes `of` the text.
    fn add(&mut self, word: &NormalizedString, base: usize, of: Range<usize>) {
        let base = base + word.offsets_original().0;
        for (at, c) in word.get().char_indices() {
            let place = word.convert_offsets(TemplatePart::Normalized(at..at + c.len_utf8()));
            let Some(place) = place.map(|place| base + place.start..base + place.end) else {
                continue;
            };
            if of.contains(&place.start) {
                self.text.push(c);
                self.places.push(c.len_utf8(), place);
            }
        }
    }
}

/// For each byte of a normalized word the bytes of the text that it stands for. Bytes that stand for
/// the same are a group; groups of one shape that follow each other are one entry.
#[derive(Default)]
struct Places {
    entries: Vec<Groups>,
    /// The group that may grow: where it is in the word, its bytes, and what it stands for.
    open: (usize, usize, Range<usize>),
}

struct Groups {
    /// The first group, in the word and in the text.
    at: usize,
    from: usize,
    /// Bytes of each, in the word and in the text.
    size: usize,
    of: usize,
}

impl Groups {
    fn place(&self, byte: usize) -> Range<usize> {
        let start = self.from + (byte - self.at) / self.size.max(1) * self.of;
        start..start + self.of
    }
}

impl Places {
    fn push(&mut self, bytes: usize, place: Range<usize>) {
        if self.open.2 == place {
            self.open.1 += bytes;
            return;
        }
        self.close();
        self.open = (self.open.0 + self.open.1, bytes, place);
    }

    /// Enters the open group.
    fn close(&mut self) {
        let (at, size, ref place) = self.open;
        let of = place.len();
        let goes_on = self.entries.last().is_some_and(|last| {
            last.size == size && last.of == of && last.place(at).start == place.start
        });
        if size > 0 && !goes_on {
            self.entries.push(Groups { at, from: place.start, size, of });
        }
    }

    /// What the bytes `of` the word stand for.
    fn span(&self, of: Range<usize>) -> Range<usize> {
        let place = |byte: usize| {
            let after = self.entries.partition_point(|groups| groups.at <= byte);
            after.checked_sub(1).map_or(0..0, |entry| self.entries[entry].place(byte))
        };
        place(of.start).start..place(of.end.saturating_sub(1)).end
    }
}

impl Walk<'_> {
    /// Takes the words of a stretch of the bytes `of` whose last word goes on after it, all of that
    /// word, and says where the next stretch begins. `None`, and nothing taken, where the word cannot
    /// be taken apart.
    pub(super) fn long(
        &mut self,
        mut found: PreTokenizedString,
        of: Range<usize>,
        words: &[StretchWord],
        first: usize,
        kept: &mut Kept,
    ) -> Result<Option<Vec<Begin>>> {
        let Some((word, before)) = words.split_last() else { return Ok(None) };
        let apart = before.iter().all(|before| before.bytes.end <= word.bytes.start);
        let goes_on = word.bytes.end == of.end && !word.added && before.len() >= first && apart;
        let inside = self.inside(word.bytes.start, of.end).filter(|_| goes_on);
        let (Some((mut from, mut at)), Some(runs)) = (inside, self.seams.runs(self.tokenizer))
        else {
            return Ok(None);
        };
        let mut long = Long::default();
        long.add(&normalized(&mut found, before.len())?, of.start, 0..at);
        self.take(found, of.start, first..before.len(), kept)?;
        let rest = loop {
            let end = self.character_from(at + self.sizes.stretch);
            let mut found = prepare(self.tokenizer, &self.text[from..end])?;
            // The same word: its beginning is cut off nothing but itself.
            let same = |rest: &StretchWord| {
                !rest.added && rest.bytes.start == from && rest.bytes.end >= at
            };
            let rest = self.words_of(&found, from).into_iter().next().filter(same);
            let rest = rest.ok_or_else(|| self.unsure())?;
            let is_whole = rest.bytes.end < end || end == self.text.len();
            let next = match is_whole {
                true => None,
                false => {
                    let next = self.inside(from, end).filter(|next| next.1 > at);
                    Some(next.ok_or_else(|| self.unbroken())?)
                }
            };
            let until = next.map_or(usize::MAX, |(_, until)| until);
            long.add(&normalized(&mut found, 0)?, from, at..until);
            match next {
                None => break rest,
                Some(next) => (from, at) = next,
            }
        };
        long.places.close();
        let (word, keep) = (self.words, self.keep);
        runs.tokens(self.tokenizer, &long.text, |id, piece, (start, end)| {
            let place = long.places.span(start..end);
            let span = (self.character(place.start), self.character(place.end));
            kept.push(keep, id, piece, span, word)
        })?;
        self.words += 1;
        self.done = rest.bytes.end;
        Ok(Some(vec![Begin { at: from, before: vec![rest] }]))
    }

    /// A place near byte `end` in a word that begins at byte `start`, where another stretch may go on
    /// with the word; before it, where that stretch begins.
    fn inside(&self, start: usize, end: usize) -> Option<(usize, usize)> {
        let parts =
            |at: usize| self.text.is_char_boundary(at) && cut_before(self.text, at) == Some(at);
        let (least, most) = (start + self.seams.margin, end.saturating_sub(self.seams.margin));
        (least..=most).rev().take(TRIED).filter(|&at| parts(at)).find_map(|at| {
            let (from, _) = self.text[..at].char_indices().rev().nth(CONTEXT - 1)?;
            let solid = !self.text[from..at].contains(char::is_whitespace);
            (from > start && solid && parts(from)).then_some((from, at))
        })
    }
}

/// The word with the number `index`, normalized.
fn normalized(found: &mut PreTokenizedString, index: usize) -> Result<NormalizedString> {
    let mut taken = None;
    let take = |number: usize, word: NormalizedString| {
        if number == index {
            taken = Some(word.clone());
        }
        Ok(Some(word))
    };
    found.split(take).map_err(failed)?;
    Ok(taken.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_that_were_pushed() {
        let mut places = Places::default();
        // A mark put before, letters, one of two bytes in one and in four, one that two stand for.
        let pushed = [
            (3, 0..0),
            (1, 0..1),
            (1, 1..2),
            (1, 2..3),
            (2, 3..5),
            (2, 5..7),
            (2, 7..9),
            (2, 7..9),
            (1, 9..10),
            (1, 9..10),
            (1, 10..11),
            (1, 12..13),
        ];
        let mut want = Vec::new();
        for (bytes, place) in pushed {
            places.push(bytes, place.clone());
            want.extend(std::iter::repeat_n(place, bytes));
        }
        places.close();
        let got: Vec<_> = (0..want.len()).map(|at| places.span(at..at + 1)).collect();
        assert_eq!(got, want);
        assert_eq!(places.span(4..8), 1..5);
        assert!(places.entries.len() < 9, "{}", places.entries.len());
    }
}
