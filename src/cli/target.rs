//! Where results go and in which format: a file that appears whole, or standard output.

use std::io::{BufWriter, Cursor, IsTerminal, Stdout, stdout};
use std::path::{Path, PathBuf};

use everylayer::embeddings::{Header, TextEmbedding};
use everylayer::output::{self, Extras, FileSink, Format, Kept, Sink};
use everylayer::{Error, ErrorKind, Result};

use super::input::Input;
use super::terminal;

/// A place for results; nothing is written yet.
#[derive(Debug, Clone)]
pub enum Target {
    /// A file.
    File(PathBuf, Format),
    /// Standard output.
    Stdout(Format),
}

impl Target {
    /// The place and the format that the words of the call name, or that fit the `input`.
    ///
    /// # Errors
    /// `Usage` for an ending that is not known, and for bytes that would go to a terminal.
    pub fn choose(file: Option<PathBuf>, format: Option<Format>, input: &Input) -> Result<Self> {
        if let Some(path) = file.filter(|path| path != Path::new("-")) {
            if path.is_dir() {
                let shown = path.display();
                let said = format!("{shown} is a folder: name a file in it, such as vectors.npy");
                return Err(Error::new(ErrorKind::Usage, said));
            }
            let format = match (format, Format::from_path(&path)) {
                (Some(format), Ok(ending)) if format != ending => {
                    let said = format!(
                        "--format says {format} and the ending of {} says {ending}: leave out \
                         --format, or use a name that ends in .{format}",
                        path.display()
                    );
                    return Err(Error::new(ErrorKind::Usage, said));
                }
                (Some(format), _) => format,
                (None, ending) => ending?,
            };
            return Ok(Self::File(path, format));
        }
        let format = format.unwrap_or_else(|| default_format(input));
        if !format.is_text() && stdout().is_terminal() {
            return Err(Error::new(
                ErrorKind::Usage,
                format!(
                    "{format} is binary and is not written to a terminal: give a file with --output"
                ),
            ));
        }
        Ok(Self::Stdout(format))
    }

    /// What people call it.
    pub fn name(&self) -> String {
        match self {
            Self::File(path, _) => path.display().to_string(),
            Self::Stdout(_) => "standard output".to_owned(),
        }
    }

    /// Whether results go to a terminal, where a bar would stand between them.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Stdout(_)) && stdout().is_terminal()
    }

    /// The format.
    pub fn format(&self) -> Format {
        match self {
            Self::File(_, format) | Self::Stdout(format) => *format,
        }
    }

    /// Begins to write.
    ///
    /// # Errors
    /// As [`FileSink::create`] and [`output::start`].
    pub fn start(self, header: Header, extras: &Extras) -> Result<Writer> {
        Ok(match self {
            Self::File(path, format) => {
                Writer::File(FileSink::create_with(&path, Some(format), header, extras)?)
            }
            Self::Stdout(format) if format.is_text() => {
                Writer::Text(output::start_text(format, BufWriter::new(stdout()), header, extras)?)
            }
            Self::Stdout(format) => {
                Writer::Held(output::start_with(format, Cursor::new(Vec::new()), header, extras)?)
            }
        })
    }
}

/// The format on standard output where none is named.
pub fn default_format(input: &Input) -> Format {
    if input.is_words() || (!input.is_stdin() && stdout().is_terminal()) {
        Format::Json
    } else {
        Format::Jsonl
    }
}

/// Results being written.
pub enum Writer {
    /// To a file.
    File(FileSink),
    /// To standard output, as they come.
    Text(Box<dyn Sink<BufWriter<Stdout>> + Send>),
    /// To memory, and to standard output at the end: a pipe cannot be sought in.
    Held(Box<dyn Sink<Cursor<Vec<u8>>> + Send>),
}

impl Writer {
    /// Takes the next text.
    ///
    /// # Errors
    /// As [`Sink::push_kept`].
    pub fn push(&mut self, text: TextEmbedding, kept: Vec<Kept>) -> Result<()> {
        match self {
            Self::File(sink) => sink.push_kept(text, kept),
            Self::Text(sink) => sink.push_kept(text, kept),
            Self::Held(sink) => sink.push_kept(text, kept),
        }
    }

    /// Ends: the file is in its place, or standard output has everything.
    ///
    /// # Errors
    /// As [`Sink::finish`].
    pub fn finish(self) -> Result<()> {
        match self {
            Self::File(sink) => sink.finish(),
            Self::Text(sink) => sink.finish().map(drop),
            Self::Held(sink) => terminal::print(sink.finish()?.get_ref()),
        }
    }
}
