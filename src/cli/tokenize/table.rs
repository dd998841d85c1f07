//! The tokens of a text as a table, for somebody who looks at a terminal.

use super::Row;

/// Widest that a token or a word is shown; longer ones are cut.
const WIDEST: usize = 28;

/// A heading and a line a token: its number, how the vocabulary writes it, its id, the characters
/// of the text that it stands for, and its word.
pub fn table(row: &Row, text: &str) -> String {
    let count = row.text_tokens;
    let tokens = if count == 1 { "token" } else { "tokens" };
    let lost = if row.lost > 0 { format!(", {} cut off", row.lost) } else { String::new() };
    let mut out = format!("{}: {}  ({count} {tokens}{lost})\n", row.index + 1, shown(text, 48));
    let names: Vec<String> = row.tokens.iter().map(|token| shown(&token.text, WIDEST)).collect();
    let widest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(5);
    out.push_str(&format!(
        "  {:>4}  {:<widest$}  {:>7}  {:>10}  word\n",
        "#", "token", "id", "chars"
    ));
    for (i, (token, name)) in row.tokens.iter().zip(&names).enumerate() {
        let (place, word) = match token.word {
            Some(word) => {
                let text = row.words.get(word as usize).map_or("", |word| word.text.as_str());
                (format!("{}..{}", token.start, token.end), shown(text, WIDEST))
            }
            None => ("-".to_owned(), "-".to_owned()),
        };
        let pad = widest.saturating_sub(name.chars().count());
        let line = format!("  {i:>4}  {name}{:pad$}  {:>7}  {place:>10}  {word}", "", token.id);
        out.push_str(&line);
        out.push('\n');
    }
    out
}

/// `text` on one line of at most `most` characters; what would move the cursor is written out.
fn shown(text: &str, most: usize) -> String {
    let mut out = String::new();
    for (i, c) in text.chars().enumerate() {
        if i == most {
            out.push('…');
            break;
        }
        match c {
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use everylayer::embeddings::{TokenInfo, WordInfo};

    use super::*;

    #[test]
    fn a_line_a_token() {
        let token = |text: &str, id, span, word| TokenInfo::new(text, id, span, word);
        let row = Row {
            index: 0,
            text_tokens: 3,
            lost: 2,
            ids: vec![101, 7632, 102],
            types: vec![0; 3],
            tokens: vec![
                token("[CLS]", 101, [0, 0], None),
                token("hi", 7632, [0, 2], Some(0)),
                token("[SEP]", 102, [0, 0], None),
            ],
            words: vec![WordInfo::new("Hi\u{1b}", [0, 3])],
        };
        let table = table(&row, "Hi\u{1b}\nthere");
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[0], "1: Hi\\u{1b}\\nthere  (3 tokens, 2 cut off)");
        assert_eq!(
            lines[1].split_whitespace().collect::<Vec<_>>(),
            ["#", "token", "id", "chars", "word"]
        );
        let cells = |i: usize| lines[i].split_whitespace().collect::<Vec<_>>();
        assert_eq!(cells(2), ["0", "[CLS]", "101", "-", "-"]);
        assert_eq!(cells(3), ["1", "hi", "7632", "0..2", "Hi\\u{1b}"]);
        assert_eq!(lines.len(), 5);
        assert_eq!(shown(&"x".repeat(60), 48).chars().count(), 49);
    }
}
