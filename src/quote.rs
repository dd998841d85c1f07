//! Text of others in a message: of a client, of a file. It is cut, and nothing in it is hidden.

use std::fmt;

/// Characters of a quote at most. A message has two of them, so that it quotes 200 characters.
pub const MOST: usize = 100;

/// Whether a terminal or a page does otherwise than show it: control characters, C1 among them, and
/// what turns the direction of text, parts its lines or has no width.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
        )
}

/// `text` with what is hidden in it escaped, in `most` characters; `...` after them where more
/// would follow.
pub fn visible(text: &str, most: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(4 * most));
    let mut left = most;
    for c in text.chars() {
        let escaped = is_hidden(c).then(|| format!("\\u{:04x}", u32::from(c)));
        let Some(rest) = left.checked_sub(escaped.as_ref().map_or(1, String::len)) else {
            shown.push_str("...");
            break;
        };
        left = rest;
        match escaped {
            Some(escaped) => shown.push_str(&escaped),
            None => shown.push(c),
        }
    }
    shown
}

/// What is written of `text` in a message: [`visible`], in [`MOST`] characters.
pub fn quote(text: impl fmt::Display) -> String {
    visible(&text.to_string(), MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_is_escaped_and_what_is_long_cut() {
        for (text, most, want) in [
            ("", 0, ""),
            ("abc", 3, "abc"),
            ("abcd", 3, "abc..."),
            ("é漢🚀x", 3, "é漢🚀..."),
            ("a\u{9b}2J", 99, r"a\u009b2J"),
            ("\u{7f}\u{85}\r\n\t\0", 99, r"\u007f\u0085\u000d\u000a\u0009\u0000"),
            ("\u{202e}\u{2066}\u{200f}\u{feff}", 99, r"\u202e\u2066\u200f\ufeff"),
            // An escape is whole, or is not there.
            ("ab\u{9b}", 7, "ab..."),
            ("ab\u{9b}", 8, r"ab\u009b"),
        ] {
            assert_eq!(visible(text, most), want, "{text:?}");
        }
        for text in ["\u{9b}", "a", "🚀", "\u{e0041}"] {
            let quoted = quote(text.repeat(1000));
            assert!(quoted.chars().count() <= MOST + 3 && quoted.ends_with("..."), "{quoted}");
        }
    }
}
