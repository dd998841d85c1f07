//! The part of an output that is done, in a folder beside it: `.NAME.everylayer-part`.
//!
//! `texts` and `rejects` are logs; `journal` says which call they are of, and how much of them is
//! on the disk for sure. A run that is killed leaves the folder, and `--resume` goes on with it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use everylayer::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::rejects::Rejects;
use super::spool::Spool;

/// What a call is, word by word: a name and a value each. Runs of one call agree in all of it.
pub type Call = Vec<(String, String)>;

/// How far a run has come.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Done {
    /// Rows of the whole input before the next one.
    pub rows: usize,
    /// Texts written.
    pub texts: usize,
    /// Of these, cut ones, and the tokens that they lost.
    pub cut: usize,
    /// Tokens lost.
    pub lost: usize,
    /// Rows of vectors, on one row of the layer axis.
    pub vectors: usize,
    /// Bytes of the log of texts.
    pub bytes: u64,
    /// Bytes of the log of rejects.
    pub rejects: u64,
}

#[derive(Serialize, Deserialize)]
struct Journal {
    call: Call,
    done: Done,
}

/// The folder, held by this run alone.
#[derive(Debug)]
pub struct Part {
    /// The folder.
    pub folder: PathBuf,
    shown: String,
    call: Call,
    /// Unlocked where the process ends, however it ends.
    _lock: File,
}

impl Part {
    /// Makes the folder beside `output`, or takes up the one that is there where `resume` says so.
    /// Gives back how far that is.
    ///
    /// # Errors
    /// `Usage` where the part is of another call; `Io` where another run holds it, or where nothing
    /// can be written.
    pub fn open(output: &Path, call: Call, resume: bool) -> Result<(Self, Done)> {
        let shown = output.display().to_string();
        let folder = Self::folder(output);
        let failed = |e: io::Error| {
            let said = format!("{shown}: its part {} cannot be written: {e}", folder.display());
            Error::new(ErrorKind::Io, said).with_source(e)
        };
        fs::create_dir_all(&folder).map_err(failed)?;
        let lock = File::create(folder.join("lock")).map_err(failed)?;
        if let Err(fs::TryLockError::WouldBlock) = lock.try_lock() {
            let said = format!("{shown}: another run is writing it: wait for that, or end it");
            return Err(Error::new(ErrorKind::Io, said));
        }
        let part = Self { folder, shown, call, _lock: lock };
        let found = fs::read(part.path("journal")).ok();
        let found = found.and_then(|bytes| serde_json::from_slice::<Journal>(&bytes).ok());
        let done = match found {
            Some(journal) if resume => {
                part.check(&journal.call)?;
                journal.done
            }
            _ => Done::default(),
        };
        for entry in fs::read_dir(&part.folder).map_err(|e| part.failed(e))?.flatten() {
            // What a killed run was about to put in its place.
            if entry.file_name().to_string_lossy().ends_with(".tmp") {
                let _ = fs::remove_file(entry.path());
            }
        }
        part.write(&done)?;
        Ok((part, done))
    }

    /// Where the part of `output` lies.
    fn folder(output: &Path) -> PathBuf {
        let name = output.file_name().unwrap_or_default().to_string_lossy();
        output.with_file_name(format!(".{name}.everylayer-part"))
    }

    /// Whether a run was interrupted that would have made `output`.
    pub fn is_there(output: &Path) -> bool {
        Self::folder(output).join("journal").exists()
    }

    /// The run that was interrupted must have been this one.
    fn check(&self, old: &Call) -> Result<()> {
        let (shown, now) = (&self.shown, &self.call);
        let other = now.iter().find(|pair| !old.contains(pair));
        let other = other.or_else(|| old.iter().find(|pair| !now.contains(pair)));
        let Some((name, _)) = other else {
            return Ok(());
        };
        let of = |call: &Call| {
            let value = call.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
            value.unwrap_or("nothing").to_owned()
        };
        let said = format!(
            "{shown}: the interrupted run had {name} `{}`, this call has `{}`: call it as before, \
             or leave out --resume to begin anew",
            of(old),
            of(now)
        );
        Err(Error::new(ErrorKind::Usage, said))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The log of texts.
    pub fn texts(&self) -> PathBuf {
        self.path("texts")
    }

    /// Opens the logs where `done` ends them.
    ///
    /// # Errors
    /// `Io`.
    pub fn logs(&self, done: &Done, rejects: bool) -> Result<(Spool, Option<Rejects>)> {
        let spool = Spool::open(&self.texts(), done.bytes).map_err(|e| self.failed(e))?;
        let rejects = rejects.then(|| Rejects::open(&self.path("rejects"), done.rejects));
        Ok((spool, rejects.transpose().map_err(|e| self.failed(e))?))
    }

    /// Writes down how far the run is; the logs must be on the disk so far.
    ///
    /// # Errors
    /// `Io`.
    pub fn write(&self, done: &Done) -> Result<()> {
        let (new, place) = (self.path("journal.tmp"), self.path("journal"));
        let journal = Journal { call: self.call.clone(), done: done.clone() };
        let put = || {
            let mut file = File::create(&new)?;
            file.write_all(&serde_json::to_vec(&journal)?)?;
            file.sync_data()?;
            fs::rename(&new, &place)
        };
        put().map_err(|e| self.failed(e))
    }

    /// The output is in its place: away with the folder. Gives back the call that it was of.
    pub fn remove(self) -> Call {
        // Without its journal, what is left by a kill in between is the part of nothing.
        let _ = fs::remove_file(self.path("journal"));
        let _ = fs::remove_dir_all(&self.folder);
        self.call
    }

    /// An error of a file in the folder.
    pub fn failed(&self, e: io::Error) -> Error {
        let said = format!("{}: {e}: free some space or name another folder", self.shown);
        Error::new(ErrorKind::Io, said).with_source(e)
    }
}
