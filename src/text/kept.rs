//! The tokens of a text that are kept, before special tokens are put around them.

use std::ops::Range;

use tokenizers::Encoding;

use crate::error::{Result, fail};
use crate::text::strings::Strings;

/// Which tokens of a text are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    First(usize),
    Last(usize),
}

/// Tokens of a text, all lists of one length; and how many the text has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Kept {
    pub(crate) ids: Vec<u32>,
    pub(crate) pieces: Strings,
    /// In characters of the text.
    pub(crate) spans: Vec<[u32; 2]>,
    pub(crate) words: Vec<u32>,
    /// Tokens of the text, kept or not.
    pub(crate) count: usize,
}

impl Kept {
    /// Adds the next token where `keep` wants it.
    pub(crate) fn push(
        &mut self,
        keep: Keep,
        id: u32,
        piece: &str,
        (start, end): (usize, usize),
        word: usize,
    ) -> Result<()> {
        self.count += 1;
        match keep {
            Keep::First(most) if self.ids.len() >= most => return Ok(()),
            Keep::First(_) => {}
            // Now and then, so that a token is moved once.
            Keep::Last(most) if self.ids.len() >= most.saturating_mul(2).saturating_add(1024) => {
                self.drop_first(self.ids.len() - most);
            }
            Keep::Last(_) => {}
        }
        let narrow = |at: usize| {
            let long = |e| fail!(Text, "the text is too long: {at} characters").with_source(e);
            u32::try_from(at).map_err(long)
        };
        let (span, word) = ([narrow(start)?, narrow(end)?], narrow(word)?);
        if !self.pieces.push(piece) {
            return Err(fail!(Text, "the text is too long: its tokens are spelt in over 4 GiB"));
        }
        self.ids.push(id);
        self.spans.push(span);
        self.words.push(word);
        Ok(())
    }

    fn drop_first(&mut self, count: usize) {
        self.ids.drain(..count);
        self.spans.drain(..count);
        self.words.drain(..count);
        self.pieces.drop_first(count);
    }

    /// Drops all but the `most` tokens that `keep` names.
    pub(crate) fn cut(&mut self, keep: Keep) {
        match keep {
            Keep::First(most) => {
                self.ids.truncate(most);
                self.spans.truncate(most);
                self.words.truncate(most);
                self.pieces.truncate(most);
            }
            Keep::Last(most) => self.drop_first(self.ids.len().saturating_sub(most)),
        }
    }

    /// The tokens of `rows` as the crate `tokenizers` has them, of token type `kind`.
    pub(crate) fn encoding(&self, rows: Range<usize>, kind: u32) -> Encoding {
        let count = rows.len();
        let spans = self.spans[rows.clone()].iter();
        Encoding::new(
            self.ids[rows.clone()].to_vec(),
            vec![kind; count],
            rows.clone().map(|row| self.pieces[row].to_owned()).collect(),
            self.words[rows].iter().map(|&word| Some(word)).collect(),
            spans.map(|&[start, end]| (start as usize, end as usize)).collect(),
            vec![0; count],
            vec![1; count],
            Vec::new(),
            Default::default(),
        )
    }
}

/// How many tokens stay of a text of `first`, and of the second of a pair, where `room` is left: the
/// longer is cut first (`longest_first`; the crate's `truncate_encodings`).
pub(crate) fn lengths(first: usize, second: Option<usize>, room: usize) -> (usize, usize) {
    let Some(second) = second else { return (first.min(room), 0) };
    if first.saturating_add(second) <= room {
        return (first, second);
    }
    let (short, long) = (first.min(second), room.saturating_sub(first.min(second)));
    let (short, long) = match short > room || short.max(long) + short > room {
        true => (room / 2, room / 2 + room % 2),
        false => (short, short.max(long)),
    };
    if first > second { (long, short) } else { (short, long) }
}

#[cfg(test)]
mod tests {
    use tokenizers::{TruncationParams, TruncationStrategy};

    use super::*;

    #[test]
    fn pairs_are_cut_as_the_crate_cuts_them() {
        for (first, second, room) in
            (0..9).flat_map(|a| (0..9).flat_map(move |b| (0..20).map(move |room| (a, b, room))))
        {
            let of = |count: usize| {
                let all = Kept {
                    ids: vec![0; count],
                    pieces: (0..count).map(|_| "").collect(),
                    spans: vec![[0, 0]; count],
                    words: vec![0; count],
                    count,
                };
                all.encoding(0..count, 0)
            };
            let params = TruncationParams {
                max_length: room,
                strategy: TruncationStrategy::LongestFirst,
                ..TruncationParams::default()
            };
            let want = tokenizers::utils::truncation::truncate_encodings(
                of(first),
                Some(of(second)),
                &params,
            );
            let (a, b) = want.unwrap();
            let want = (a.len(), b.unwrap().len());
            assert_eq!(lengths(first, Some(second), room), want, "{first} {second} {room}");
        }
        assert_eq!((lengths(5, None, 3), lengths(2, None, 3)), ((3, 0), (2, 0)));
    }
}
