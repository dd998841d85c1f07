//! From the log of finished texts to the output, in the memory of a few texts.

use std::io::Write;
use std::path::{Path, PathBuf};

use everylayer::capture::Precision;
use everylayer::embeddings::{Embeddings, Header, TextEmbedding, Values};
use everylayer::output::{AtomicFile, Extras, FileSink, Format};
use everylayer::{Error, ErrorKind, Result};

use super::fault;
use super::result_log::LogReader;
use super::resume_dir::{AGAIN, Done, ResumeDir};

/// Texts that become int8 at a time.
const BATCH: usize = 64;

/// Writes the output `path`; `header` is of the results in f32.
///
/// # Errors
/// As [`FileSink`], and `Io` where the log cannot be read.
pub fn assemble(
    part: &ResumeDir,
    done: &Done,
    (path, format, index): (&Path, Format, Option<PathBuf>),
    header: &Header,
    precision: Precision,
    extras: Extras,
) -> Result<()> {
    let stored = if precision == Precision::Int8 { Precision::F32 } else { precision };
    let read = |e: std::io::Error| {
        let said = format!("{}: {e}: {AGAIN}", part.texts().display());
        Error::new(ErrorKind::Io, said).with_source(e)
    };
    let texts = || LogReader::open(&part.texts(), done.bytes, stored).map_err(read);
    let scratch = Some(part.folder.clone());
    let last = header.stored(precision);
    let mut range = Range::default();
    if precision == Precision::Int8 {
        for text in texts()? {
            range.add(&text.map_err(read)?.0, header);
        }
    }
    let ranges = Embeddings::new(header.clone(), range.ends(header)).ranges()?;
    let extras = Extras { scratch, ranges, ..extras };
    let mut sink = FileSink::create_with(path, Some(format), last, &extras)?;
    let mut written = 0;
    let index = match index {
        Some(index) => {
            let all = texts()?.map(|text| text.map(|(text, _)| text.index).map_err(read));
            Some((write_index(&index, all)?, index))
        }
        None => None,
    };
    if precision != Precision::Int8 {
        for text in texts()? {
            let (text, kept) = text.map_err(read)?;
            sink.push_kept(text, kept)?;
            written += 1;
        }
        all_there(part, done, written)?;
        return place(sink, index);
    }
    let mut batch = Vec::new();
    let mut all = texts()?;
    loop {
        let next = all.next().transpose().map_err(read)?;
        let ends = next.is_none();
        batch.extend(next);
        if batch.len() == BATCH || ends {
            let (texts, kept): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
            // The two ends make the range of any batch that of all vectors.
            let ends = range.ends(header);
            let skip = ends.len();
            let texts = ends.into_iter().chain(texts).collect();
            let texts = Embeddings::new(header.clone(), texts).quantize(precision)?.texts;
            for (text, kept) in texts.into_iter().skip(skip).zip(kept) {
                sink.push_kept(text, kept)?;
                written += 1;
            }
        }
        if ends {
            all_there(part, done, written)?;
            return place(sink, index);
        }
    }
}

/// Of the log of `part`, `written` texts went to the output: all that are `done`.
fn all_there(part: &ResumeDir, done: &Done, written: usize) -> Result<()> {
    if written == done.texts {
        return Ok(());
    }
    let log = part.texts();
    let (log, texts) = (log.display(), done.texts);
    let said = format!("{log}: {written} texts are in it, expected {texts}: {AGAIN}");
    Err(Error::new(ErrorKind::Text, said))
}

/// Puts the output in its place, and then its `index`. That of another output is away by then, so that a
/// kill in between leaves an array without a list, never with a wrong one.
fn place(sink: FileSink, index: Option<(AtomicFile, PathBuf)>) -> Result<()> {
    let file = sink.end()?;
    let Some((index, path)) = index else {
        return file.commit();
    };
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            let said = format!("{}: {e}: remove it, or name another output", path.display());
            return Err(Error::new(ErrorKind::Io, said).with_source(e));
        }
        _ => {}
    }
    fault::at("place array", 0);
    file.commit()?;
    fault::at("place index", 0);
    index.commit()
}

/// The file that says which rows are in the array `path`.
pub fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".json");
    name.into()
}

/// Writes `{"index":[..]}`, which will be the file `path`.
fn write_index(path: &Path, all: impl Iterator<Item = Result<usize>>) -> Result<AtomicFile> {
    let failed = |e: std::io::Error| {
        Error::new(ErrorKind::Io, format!("{}: {e}", path.display())).with_source(e)
    };
    let mut file = std::io::BufWriter::new(AtomicFile::create(path)?);
    file.write_all(b"{\"index\":[").map_err(failed)?;
    for (i, index) in all.enumerate() {
        let comma = if i == 0 { "" } else { "," };
        write!(file, "{comma}{}", index?).map_err(failed)?;
    }
    file.write_all(b"]}\n").map_err(failed)?;
    file.into_inner().map_err(|e| failed(e.into_error()))
}

/// The smallest and the largest value of each coordinate, (layer axis, width).
#[derive(Default)]
struct Range {
    low: Vec<f32>,
    high: Vec<f32>,
    rows: usize,
}

impl Range {
    fn add(&mut self, text: &TextEmbedding, header: &Header) {
        let Values::F32(values) = &text.values else { return };
        let width = header.width;
        if text.rows > 0 && self.rows == 0 {
            (0..header.layer_axis).for_each(|layer| {
                let start = layer * text.rows * width;
                self.low.extend_from_slice(&values[start..start + width]);
            });
            self.high = self.low.clone();
        }
        self.rows += text.rows;
        for (i, row) in values.chunks(width.max(1)).enumerate() {
            let layer = i / text.rows.max(1) * width;
            for (j, &x) in row.iter().enumerate() {
                self.low[layer + j] = self.low[layer + j].min(x);
                self.high[layer + j] = self.high[layer + j].max(x);
            }
        }
    }

    /// Two texts of one row; none where there are too few rows for a range, which is an error of
    /// whoever quantises.
    fn ends(&self, header: &Header) -> Vec<TextEmbedding> {
        let text = |values: &Vec<f32>| TextEmbedding::new(0, 1, Values::F32(values.clone()));
        debug_assert!(self.low.is_empty() || self.low.len() == header.layer_axis * header.width);
        if self.rows < 2 { Vec::new() } else { vec![text(&self.low), text(&self.high)] }
    }
}
