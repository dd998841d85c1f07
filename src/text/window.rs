//! Windows of a text that is longer than the limit: where each begins, and which tokens it is asked
//! for.
//!
//! A window is the special tokens at the start of the text, a stretch of its other tokens, and the
//! special tokens at its end. Two neighbours share `stride` tokens, as in Hugging Face's tokenizers;
//! the last window ends with the text and is as long as the others. A token is taken from the
//! window in which it stands farthest from a cut, of two alike from the first.

use std::ops::Range;

use crate::text::Tokens;
use crate::text::pack::Sequence;

/// One window of a text. Rows are those of the whole text's [`Tokens`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Tokens of the text that the window leaves out between its first special tokens and its
    /// others: row `t` of the text is row `t - shift` of the window.
    pub shift: usize,
    /// The special tokens at the start, the stretch of the text, the special tokens at the end.
    pub rows: [Range<usize>; 3],
    /// The rows that are taken from this window. The windows of a text take every row once, in
    /// order.
    pub keep: Range<usize>,
}

impl Window {
    /// The tokens of the window.
    pub fn sequence<'a>(&self, tokens: &'a Tokens) -> Sequence<'a> {
        Sequence { tokens, rows: self.rows.clone() }
    }

    /// [`Window::keep`], counted from the first row of the window.
    pub fn kept(&self) -> Range<usize> {
        self.keep.start - self.shift..self.keep.end - self.shift
    }
}

/// The stride of windows that hold `room` tokens beside the special ones, where the caller names
/// none: half of the window.
pub fn default_stride(room: usize) -> usize {
    room / 2
}

/// Splits `tokens` into windows of at most `limit` tokens; none where they are no more than that,
/// or where the limit leaves no room beside the special tokens. With `whole_words`, a word that
/// lies whole in a window is taken from one window.
pub fn windows(
    tokens: &Tokens,
    limit: usize,
    stride: Option<usize>,
    whole_words: bool,
) -> Vec<Window> {
    let all = tokens.len();
    let head = tokens.special.iter().take_while(|&&special| special).count();
    let tail = tokens.special[head..].iter().rev().take_while(|&&special| special).count();
    let room = limit.saturating_sub(head + tail);
    if all <= limit || room == 0 {
        return Vec::new();
    }
    let stride = stride.unwrap_or_else(|| default_stride(room)).min(room - 1);
    // The shift of the last window: it ends with the text.
    let last = all - limit;
    let mut shifts = vec![0];
    let mut at = 0;
    while at < last {
        at = (at + room - stride).min(last);
        shifts.push(at);
    }
    let mut cuts = vec![0];
    for pair in shifts.windows(2) {
        // The rows that both hold.
        let shared = head + pair[1]..head + pair[0] + room;
        let before = cuts.last().copied().unwrap_or(0);
        cuts.push(cut(tokens, &shared, whole_words).max(before));
    }
    cuts.push(all);
    let window = |(&shift, cut): (&usize, &[usize])| Window {
        shift,
        rows: [0..head, head + shift..head + shift + room, all - tail..all],
        keep: cut[0]..cut[1],
    };
    shifts.iter().zip(cuts.windows(2)).map(window).collect()
}

/// The first row that is taken from the later of two windows that share the rows `shared`.
fn cut(tokens: &Tokens, shared: &Range<usize>, whole_words: bool) -> usize {
    // Row t has `shared.end - 1 - t` rows after it in the one, `t - shared.start` before it in the other.
    let middle = (shared.start + shared.end).div_ceil(2);
    let words = &tokens.words;
    let split = words[middle - 1].is_some() && words[middle - 1] == words[middle];
    if !whole_words || !split {
        return middle;
    }
    let same = |word: &&Option<u32>| **word == words[middle];
    let start = middle - words[..middle].iter().rev().take_while(same).count();
    let end = middle + words[middle..].iter().take_while(same).count();
    match (start.checked_sub(shared.start), shared.end.checked_sub(end)) {
        (Some(before), Some(after)) if before <= after => end,
        (Some(_), _) => start,
        (None, Some(_)) => end,
        (None, None) => middle,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `head` and `tail` special tokens around words of these lengths.
    fn tokens(head: usize, words: &[usize], tail: usize) -> Tokens {
        let mut tokens = Tokens::default();
        tokens.words.extend(vec![None; head]);
        for (word, &length) in (0..).zip(words) {
            tokens.words.extend(vec![Some(word); length]);
        }
        let content = tokens.words.len() - head;
        tokens.words.extend(vec![None; tail]);
        tokens.special = [vec![true; head], vec![false; content], vec![true; tail]].concat();
        tokens.ids = (0..tokens.words.len() as u32).collect();
        tokens
    }

    #[test]
    fn neighbours_share_the_stride() {
        let text = tokens(1, &[1; 10], 1);
        let found = windows(&text, 6, Some(2), false);
        let rows: Vec<_> = found.iter().map(|w| w.rows[1].clone()).collect();
        assert_eq!(rows, [1..5, 3..7, 5..9, 7..11]);
        let keep: Vec<_> = found.iter().map(|w| w.keep.clone()).collect();
        assert_eq!(keep, [0..4, 4..6, 6..8, 8..12]);
        assert_eq!(found[3].kept(), 2..6);
        // The last is as long as the others.
        let rows: Vec<_> =
            windows(&text, 6, Some(0), false).iter().map(|w| w.rows[1].clone()).collect();
        assert_eq!(rows, [1..5, 5..9, 7..11]);
        assert_eq!(windows(&text, 6, None, false), found);
        assert!(windows(&text, 12, None, false).is_empty());
        assert!(windows(&text, 2, None, false).is_empty());
    }

    proptest! {
        #[test]
        fn every_row_is_taken_where_it_has_most_context(
            (head, tail) in (0_usize..3, 0_usize..3),
            words in prop::collection::vec(1_usize..8, 0..30),
            room in 1_usize..20,
            stride in prop::option::of(0_usize..20),
            whole in any::<bool>(),
        ) {
            let text = tokens(head, &words, tail);
            let limit = room + head + tail;
            let found = windows(&text, limit, stride.map(|s| s.min(room - 1)), whole);
            prop_assert_eq!(found.is_empty(), text.len() <= limit);
            let taken: Vec<usize> = found.iter().flat_map(|w| w.keep.clone()).collect();
            let every: Vec<usize> = (0..if found.is_empty() { 0 } else { text.len() }).collect();
            prop_assert_eq!(taken, every);
            let (first, last) = (head, text.len() - tail);
            // Rows between a stretch and the nearer cut; `None` where it is not whole in there.
            let context = |w: &Window, part: &Range<usize>| {
                let of = &w.rows[1];
                let left = part.start.checked_sub(of.start)?;
                let right = of.end.checked_sub(part.end)?;
                let left = if of.start == first { usize::MAX } else { left };
                Some(left.min(if of.end == last { usize::MAX } else { right }))
            };
            for window in &found {
                let ids: Vec<u32> = window.sequence(&text).ids().collect();
                prop_assert_eq!(ids.len(), limit);
                for (row, kept) in window.keep.clone().zip(window.kept()) {
                    prop_assert_eq!(ids[kept], row as u32);
                }
                if whole { continue; }
                for row in window.keep.clone().filter(|&row| !text.special[row]) {
                    let most = found.iter().filter_map(|w| context(w, &(row..row + 1))).max();
                    prop_assert_eq!(context(window, &(row..row + 1)), most);
                }
            }
            if !whole || found.is_empty() { return Ok(()); }
            let mut at = head;
            for length in words {
                let word = at..at + length;
                at = word.end;
                let most = found.iter().filter_map(|w| context(w, &word)).max();
                let Some(most) = most else { continue };
                let owner = found.iter().find(|w| w.keep.contains(&word.start)).unwrap();
                prop_assert!(owner.keep.end >= word.end, "word {:?} is split", word);
                prop_assert_eq!(context(owner, &word), Some(most));
            }
        }
    }
}
