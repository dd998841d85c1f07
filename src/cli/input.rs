//! Where texts come from: the words of the call, a file by its ending, or lines on standard input.
//!
//! A file is read twice, first to count its texts and find what is wrong with them before any work
//! is done, then chunk by chunk, so that no file has to fit into memory. What is done with the
//! texts is not known here.

mod form;
mod lines;

use std::fs::File;
use std::io::{BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};

use everylayer::{Error, ErrorKind, Result, Text};

use super::args::InputArgs;
use form::Form;
use lines::Lines;

/// Lines read ahead of the work on standard input.
const AHEAD: usize = 4096;

/// A text and where it stands: the line of a file, the number of an argument.
#[derive(Debug)]
pub struct Item {
    /// The text or pair.
    pub text: Text<'static>,
    /// From 1.
    pub line: u64,
}

/// Texts one after the other.
type Rows = Box<dyn Iterator<Item = Result<Item>>>;

/// A place that texts come from; nothing is read yet.
#[derive(Debug)]
pub struct Input {
    origin: Origin,
    field: Option<String>,
}

#[derive(Debug)]
enum Origin {
    Words(Vec<String>),
    Stdin,
    File(PathBuf, Form),
}

/// What a person calls standard input.
const STDIN: &str = "standard input";

impl Input {
    /// The place that the words of the call name.
    ///
    /// # Errors
    /// `Usage` where they name none and nobody pipes lines in, for an ending that is not known,
    /// and for a field where there are none; `Unsupported` for parquet.
    pub fn choose(args: InputArgs) -> Result<Self> {
        let InputArgs { texts, input, field } = args;
        let origin = match input {
            Some(path) if path == Path::new("-") => Origin::Stdin,
            Some(path) => {
                let form = Form::of(&path)?;
                Origin::File(path, form)
            }
            None if !texts.is_empty() => Origin::Words(texts),
            None if std::io::stdin().is_terminal() => {
                return Err(usage(
                    "there are no texts: write them after the command, name a file with --input, \
                     or pipe lines in",
                ));
            }
            None => Origin::Stdin,
        };
        let lines = matches!(&origin, Origin::Stdin | Origin::File(_, Form::Lines));
        match &field {
            Some(field) if lines => Err(usage(&format!(
                "lines of text have no field `{field}`: --field is for .jsonl, .csv and .tsv"
            ))),
            _ => Ok(Self { origin, field }),
        }
    }

    /// Whether the texts are arguments of the call.
    pub fn is_words(&self) -> bool {
        matches!(self.origin, Origin::Words(_))
    }

    /// Whether the texts are lines on standard input.
    pub fn is_stdin(&self) -> bool {
        matches!(self.origin, Origin::Stdin)
    }

    /// Where texts come from, for people.
    pub fn name(&self) -> String {
        match &self.origin {
            Origin::Words(_) => "the command line".to_owned(),
            Origin::Stdin => STDIN.to_owned(),
            Origin::File(path, _) => path.display().to_string(),
        }
    }

    /// The place of the text at `line`; `None` for the only argument of a call.
    pub fn place(&self, line: u64) -> Option<String> {
        match &self.origin {
            Origin::Words(words) if words.len() == 1 => None,
            Origin::Words(_) => Some(format!("text {line}")),
            _ => Some(format!("{}: line {line}", self.name())),
        }
    }

    /// How many texts there are, each of them looked at; `None` where they can be read but once.
    ///
    /// # Errors
    /// `Io` and `NotFound` for the file, `Text` for a text in it or where there is none.
    pub fn count(&self) -> Result<Option<usize>> {
        match &self.origin {
            Origin::Words(words) => Ok(Some(words.len())),
            Origin::Stdin => Ok(None),
            // A pipe with a name has an ending, too.
            Origin::File(path, _) if path.exists() && !path.is_file() => Ok(None),
            Origin::File(path, form) => {
                let mut rows = self.rows(path, *form)?;
                match rows.try_fold(0, |n, row| row.map(|_| n + 1))? {
                    0 => Err(self.empty()),
                    n => Ok(Some(n)),
                }
            }
        }
    }

    /// The error for no texts at all.
    pub fn empty(&self) -> Error {
        Error::new(ErrorKind::Text, format!("{} has no texts", self.name()))
    }

    /// Begins to read.
    ///
    /// # Errors
    /// As [`Input::count`].
    pub fn texts(&self) -> Result<Texts> {
        let feed = match &self.origin {
            Origin::Words(words) => {
                let items = words.clone().into_iter().zip(1..);
                Feed::Rows(Box::new(items.map(|(t, line)| Ok(Item { text: t.into(), line }))))
            }
            Origin::File(path, form) => Feed::Rows(self.rows(path, *form)?),
            Origin::Stdin => Feed::Lines(stdin_lines()),
        };
        Ok(Texts { feed, failed: None })
    }

    fn rows(&self, path: &Path, form: Form) -> Result<Rows> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|e| {
            let kind = match e.kind() {
                std::io::ErrorKind::NotFound => ErrorKind::NotFound,
                _ => ErrorKind::Io,
            };
            let said = format!("{name}: {e}: name a file that can be read, or `-` for pipes");
            Error::new(kind, said).with_source(e)
        })?;
        form.rows(BufReader::with_capacity(1 << 16, file), &name, self.field.as_deref())
    }
}

/// Texts being read.
pub struct Texts {
    feed: Feed,
    /// What went wrong after texts that were good.
    failed: Option<Error>,
}

enum Feed {
    Rows(Rows),
    /// Filled by a thread, so that what is there can be told from what is to come.
    Lines(Receiver<Result<Item>>),
}

impl Texts {
    /// The next texts, at most `most`; none at the end. Of a stream, those that are there, waiting
    /// for the first alone.
    ///
    /// # Errors
    /// What is wrong with the first text, after those before it have been given.
    pub fn chunk(&mut self, most: usize) -> Result<Vec<Item>> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let mut items = Vec::new();
        while items.len() < most {
            let next = match &mut self.feed {
                Feed::Rows(rows) => rows.next(),
                Feed::Lines(lines) if items.is_empty() => lines.recv().ok(),
                Feed::Lines(lines) => lines.try_recv().ok(),
            };
            match next {
                Some(Ok(item)) => items.push(item),
                Some(Err(error)) if items.is_empty() => return Err(error),
                Some(Err(error)) => {
                    self.failed = Some(error);
                    break;
                }
                None => break,
            }
        }
        Ok(items)
    }
}

/// Lines of standard input, read by a thread that ends with the process or with the reader.
fn stdin_lines() -> Receiver<Result<Item>> {
    let (sender, receiver) = sync_channel(AHEAD);
    std::thread::spawn(move || {
        for line in Lines::new(std::io::stdin().lock(), STDIN) {
            let item = line.map(|(line, text)| Item { text: text.into(), line });
            if sender.send(item).is_err() {
                return;
            }
        }
    });
    receiver
}

fn usage(said: &str) -> Error {
    Error::new(ErrorKind::Usage, said)
}
