//! Where texts come from: the words of the call, a file by its ending, or lines on standard input.
//!
//! A file is read twice, first to count its texts and find what is wrong with them before any work
//! is done, then chunk by chunk, so that no file has to fit into memory. What is done with the
//! texts is not known here.

mod ahead;
mod bad;
mod form;
#[cfg(test)]
mod fuzz;
mod guard;
mod json;
mod lines;
mod open;
mod pages;
mod quotes;
mod seen;
mod table;
mod thrift;
mod values;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use everylayer::{Error, ErrorKind, Result, Text};

use everylayer::output::{ColumnKind, Kept, Kinds};

use super::args::InputArgs;
pub use ahead::{Ahead, broke_off};
pub use bad::Bad;
use form::{FIELD, Form};
use lines::Lines;
use open::Packing;
use seen::Seen;

/// Lines read ahead of the work on standard input.
const AHEAD: usize = 4096;

/// A text and where it stands: the line of a file, the number of an argument.
#[derive(Debug)]
pub struct InputText {
    /// The text or pair.
    pub text: Text<'static>,
    /// From 1.
    pub line: u64,
    /// The row of the whole input, from 0.
    pub row: usize,
    /// Values of the columns that are carried along.
    pub kept: Vec<Kept>,
}

impl InputText {
    fn new(text: String, line: u64) -> Self {
        Self { text: text.into(), line, row: 0, kept: Vec::new() }
    }
}

/// What a first look at all rows found.
#[derive(Debug)]
pub struct Survey {
    /// Rows, bad ones included.
    pub rows: usize,
    /// What the columns that are carried along hold.
    pub kinds: Vec<ColumnKind>,
    /// Which of them hold values of several kinds, and so become text.
    pub mixed: Vec<String>,
}

/// Texts one after the other.
type Rows = Box<dyn Iterator<Item = Result<InputText, Bad>> + Send>;

/// A place that texts come from; nothing is read yet.
#[derive(Debug)]
pub struct Input {
    origin: Origin,
    field: Option<String>,
    keep: Vec<String>,
    /// Columns of parquet keep their type: the output is parquet too.
    exact: bool,
    /// The file as it was first looked at, where it can be read more than once.
    seen: OnceLock<Arc<Seen>>,
}

#[derive(Debug)]
enum Origin {
    Words(Vec<String>),
    Stdin,
    File(PathBuf, Form, Packing),
}

/// What a person calls standard input.
const STDIN: &str = "standard input";

impl Input {
    /// The place that the words of the call name.
    ///
    /// # Errors
    /// `Usage` where they name none and nobody pipes lines in, for an ending that is not known,
    /// and for a field where there are none.
    pub fn choose(args: InputArgs) -> Result<Self> {
        let InputArgs { texts, input, field } = args;
        let origin = match input {
            Some(path) if path == Path::new("-") => Origin::Stdin,
            Some(path) => {
                let (form, packing) = Form::of(&path)?;
                Origin::File(path, form, packing)
            }
            None if !texts.is_empty() => Origin::Words(texts),
            None if std::io::stdin().is_terminal() => {
                return Err(usage(
                    "there are no texts: pass them as arguments, give a file with --input, or \
                     pipe lines in",
                ));
            }
            None => Origin::Stdin,
        };
        let fields = matches!(&origin, Origin::File(_, form, _) if *form != Form::Lines);
        match &field {
            Some(field) if !fields => Err(usage(&format!(
                "plain text has no field `{field}`: --field is for .jsonl, .json, .csv, .tsv and .parquet"
            ))),
            _ => Ok(Self { origin, field, keep: Vec::new(), exact: false, seen: OnceLock::new() }),
        }
    }

    /// Carries the columns `keep` along; where the output is parquet, those of parquet as they are.
    ///
    /// # Errors
    /// `Usage` where the input has no columns, or cannot be read twice.
    pub fn keep(&mut self, keep: Vec<String>, parquet: bool) -> Result<()> {
        let columns = matches!(&self.origin, Origin::File(_, form, _) if *form != Form::Lines);
        if !keep.is_empty() && (!columns || self.file().is_none()) {
            return Err(usage(
                "--keep copies columns of a file: give a .jsonl, .csv, .tsv or .parquet \
                 with --input",
            ));
        }
        self.keep = keep;
        self.exact = parquet && matches!(self.origin, Origin::File(_, Form::Parquet, _));
        Ok(())
    }

    /// The file that the texts are in, where it can be read more than once.
    pub fn file(&self) -> Option<&Path> {
        match &self.origin {
            // A pipe with a name has an ending, too.
            Origin::File(path, ..) if path.is_file() || !path.exists() => Some(path),
            _ => None,
        }
    }

    /// The file or pipe that the texts are in, where they are in one with a name.
    pub fn path(&self) -> Option<&Path> {
        match &self.origin {
            Origin::File(path, ..) => Some(path),
            _ => None,
        }
    }

    /// The field that the text is in.
    pub fn field(&self) -> &str {
        self.field.as_deref().unwrap_or(FIELD)
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
            Origin::File(path, ..) => path.display().to_string(),
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
        Ok(self.survey(false)?.map(|survey| survey.rows))
    }

    /// Looks at every row, passing over bad ones where they are `spared`; `None` where rows can be
    /// read but once.
    ///
    /// # Errors
    /// As [`Input::count`].
    pub fn survey(&self, spared: bool) -> Result<Option<Survey>> {
        let (path, form, packing) = match &self.origin {
            Origin::Words(words) => {
                let (kinds, mixed) = Default::default();
                return Ok(Some(Survey { rows: words.len(), kinds, mixed }));
            }
            Origin::File(path, form, packing) if self.file().is_some() => (path, *form, *packing),
            _ => return Ok(None),
        };
        let mut rows = 0;
        let mut kinds = vec![Kinds::default(); self.keep.len()];
        for row in self.rows(path, form, packing)? {
            match row {
                Ok(item) => kinds.iter_mut().zip(&item.kept).for_each(|(k, v)| k.add(v)),
                Err(bad) if spared && !bad.fatal => {}
                Err(bad) => return Err(bad.error),
            }
            rows += 1;
        }
        if rows == 0 {
            return Err(self.empty());
        }
        if self.exact {
            let kinds = table::kinds(&self.name(), self.seen(path)?.open()?, &self.keep)?;
            return Ok(Some(Survey { rows, kinds, mixed: Vec::new() }));
        }
        let mixed = self.keep.iter().zip(&kinds).filter(|(_, kinds)| kinds.is_mixed());
        let mixed = mixed.map(|(name, _)| name.clone()).collect();
        Ok(Some(Survey { rows, kinds: kinds.into_iter().map(Kinds::kind).collect(), mixed }))
    }

    /// The error for no texts at all.
    pub fn empty(&self) -> Error {
        Error::new(ErrorKind::Text, format!("{} has no texts", self.name()))
    }

    /// Begins to read.
    ///
    /// # Errors
    /// As [`Input::count`].
    pub fn texts(&self) -> Result<TextReader> {
        let feed = match &self.origin {
            Origin::Words(words) => {
                let items = words.clone().into_iter().zip(1..);
                Feed::Rows(Box::new(items.map(|(t, line)| Ok(InputText::new(t, line)))))
            }
            Origin::File(path, form, packing) => Feed::Rows(self.rows(path, *form, *packing)?),
            Origin::Stdin => Feed::Lines(stdin_lines()),
        };
        Ok(TextReader { feed, failed: None, row: 0, seen: self.seen.get().cloned() })
    }

    fn rows(&self, path: &Path, form: Form, packing: Packing) -> Result<Rows> {
        let name = path.display().to_string();
        if self.file().is_none() {
            let pipe = seen::open(path)?;
            return form.rows(packing.open(pipe, &name)?, &name, self.field(), &self.keep);
        }
        let file = self.seen(path)?.open()?;
        if form == Form::Parquet {
            return table::rows(&name, file, self.field(), &self.keep, self.exact);
        }
        form.rows(packing.open(file, &name)?, &name, self.field(), &self.keep)
    }

    /// The file `path` as it was first looked at, which is now where nobody has.
    fn seen(&self, path: &Path) -> Result<&Arc<Seen>> {
        if self.seen.get().is_none() {
            let _ = self.seen.set(Arc::new(Seen::look(path)?));
        }
        self.seen.get().ok_or_else(|| self.empty())
    }

    /// Size and checksum of the file; `None` where nothing was read, or it can be read but once.
    pub fn checksum(&self) -> Option<String> {
        self.seen.get().map(|seen| seen.checksum())
    }
}

/// Texts being read.
pub struct TextReader {
    feed: Feed,
    /// What went wrong after texts that were good.
    failed: Option<Bad>,
    /// The next row, from 0.
    row: usize,
    /// The file that they are in.
    seen: Option<Arc<Seen>>,
}

enum Feed {
    Rows(Rows),
    /// Filled by a thread, so that what is there can be told from what is to come.
    Lines(Ahead<Result<InputText, Bad>>),
}

impl TextReader {
    /// The row that comes next, from 0.
    pub fn next_row(&self) -> usize {
        self.row
    }

    /// Holds the file against what it was when it was first looked at.
    ///
    /// # Errors
    /// `Text` where it is not as it was.
    pub fn unchanged(&self) -> Result<()> {
        self.seen.as_ref().map_or(Ok(()), |seen| seen.unchanged())
    }

    /// The next texts, at most `most`; none at the end. Of a stream, those that are there, waiting
    /// for the first alone.
    ///
    /// # Errors
    /// What is wrong with the first text, after those before it have been given.
    pub fn chunk(&mut self, most: usize) -> Result<Vec<InputText>> {
        Ok(self.rows(most, None)?)
    }

    /// [`TextReader::chunk`] that puts rows which are bad by themselves into `rejects` where that is
    /// given. Good and bad ones are `most` together.
    ///
    /// # Errors
    /// As [`TextReader::chunk`].
    pub fn rows(
        &mut self,
        most: usize,
        mut rejects: Option<&mut Vec<Bad>>,
    ) -> Result<Vec<InputText>, Bad> {
        if let Some(bad) = self.failed.take() {
            return Err(bad);
        }
        let (mut items, mut spared) = (Vec::new(), 0);
        while items.len() + spared < most {
            let next = match &mut self.feed {
                Feed::Rows(rows) => rows.next(),
                Feed::Lines(lines) if items.is_empty() && spared == 0 => lines.next()?,
                Feed::Lines(lines) => lines.ready().unwrap_or_else(|e| Some(Err(e.into()))),
            };
            if next.as_ref().is_none_or(|next| next.as_ref().is_err_and(|bad| bad.fatal)) {
                self.unchanged()?;
            }
            match next {
                Some(Ok(item)) => items.push(InputText { row: self.row, ..item }),
                Some(Err(bad)) => {
                    let bad = Bad { row: self.row, ..bad };
                    match &mut rejects {
                        Some(rejects) if !bad.fatal => {
                            rejects.push(bad);
                            spared += 1;
                        }
                        _ if items.is_empty() && spared == 0 => return Err(bad),
                        _ => {
                            self.failed = Some(bad);
                            break;
                        }
                    }
                }
                None => break,
            }
            self.row += 1;
        }
        Ok(items)
    }
}

/// Lines of standard input, read by a thread that ends with the process or with the reader.
fn stdin_lines() -> Ahead<Result<InputText, Bad>> {
    Ahead::start("reads standard input", AHEAD, |sender| {
        for line in Lines::new(std::io::stdin().lock(), STDIN) {
            let item = line.map(|(line, text)| InputText::new(text, line));
            if sender.send(item).is_err() {
                return;
            }
        }
    })
}

fn usage(said: &str) -> Error {
    Error::new(ErrorKind::Usage, said)
}
