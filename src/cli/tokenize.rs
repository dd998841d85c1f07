//! `everylayer tokenize`: what a model makes of texts before anything is computed.

mod table;

use std::io::IsTerminal;

use everylayer::embeddings::{TokenInfo, WordInfo};
use everylayer::encoder::Intake;
use everylayer::model::locate::locate_with_progress;
use everylayer::output::Format;
use everylayer::text::Tokens;
use everylayer::{Error, ErrorKind, Result, Text};
use serde::Serialize;

use super::args::TokenizeArgs;
use super::embed::Tally;
use super::input::Input;
use super::say;
use super::target::default_format;

/// Texts worked on at a time.
const CHUNK_TEXTS: usize = 4096;

/// The fields before `results`, in their order.
#[derive(Serialize)]
struct Head<'a> {
    model: &'a str,
    max_tokens: usize,
    truncated: usize,
    tokens_lost: usize,
}

/// What is said of one text.
#[derive(Serialize)]
struct Row {
    index: usize,
    text_tokens: usize,
    lost: usize,
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
    if let Some(format) = format.filter(|format| !format.is_text()) {
        let said = format!("tokens are not written as {format}: use json or jsonl");
        return Err(Error::new(ErrorKind::Usage, said));
    }
    input.count()?;
    let progress = !args.quiet && std::io::stderr().is_terminal();
    let source = locate_with_progress(&args.model.model, progress)?;
    let intake = Intake::open(source.as_ref())?;
    let capture = args.text.capture(&intake.pipeline().prompts)?;
    let limit = intake.limit(&capture)?;

    let mut tally = Tally::default();
    let mut rows: Vec<String> = Vec::new();
    let mut texts = input.texts()?;
    loop {
        let items = texts.chunk(CHUNK_TEXTS)?;
        if items.is_empty() {
            break;
        }
        for item in items {
            let tokens = intake.tokenize(std::slice::from_ref(&item.text), &capture);
            let tokens = tokens.map_err(|e| match input.place(item.line) {
                Some(place) if e.kind() != ErrorKind::Usage => e.at(place),
                _ => e,
            })?;
            for tokens in tokens {
                let row = row(tally.texts, &tokens, &item.text);
                tally.add(row.lost);
                rows.push(match format {
                    Some(_) => json(&row)?,
                    None => table::table(&row, &item.text.text),
                });
            }
        }
        if format != Some(Format::Json) {
            rows.push(String::new());
            say::print(rows.join("\n").as_bytes())?;
            rows.clear();
        }
    }
    if tally.texts == 0 {
        return Err(input.empty());
    }
    if format == Some(Format::Json) {
        let (truncated, tokens_lost) = (tally.cut, tally.lost);
        let model = source.name();
        let head = json(&Head { model: &model, max_tokens: limit, truncated, tokens_lost })?;
        let head = head.trim_end_matches('}');
        say::print(format!("{head},\"results\":[\n{}\n]}}\n", rows.join(",\n")).as_bytes())?;
    }
    if !args.quiet && tally.cut > 0 {
        say::note(&tally.cut_note(limit));
    }
    Ok(())
}

fn row(index: usize, tokens: &Tokens, text: &Text<'_>) -> Row {
    let info = |i: usize| {
        let span = tokens.spans[i].map(|end| end as usize);
        TokenInfo::new(tokens.pieces[i].to_owned(), tokens.ids[i], span, tokens.words[i])
    };
    let words = tokens.words(text).into_iter();
    Row {
        index,
        text_tokens: tokens.len(),
        lost: tokens.lost,
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
