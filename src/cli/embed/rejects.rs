//! Rows that are no text, or too long, as JSON lines: `row` as in `index`, `reason`, and `text`
//! where it is UTF-8.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use everylayer::output::AtomicFile;
use everylayer::{Error, ErrorKind, Result};
use serde::Serialize;

use crate::cli::input::Bad;

#[derive(Serialize)]
struct Line<'a> {
    row: usize,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

/// The log of them.
pub struct Rejects {
    path: PathBuf,
    out: BufWriter<File>,
    /// Bytes that are in it.
    pub bytes: u64,
    /// The log goes with this value.
    own: bool,
}

impl Rejects {
    /// Opens the log at `path`, of which the first `bytes` count.
    pub fn open(path: &Path, bytes: u64) -> io::Result<Self> {
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        file.set_len(bytes)?;
        file.seek(SeekFrom::Start(bytes))?;
        Ok(Self { path: path.to_owned(), out: BufWriter::new(file), bytes, own: false })
    }

    /// A log beside `place`, for a run that is not gone on with.
    ///
    /// # Errors
    /// `Io`.
    pub fn beside(place: &Path) -> Result<Self> {
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        let log = place.with_file_name(format!(".{name}.everylayer-{}.tmp", std::process::id()));
        let mut made = Self::open(&log, 0).map_err(|e| {
            let said = format!("{}: {e}: name another file with --rejects", place.display());
            Error::new(ErrorKind::Io, said).with_source(e)
        })?;
        made.own = true;
        Ok(made)
    }

    /// Appends a line.
    pub fn push(&mut self, bad: &Bad) -> io::Result<()> {
        let reason = bad.error.to_string();
        let line = Line { row: bad.row, reason, text: bad.text.as_deref() };
        let mut line = serde_json::to_vec(&line)?;
        line.push(b'\n');
        self.bytes += line.len() as u64;
        self.out.write_all(&line)
    }

    /// Waits until all of it is on the disk.
    pub fn sync(&mut self) -> io::Result<()> {
        self.out.flush()?;
        self.out.get_ref().sync_data()
    }

    /// Puts a copy at `place`, whole.
    ///
    /// # Errors
    /// `Io`.
    pub fn publish(mut self, place: &Path) -> Result<()> {
        let failed = |e: io::Error| {
            let said = format!("{}: {e}: name another file with --rejects", place.display());
            Error::new(ErrorKind::Io, said).with_source(e)
        };
        self.out.flush().map_err(failed)?;
        let mut file = AtomicFile::create(place)?;
        let mut log = File::open(&self.path).map_err(failed)?;
        io::copy(&mut log, &mut file).map_err(failed)?;
        file.commit()
    }
}

impl Drop for Rejects {
    fn drop(&mut self) {
        if self.own {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
