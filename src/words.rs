//! How people spell the words of this crate's grammars: in any case, with `_` or `-`, and now and
//! then wrongly.

use crate::error::{Error, fail};
use crate::quote::quote;

/// `text` as grammars know it: without space around it, in lower case, `_` as `-`.
pub(crate) fn plain(text: &str) -> String {
    text.trim().to_ascii_lowercase().replace('_', "-")
}

/// The error for a `text` that is none of the words for `what`.
pub(crate) fn unknown(what: &str, text: &str, words: &[&str]) -> Error {
    unknown_but(what, text, words, None)
}

/// [`unknown`] for a `text` that others use for the word `meant`.
pub(crate) fn unknown_but(what: &str, text: &str, words: &[&str], meant: Option<&str>) -> Error {
    let meant = match meant.or_else(|| nearest(&plain(text), words.iter().copied())) {
        Some(word) => format!(" (did you mean `{word}`?)"),
        None => String::new(),
    };
    let text = quote(text);
    fail!(Usage, "unknown {what} `{text}`{meant}: use one of {}", words.join(", "))
}

/// The one of `words` that is spelt most like `word`, where no more than a slip or two lie between.
pub(crate) fn nearest<'w>(word: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let length = word.chars().count();
    // Longer words than these are no slip of a finger, and cost the square of their length.
    if length > 100 {
        return None;
    }
    let most = (length / 3).min(2);
    let near = words.into_iter().filter(|other| other.len() <= 400);
    let near =
        near.map(|other| (slips(word, other), other)).filter(|(n, _)| (1..=most).contains(n));
    near.min_by_key(|(n, _)| *n).map(|(_, other)| other)
}

/// Letters put in, left out, changed or swapped with the next one, to make one word of the other.
fn slips(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = changed.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_counted() {
        for (a, b, want) in [
            ("", "", 0),
            ("mean", "mean", 0),
            ("meen", "mean", 1),
            ("maen", "mean", 1),
            ("", "ab", 2),
        ] {
            assert_eq!((slips(a, b), slips(b, a)), (want, want), "{a} {b}");
        }
    }

    #[test]
    fn only_what_is_near_is_meant() {
        let words = ["bundled", "mean", "max", "mean-max"];
        for (word, want) in [
            ("bundeld", Some("bundled")),
            ("bundle", Some("bundled")),
            ("men", Some("mean")),
            ("meanmax", Some("mean-max")),
            ("median", Some("mean")),
            ("sentence", None),
            ("mi", None),
            ("x", None),
            // That is no slip.
            ("mean", None),
        ] {
            assert_eq!(nearest(word, words), want, "{word}");
        }
        assert_eq!(nearest(&"a".repeat(1000), words), None);
    }
}
