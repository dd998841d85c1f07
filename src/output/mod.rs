//! Writing results down: the formats, and the one way all of them are fed.
//!
//! A writer is made from a [`Header`], is given texts one by one in the caller's order, and is
//! finished. What must wait for its place waits in a file beside the output. Nothing here
//! computes a vector or decides where a file goes.

mod array;
#[cfg(feature = "server")]
mod arrow;
mod attention;
#[cfg(feature = "parquet")]
#[doc(hidden)]
pub mod cells;
#[cfg(feature = "parquet")]
mod columns;
pub mod file;
#[cfg(feature = "server")]
mod join;
pub mod json;
pub mod jsonl;
mod kept;
pub mod npy;
pub mod npz;
#[cfg(feature = "parquet")]
pub mod parquet;
pub mod safetensors;
mod spill;
mod zip;

use std::fmt;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

pub use attention::AttentionWriter;
#[cfg(feature = "parquet")]
pub use columns::table;
pub use file::AtomicFile;
pub use kept::{Kept, Kinds};
#[cfg(feature = "server")]
pub(crate) use {
    arrow::{TextDetails, stream as arrow_stream},
    join::{Extra, join},
};

use crate::capture::precision::Ranges;
use crate::embeddings::{Embeddings, Header, Rows, TextEmbedding};
use crate::error::{Error, Result, fail};
use crate::words::{plain, unknown};

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
    /// A table of columns, as Arrow and its kin read it.
    Parquet,
}

/// What is known of a format.
struct FormatRow {
    format: Format,
    /// Its name and the ending of its files.
    name: &'static str,
    keeps_columns: bool,
    is_text: bool,
}

/// A row a format, in the order messages list them; [`start_with`] has their writers.
const FORMATS: &[FormatRow] = &[
    FormatRow { format: Format::Json, name: "json", keeps_columns: true, is_text: true },
    FormatRow { format: Format::Jsonl, name: "jsonl", keeps_columns: true, is_text: true },
    FormatRow { format: Format::Npy, name: "npy", keeps_columns: false, is_text: false },
    FormatRow { format: Format::Npz, name: "npz", keeps_columns: false, is_text: false },
    FormatRow {
        format: Format::Safetensors,
        name: "safetensors",
        keeps_columns: false,
        is_text: false,
    },
    FormatRow { format: Format::Parquet, name: "parquet", keeps_columns: true, is_text: false },
];

impl Format {
    /// Every format there is, in the order messages list them.
    pub const ALL: [Self; FORMATS.len()] = {
        let mut all = [Self::Json; FORMATS.len()];
        let mut i = 0;
        while i < all.len() {
            all[i] = FORMATS[i].format;
            i += 1;
        }
        all
    };

    /// The names of those that `fit`, for a sentence: ``json, jsonl or parquet`` where `last` is
    /// `or`.
    pub fn names(fit: impl Fn(Self) -> bool, last: &str) -> String {
        let names: Vec<&str> =
            Self::ALL.into_iter().filter(|format| fit(*format)).map(Self::name).collect();
        match names.split_last() {
            Some((end, [])) => (*end).to_owned(),
            Some((end, names)) => format!("{} {last} {end}", names.join(", ")),
            None => String::new(),
        }
    }

    /// The format of a file, by the ending of its name, in either case.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) for an ending that is not known or missing.
    pub fn from_path(path: &Path) -> Result<Self> {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some(ending) => {
                ending.to_ascii_lowercase().parse().map_err(|error: Error| error.at(path.display()))
            }
            None => Err(fail!(
                Usage,
                "{}: the name has no known ending: use one of {}, or give the format",
                path.display(),
                endings()
            )),
        }
    }

    /// Whether columns of the input can stand beside its results.
    pub fn keeps_columns(self) -> bool {
        self.row().is_some_and(|row| row.keeps_columns)
    }

    /// Whether it is text that can be written to a pipe; the others need a file to seek in.
    pub fn is_text(self) -> bool {
        self.row().is_some_and(|row| row.is_text)
    }

    fn name(self) -> &'static str {
        self.row().map_or("", |row| row.name)
    }

    /// Its row; without one it has no name.
    fn row(self) -> Option<&'static FormatRow> {
        FORMATS.iter().find(|row| row.format == self)
    }
}

fn endings() -> String {
    Format::ALL.map(|format| format!(".{format}")).join(", ")
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let name = plain(text);
        let format = Self::ALL.into_iter().find(|format| format.name() == name);
        format.ok_or_else(|| unknown("format", text, &Self::ALL.map(Self::name)))
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

    /// [`Sink::push`] with a value for each of the [`Extras::columns`].
    ///
    /// # Errors
    /// As [`Sink::push`], and [`ErrorKind::Usage`](crate::ErrorKind::Usage) where the format has no
    /// place for them.
    fn push_kept(&mut self, text: TextEmbedding, kept: Vec<Kept>) -> Result<()> {
        if kept.is_empty() {
            return self.push(text);
        }
        let able = Format::names(Format::keeps_columns, "or");
        Err(fail!(Usage, "this format cannot hold input columns: use {able}"))
    }

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
    start_with(format, out, header, &Extras::default())
}

/// [`start`] with `extras`.
///
/// # Errors
/// As [`start`]; [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for parquet in a build
/// without it.
pub fn start_with<W: Write + Seek + Send + 'static>(
    format: Format,
    out: W,
    header: Header,
    extras: &Extras,
) -> Result<Box<dyn Sink<W> + Send>> {
    Ok(match format {
        Format::Json => Box::new(json::JsonWriter::start(out, header, extras)),
        Format::Jsonl => Box::new(jsonl::JsonlWriter::start(out, header, extras)),
        Format::Npy => Box::new(npy::NpyWriter::start(out, header, extras)?),
        Format::Npz => Box::new(npz::NpzWriter::start(out, header, extras)?),
        Format::Safetensors => {
            Box::new(safetensors::SafetensorsWriter::start(out, header, extras)?)
        }
        #[cfg(feature = "parquet")]
        Format::Parquet => Box::new(parquet::ParquetWriter::start(out, header, extras)?),
        #[cfg(not(feature = "parquet"))]
        Format::Parquet => {
            return Err(fail!(
                Unsupported,
                "this build cannot write parquet (feature \"parquet\" is off)"
            ));
        }
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
    extras: &Extras,
) -> Result<Box<dyn Sink<W> + Send>> {
    match format {
        Format::Json => Ok(Box::new(json::JsonWriter::start(out, header, extras))),
        Format::Jsonl => Ok(Box::new(jsonl::JsonlWriter::start(out, header, extras))),
        _ => Err(fail!(
            Usage,
            "{format} cannot be written to a pipe: name a file, or use {}",
            Format::names(Format::is_text, "or")
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
        Self::create_with(path, format, header, &Extras::default())
    }

    /// [`FileSink::create`] with `extras`. Without a scratch folder, that of the file is one.
    ///
    /// # Errors
    /// As [`FileSink::create`].
    pub fn create_with(
        path: &Path,
        format: Option<Format>,
        header: Header,
        extras: &Extras,
    ) -> Result<Self> {
        let format = format.map_or_else(|| Format::from_path(path), Ok)?;
        let file = match &extras.scratch {
            Some(folder) => AtomicFile::create_by(path, folder)?,
            None => AtomicFile::create(path)?,
        };
        let scratch = extras.scratch.clone().or_else(|| Some(file.folder().to_owned()));
        start_with(format, file, header, &Extras { scratch, ..extras.clone() }).map(Self)
    }

    /// As [`Sink::push_kept`].
    ///
    /// # Errors
    /// As [`Sink::push_kept`].
    pub fn push_kept(&mut self, text: TextEmbedding, kept: Vec<Kept>) -> Result<()> {
        self.0.push_kept(text, kept)
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
        self.end()?.commit()
    }

    /// Ends the file, which is not in its place yet.
    ///
    /// # Errors
    /// As [`Sink::finish`].
    pub fn end(self) -> Result<AtomicFile> {
        self.0.finish()
    }
}

/// Writes a whole result to the file `path` in `format`, or the one its ending names.
///
/// # Errors
/// As the methods of [`FileSink`].
pub fn write_file(path: &Path, format: Option<Format>, embeddings: Embeddings) -> Result<()> {
    let extras = Extras { ranges: embeddings.int8.clone(), ..Extras::default() };
    let mut sink = FileSink::create_with(path, format, embeddings.header().clone(), &extras)?;
    embeddings.texts.into_iter().try_for_each(|text| sink.push(text))?;
    sink.finish()
}

/// What a file says beyond the results, and how it is made.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Extras {
    /// Keys and values for the formats that have metadata: npz, safetensors and parquet.
    pub metadata: Vec<(String, String)>,
    /// Columns of the input that are carried along.
    pub columns: Vec<Column>,
    /// Indices may leave numbers out, as a part of a corpus does.
    pub gaps: bool,
    /// Of int8: what restores the numbers, for each row of the layer axis.
    pub ranges: Vec<Ranges>,
    /// The rows of the input that the output stands for, where npy has a row of NaN for each that is
    /// left out.
    pub filled: Option<std::ops::Range<usize>>,
    /// A folder for what does not fit into memory, on the file system of the output.
    pub scratch: Option<PathBuf>,
}

/// A column that is carried along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What its values are; only parquet needs to know.
    pub kind: ColumnKind,
}

/// What the values of a column are, null aside.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ColumnKind {
    /// true or false
    Bool,
    /// Whole numbers of 64 bits with a sign.
    Int,
    /// Whole numbers of 64 bits without a sign.
    UInt,
    /// Numbers of 64 bits.
    Float,
    /// Text; any other value as JSON.
    Text,
    /// Of a Parquet file whose columns keep their type in another.
    #[cfg(feature = "parquet")]
    Arrow(cells::CellKind),
}

impl Extras {
    fn names(&self) -> Vec<String> {
        self.columns.iter().map(|column| column.name.clone()).collect()
    }
}

/// The index that is due.
struct Order {
    next: usize,
    gaps: bool,
}

impl Order {
    fn new(extras: &Extras) -> Self {
        Self { next: 0, gaps: extras.gaps }
    }

    /// A text must have the header's shape and come after the one before it.
    fn check(&mut self, header: &Header, text: &TextEmbedding) -> Result<()> {
        let (index, next) = (text.index, self.next);
        if index < next || (index > next && !self.gaps) {
            return Err(fail!(Usage, "the writer received text {index}, expected text {next}"));
        }
        check(header, text)?;
        self.next = index + 1;
        Ok(())
    }
}

fn check(header: &Header, text: &TextEmbedding) -> Result<()> {
    let TextEmbedding { index, rows, values, .. } = text;
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
