//! Writing results down: the formats, and the one way all of them are fed.
//!
//! A writer is made from a [`Header`], is given texts one by one in the caller's order, and is
//! finished; only `json`, whose totals stand before its results, holds them all. Nothing here
//! computes a vector or decides where a file goes.

mod array;
pub mod file;
#[cfg(feature = "server")]
mod join;
pub mod json;
pub mod jsonl;
pub mod npy;
pub mod npz;
pub mod safetensors;
mod zip;

use std::fmt;
use std::io::{Seek, Write};
use std::path::Path;
use std::str::FromStr;

pub use file::AtomicFile;
#[cfg(feature = "server")]
pub(crate) use join::join;

use crate::embeddings::{Embeddings, Header, Rows, TextEmbedding};
use crate::error::{Error, Result, fail};

/// A way to write results down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// One JSON object.
    Json,
    /// One JSON object a text and line.
    Jsonl,
    /// One NumPy array; for one vector a text.
    Npy,
    /// NumPy arrays in a zip archive.
    Npz,
    /// Tensors as Hugging Face stores them.
    Safetensors,
}

impl Format {
    const ALL: [Self; 5] = [Self::Json, Self::Jsonl, Self::Npy, Self::Npz, Self::Safetensors];

    /// The format of a file, by the ending of its name, in either case.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) for an ending that is not known or missing,
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for parquet.
    pub fn from_path(path: &Path) -> Result<Self> {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some(ending) => {
                ending.to_ascii_lowercase().parse().map_err(|error: Error| error.at(path.display()))
            }
            None => Err(fail!(
                Usage,
                "{}: the name has no ending that says the format: use one of {}, or name the format",
                path.display(),
                endings()
            )),
        }
    }

    /// Whether it is text that can be written to a pipe; the others need a file to seek in.
    pub fn is_text(self) -> bool {
        matches!(self, Self::Json | Self::Jsonl)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Jsonl => "jsonl",
            Self::Npy => "npy",
            Self::Npz => "npz",
            Self::Safetensors => "safetensors",
        }
    }
}

fn endings() -> String {
    Format::ALL.map(|format| format!(".{format}")).join(", ")
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "parquet" {
            return Err(fail!(
                Unsupported,
                "format `parquet` is not there yet: use npz or safetensors"
            ));
        }
        Self::ALL.into_iter().find(|format| format.name() == text).ok_or_else(|| {
            fail!(
                Usage,
                "format `{text}` is not known: use one of {}",
                Self::ALL.map(Self::name).join(", ")
            )
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A writer that has begun. `W` is what it writes to.
pub trait Sink<W> {
    /// Takes the next text; indices run from 0 without a gap.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) where writing failed,
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) for a text whose shape is not the header's or
    /// that is out of order, [`ErrorKind::NotFinite`](crate::ErrorKind::NotFinite) for NaN in JSON.
    fn push(&mut self, text: TextEmbedding) -> Result<()>;

    /// Writes what is still to be written, and gives back what was written to.
    ///
    /// # Errors
    /// As [`Sink::push`].
    fn finish(self: Box<Self>) -> Result<W>;
}

/// A writer of any format.
///
/// # Errors
/// As the `start` of the format: npy refuses rows that are tokens or words.
pub fn start<W: Write + Seek + Send + 'static>(
    format: Format,
    out: W,
    header: Header,
) -> Result<Box<dyn Sink<W> + Send>> {
    Ok(match format {
        Format::Json | Format::Jsonl => return start_text(format, out, header),
        Format::Npy => Box::new(npy::NpyWriter::start(out, header)?),
        Format::Npz => Box::new(npz::NpzWriter::start(out, header)?),
        Format::Safetensors => Box::new(safetensors::SafetensorsWriter::start(out, header)?),
    })
}

/// A writer of a text format, to something that cannot seek, such as standard output.
///
/// # Errors
/// [`ErrorKind::Usage`](crate::ErrorKind::Usage) for the other formats.
pub fn start_text<W: Write + Send + 'static>(
    format: Format,
    out: W,
    header: Header,
) -> Result<Box<dyn Sink<W> + Send>> {
    match format {
        Format::Json => Ok(Box::new(json::JsonWriter::start(out, header))),
        Format::Jsonl => Ok(Box::new(jsonl::JsonlWriter::start(out, header))),
        _ => Err(fail!(
            Usage,
            "{format} cannot be written to a pipe: name a file, or use json or jsonl"
        )),
    }
}

/// A writer to a file that appears, whole, when it is finished; dropped before, it leaves nothing.
pub struct FileSink(Box<dyn Sink<AtomicFile> + Send>);

impl FileSink {
    /// Begins the file `path` in `format`, or the one its ending names.
    ///
    /// # Errors
    /// As [`Format::from_path`], [`AtomicFile::create`] and [`start`].
    pub fn create(path: &Path, format: Option<Format>, header: Header) -> Result<Self> {
        let format = format.map_or_else(|| Format::from_path(path), Ok)?;
        start(format, AtomicFile::create(path)?, header).map(Self)
    }

    /// As [`Sink::push`].
    ///
    /// # Errors
    /// As [`Sink::push`].
    pub fn push(&mut self, text: TextEmbedding) -> Result<()> {
        self.0.push(text)
    }

    /// Ends the file and puts it in its place.
    ///
    /// # Errors
    /// As [`Sink::finish`] and [`AtomicFile::commit`].
    pub fn finish(self) -> Result<()> {
        self.0.finish()?.commit()
    }
}

/// Writes a whole result to the file `path` in `format`, or the one its ending names.
///
/// # Errors
/// As the methods of [`FileSink`].
pub fn write_file(path: &Path, format: Option<Format>, embeddings: Embeddings) -> Result<()> {
    let mut sink = FileSink::create(path, format, embeddings.header())?;
    embeddings.texts.into_iter().try_for_each(|text| sink.push(text))?;
    sink.finish()
}

/// A text must have the header's shape and the index `expected`.
fn check(header: &Header, text: &TextEmbedding, expected: usize) -> Result<()> {
    let TextEmbedding { index, rows, values, .. } = text;
    if *index != expected {
        return Err(fail!(
            Usage,
            "text {index} was given to the writer where text {expected} was due"
        ));
    }
    let described = match header.rows {
        Rows::Texts => 1,
        Rows::Tokens => text.tokens.len(),
        Rows::Words => text.words.len(),
    };
    let wanted = header.layer_axis * rows * header.width;
    if described != *rows || values.len() != wanted || values.precision() != header.precision {
        return Err(fail!(
            Usage,
            "text {index} has {} {} numbers for {rows} rows, {described} of them described; wanted {wanted} {} \
             numbers: {} layers x {rows} rows x {}",
            values.len(),
            values.precision(),
            header.precision,
            header.layer_axis,
            header.width
        ));
    }
    Ok(())
}

/// A failure to write; what the failing file says names it.
fn broken(source: std::io::Error) -> Error {
    fail!(Io, "the results could not be written: {source}").with_source(source)
}

#[cfg(test)]
mod tests;
