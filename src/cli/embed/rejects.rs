//! Rows that are no text, or too long, as JSON lines: `row` as in `index`, `reason`, and `text`
//! where it is UTF-8.

use std::io::{self, Write};
use std::path::Path;

use everylayer::output::AtomicFile;
use everylayer::{Error, ErrorKind, Result};
use serde::Serialize;

use super::log::{Log, Mark, Records};
use crate::cli::input::Bad;

#[derive(Serialize)]
struct Line<'a> {
    row: usize,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

/// Where they go.
pub enum Rejects {
    /// Straight to their file, for a run that is not gone on with.
    Direct(Box<AtomicFile>),
    /// To a log, a line a record, from which the file is made when all are there.
    Logged(Log),
}

impl Rejects {
    /// Appends a line.
    pub fn push(&mut self, bad: &Bad) -> io::Result<()> {
        let reason = bad.error.to_string();
        let line = Line { row: bad.row, reason, text: bad.text.as_deref() };
        let mut line = serde_json::to_vec(&line)?;
        line.push(b'\n');
        match self {
            Self::Direct(file) => file.write_all(&line),
            Self::Logged(log) => {
                log.push(Mark { row: bad.row as u64, ..Mark::default() }, &line, &[])
            }
        }
    }
}

/// Writes the lines of the first `bytes` of the log at `log` to `place`.
///
/// # Errors
/// `Io`.
pub fn publish(log: &Path, bytes: u64, place: &Path) -> Result<()> {
    let failed = |e: io::Error| Error::new(ErrorKind::Io, e.to_string()).with_source(e);
    let mut file = AtomicFile::create(place)?;
    if bytes > 0 {
        for record in Records::open(log, bytes).map_err(|e| failed(e).at(log.display()))? {
            let record = record.map_err(|e| failed(e).at(log.display()))?;
            file.write_all(&record.head).map_err(failed)?;
        }
    }
    file.commit()
}
