//! `everylayer tokenize`: what a model makes of texts before anything is computed.

use std::io::IsTerminal;

use everylayer::embeddings::{TokenInfo, WordInfo};
use everylayer::encoder::Preprocessor;
use everylayer::model::locate::locate_with_progress;
use everylayer::output::Format;
use everylayer::quote::is_hidden;
use everylayer::text::Tokens;
use everylayer::{Error, ErrorKind, Result, Text};
use serde::Serialize;

use super::args::TokenizeArgs;
use super::embed::Tally;
use super::input::Input;
use super::target::default_format;
use super::terminal;

/// Texts worked on at a time.
const CHUNK_TEXTS: usize = 4096;

/// The fields before `results`, in their order.
#[derive(Serialize)]
struct Opening<'a> {
    model: &'a str,
    max_tokens: usize,
    truncated: usize,
    tokens_lost: usize,
}

/// What is said of one text.
#[derive(Serialize)]
struct TextTokens {
    index: usize,
    text_tokens: usize,
    tokens_lost: usize,
    ids: Vec<u32>,
    types: Vec<u32>,
    tokens: Vec<TokenInfo>,
    words: Vec<WordInfo>,
}

/// Runs the command.
pub fn run(args: TokenizeArgs) -> Result<()> {
    let input = Input::choose(args.input)?;
    // For people there is a table.
    let looked_at = std::io::stdout().is_terminal();
    let format = args.format.or_else(|| (!looked_at).then(|| default_format(&input)));
    input.count()?;
    let progress = !args.quiet && std::io::stderr().is_terminal();
    let source = locate_with_progress(&args.model.model, progress)?;
    let preprocessor = Preprocessor::open(source.as_ref())?;
    let capture = args.text.capture(&preprocessor.pipeline().prompts)?;
    let limit = preprocessor.limit(&capture)?;

    let mut tally = Tally::default();
    let mut rows: Vec<String> = Vec::new();
    let mut texts = input.texts()?;
    loop {
        let items = texts.chunk(CHUNK_TEXTS)?;
        if items.is_empty() {
            break;
        }
        for item in items {
            let tokens = preprocessor.tokenize(std::slice::from_ref(&item.text), &capture);
            let tokens = tokens.map_err(|e| match input.place(item.line) {
                Some(place) if e.kind() != ErrorKind::Usage => e.at(place),
                _ => e,
            })?;
            for tokens in tokens {
                let row = row(tally.texts, &tokens, &item.text);
                tally.add(row.tokens_lost);
                rows.push(match format {
                    Some(_) => json(&row)?,
                    None => table(&row, &item.text.text),
                });
            }
        }
        if format != Some(Format::Json) {
            rows.push(String::new());
            terminal::print(rows.join("\n").as_bytes())?;
            rows.clear();
        }
    }
    if tally.texts == 0 {
        return Err(input.empty());
    }
    if format == Some(Format::Json) {
        let (truncated, tokens_lost) = (tally.cut, tally.lost);
        let model = source.name();
        let head = json(&Opening { model: &model, max_tokens: limit, truncated, tokens_lost })?;
        let head = head.trim_end_matches('}');
        terminal::print(format!("{head},\"results\":[\n{}\n]}}\n", rows.join(",\n")).as_bytes())?;
    }
    if !args.quiet && tally.cut > 0 {
        terminal::note(&tally.cut_note(limit));
    }
    Ok(())
}

/// What `--format jsonl` prints of the text `index`, whose tokens are `tokens`.
///
/// # Errors
/// `Text` where it cannot be written as JSON.
pub fn json_row(index: usize, tokens: &Tokens, text: &Text<'_>) -> Result<String> {
    json(&row(index, tokens, text))
}

fn row(index: usize, tokens: &Tokens, text: &Text<'_>) -> TextTokens {
    let info = |i: usize| {
        let span = tokens.spans[i].map(|end| end as usize);
        TokenInfo::new(tokens.pieces[i].to_owned(), tokens.ids[i], span, tokens.words[i])
    };
    let words = tokens.words(text).into_iter();
    TextTokens {
        index,
        text_tokens: tokens.len(),
        tokens_lost: tokens.lost,
        ids: tokens.ids.clone(),
        types: tokens.types.clone(),
        tokens: (0..tokens.len()).map(info).collect(),
        words: words.map(|w| WordInfo::new(w.text, [w.start as usize, w.end as usize])).collect(),
    }
}

fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|e| Error::new(ErrorKind::Text, format!("not JSON: {e}")).with_source(e))
}

/// Widest that a token or a word is shown; longer ones are cut.
const WIDEST: usize = 28;

/// A heading and a line a token: its number, how the vocabulary writes it, its id, the characters
/// of the text that it stands for, and its word.
fn table(row: &TextTokens, text: &str) -> String {
    let count = row.text_tokens;
    let tokens = if count == 1 { "token" } else { "tokens" };
    let lost =
        if row.tokens_lost > 0 { format!(", {} cut off", row.tokens_lost) } else { String::new() };
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
            c if is_hidden(c) => out.extend(c.escape_default()),
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
        let row = TextTokens {
            index: 0,
            text_tokens: 3,
            tokens_lost: 2,
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
