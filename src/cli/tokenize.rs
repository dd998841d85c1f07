//! `everylayer tokenize`: what a model makes of texts before anything is computed.

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
    let format = args.format.unwrap_or_else(|| default_format(&input));
    if !format.is_text() {
        let said = format!("tokens are not written as {format}: use json or jsonl");
        return Err(Error::new(ErrorKind::Usage, said));
    }
    input.count()?;
    let looked_at = !args.quiet && std::io::stderr().is_terminal();
    let source = locate_with_progress(&args.model.model, looked_at)?;
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
                rows.push(json(&row)?);
            }
        }
        if format == Format::Jsonl {
            rows.push(String::new());
            say::print(rows.join("\n").as_bytes())?;
            rows.clear();
        }
    }
    if tally.texts == 0 {
        return Err(input.empty());
    }
    if format == Format::Json {
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
    let info = |i: usize| TokenInfo {
        text: tokens.pieces[i].clone(),
        id: tokens.ids[i],
        start: tokens.spans[i][0] as usize,
        end: tokens.spans[i][1] as usize,
        word: tokens.words[i],
    };
    let words = tokens.words(text).into_iter();
    Row {
        index,
        text_tokens: tokens.len(),
        lost: tokens.lost,
        ids: tokens.ids.clone(),
        types: tokens.types.clone(),
        tokens: (0..tokens.len()).map(info).collect(),
        words: words
            .map(|w| WordInfo { text: w.text, start: w.start as usize, end: w.end as usize })
            .collect(),
    }
}

fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|e| Error::new(ErrorKind::Text, format!("not JSON: {e}")).with_source(e))
}
