//! Words of a call that are no texts, though they stand where texts do: `-`, and names of files.

use std::io::Read;
use std::path::{Path, PathBuf};

use everylayer::{Error, ErrorKind, Result};

use super::{Cli, Command};
use crate::cli::terminal;

/// Endings of files that texts come in.
const ENDINGS: [&str; 9] = ["txt", "jsonl", "ndjson", "json", "csv", "tsv", "parquet", "gz", "zst"];
/// Bytes of standard input that are read for a page of one text or two.
const MOST: u64 = 1 << 20;

impl Cli {
    /// The same call with `-` taken for standard input; what follows `--`, where they are `parted`,
    /// is texts.
    ///
    /// # Errors
    /// `Usage` where texts are the names of files; `Io` and `Text` for standard input.
    pub fn settle(mut self, parted: bool) -> Result<Self> {
        let input = match &self.command {
            Command::Embed(args) => args.input.input.as_deref(),
            Command::Tokenize(args) => args.input.input.as_deref(),
            Command::Attention(args) => args.input.input.as_deref(),
            Command::Bench(args) => args.texts.as_deref(),
            _ => None,
        };
        let on_cluster = matches!(&self.command, Command::Embed(args) if args.cluster.on.is_some());
        if let Some(folder) = input.filter(|path| path.is_dir() && !on_cluster) {
            let said = format!("{} is a folder: name a file of texts in it", folder.display());
            return Err(Error::new(ErrorKind::Usage, said));
        }
        if parted {
            return Ok(self);
        }
        const OPTION: &str = "name it with --input to read its texts";
        match &mut self.command {
            Command::Embed(args) => {
                let quiet = args.quiet;
                settle(&mut args.input.texts, &mut args.input.input, quiet, OPTION)?;
            }
            Command::Tokenize(args) => {
                let quiet = args.quiet;
                settle(&mut args.input.texts, &mut args.input.input, quiet, OPTION)?;
            }
            Command::Attention(args) => {
                let quiet = args.quiet;
                settle(&mut args.input.texts, &mut args.input.input, quiet, OPTION)?;
            }
            Command::Explore(args) => {
                let mut input = None;
                let option = "write its text, or pipe it in after `-`";
                settle(&mut args.texts, &mut input, args.quiet, option)?;
                if input.is_some() {
                    args.texts = piped()?;
                }
            }
            _ => {}
        }
        Ok(self)
    }
}

/// Makes an `input` of `texts` that are `-` alone, and refuses names of files; `option` says what to
/// do with one.
fn settle(
    texts: &mut Vec<String>,
    input: &mut Option<PathBuf>,
    quiet: bool,
    option: &str,
) -> Result<()> {
    let off = |said: String| Err(Error::new(ErrorKind::Usage, said));
    if texts.iter().any(|text| text == "-") {
        if texts.len() > 1 {
            return off(
                "`-` means standard input and must be the only text: remove the others, or put \
                 all after `--` to pass them as text"
                    .to_owned(),
            );
        }
        texts.clear();
        *input = Some("-".into());
        return Ok(());
    }
    let [first, rest @ ..] = texts.as_slice() else { return Ok(()) };
    if texts.iter().all(|text| is_file(text)) {
        let more = if rest.is_empty() { "" } else { ", one in a call" };
        return off(format!(
            "`{first}` is a file: {option}{more}, or write `-- {first}` to pass it as text"
        ));
    }
    if rest.is_empty() && first.contains(['/', '\\']) && Path::new(first).is_dir() {
        return off(format!(
            "`{first}` is a folder: name a file in it with --input, a model with --model, or write \
             `-- {first}` to pass it as text"
        ));
    }
    let ending = Path::new(first).extension().and_then(|ending| ending.to_str());
    let looks = ending.is_some_and(|ending| ENDINGS.contains(&ending.to_lowercase().as_str()));
    if rest.is_empty() && looks && !first.contains(char::is_whitespace) && !quiet {
        terminal::note(&format!("`{first}` is read as text: no file has that name"));
    }
    Ok(())
}

/// Whether `text` names something that can be read: a file or a pipe, not a folder.
fn is_file(text: &str) -> bool {
    // No system has longer names, and some texts are long.
    text.len() < 4096 && std::fs::metadata(text).is_ok_and(|found| !found.is_dir())
}

/// A text or two, a line each, from standard input.
fn piped() -> Result<Vec<String>> {
    let failed = |kind, said: String| Error::new(kind, format!("standard input: {said}"));
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .take(MOST + 1)
        .read_to_string(&mut text)
        .map_err(|e| failed(ErrorKind::Io, e.to_string()).with_source(e))?;
    if text.len() as u64 > MOST {
        return Err(failed(ErrorKind::Text, format!("there are more than {MOST} bytes")));
    }
    let lines = text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned);
    let lines: Vec<String> = lines.collect();
    match lines.len() {
        1 | 2 => Ok(lines),
        0 => Err(failed(ErrorKind::Text, "there are no texts".to_owned())),
        n => Err(failed(ErrorKind::Text, format!("a page shows one text or two, not {n} lines"))),
    }
}
