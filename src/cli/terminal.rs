//! What a person reads: notes and errors on standard error, a line each, and writing to standard
//! output without a panic where it is closed.

use std::error::Error as StdError;
use std::io::{self, Write};

use clap::error::{ContextKind, ContextValue, ErrorKind as ParseError};
use everylayer::quote::visible;
use everylayer::{Error, ErrorKind, Result, Setting};

/// Characters of a sentence; what is quoted in one is less.
const LONGEST: usize = 4000;

/// Says `sentence`. Where standard error is closed there is nobody to tell.
pub fn note(sentence: &str) {
    let shown = visible(&one_line(sentence), LONGEST);
    let _ = writeln!(io::stderr(), "everylayer: {shown}");
}

/// Says what went wrong.
pub fn error(sentence: &str) {
    note(&format!("error: {sentence}"));
}

/// `error` with the options that change what it suggests to change.
pub fn with_options(error: &Error) -> String {
    let option = |setting: Setting| match setting {
        Setting::Layers => Some("--layers"),
        Setting::Combine => Some("--combine"),
        Setting::MaxTokens => Some("--max-tokens"),
        Setting::Overflow => Some("--overflow"),
        Setting::Device => Some("--device"),
        Setting::Dtype => Some("--dtype"),
        Setting::BatchTokens => Some("--batch-tokens"),
        Setting::Coop => Some("--coop"),
        Setting::Columns => Some("--keep"),
    };
    format!("{error}{}", Setting::suffix(error.settings(), option))
}

/// Writes `bytes` to standard output.
///
/// # Errors
/// `Io`, with the system's reason as its source.
pub fn print(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|e| {
        let said = format!("standard output could not be written: {e}");
        Error::new(ErrorKind::Io, said).with_source(e)
    })
}

/// Whether `error` comes of a reader that closed its end of a pipe.
pub fn is_broken_pipe(error: &Error) -> bool {
    let mut cause: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(found) = cause {
        if let Some(e) = found.downcast_ref::<io::Error>() {
            return e.kind() == io::ErrorKind::BrokenPipe;
        }
        cause = found.source();
    }
    false
}

/// Prints what clap has to say of a call that is not one: help and version as asked for, else one
/// sentence.
pub fn parse_error(parse: &clap::Error) -> u8 {
    match parse.kind() {
        ParseError::DisplayHelp | ParseError::DisplayVersion => {
            return match parse.print() {
                Err(e) if e.kind() != io::ErrorKind::BrokenPipe => 1,
                _ => 0,
            };
        }
        ParseError::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = parse.print();
        }
        _ => error(&sentence(parse)),
    }
    2
}

/// The library's sentence where it refused a value, else clap's, with its tip.
fn sentence(parse: &clap::Error) -> String {
    let ours = parse.source().and_then(|source| source.downcast_ref::<Error>());
    if let Some(ours) = ours {
        return match parse.get(ContextKind::InvalidArg) {
            Some(ContextValue::String(arg)) => {
                format!("{}: {ours}", arg.split([' ', '[']).next().unwrap_or_default())
            }
            _ => ours.to_string(),
        };
    }
    let said = parse.render().to_string();
    let mut parts = said.split("\n\n").map(one_line);
    let first = parts.next().unwrap_or_default();
    let first = first.strip_prefix("error: ").unwrap_or(&first);
    // Of `--layers` and others some values alone have names.
    let first = match first.split_once(" [possible values: ") {
        Some((said, _)) if said.ends_with("but none was supplied") => said,
        _ => first,
    };
    let tips: String =
        parts.filter_map(|part| part.strip_prefix("tip: ").map(|tip| format!("; {tip}"))).collect();
    format!("{first}{tips}; see --help")
}

/// `text` on one line: what comes from drivers and parsers may have several.
fn one_line(text: &str) -> String {
    let parts = text.lines().map(str::trim).filter(|line| !line.is_empty());
    parts.collect::<Vec<_>>().join(" ")
}
