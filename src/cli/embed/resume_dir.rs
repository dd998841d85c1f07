//! The part of an output that is done, in a folder beside it: `.NAME.everylayer-part`.
//!
//! `texts` and `rejects` are logs; `journal` says which call they are of, and how much of them is
//! on the disk for sure: a line of JSON, and a line with its CRC-32. A run that is killed leaves the
//! folder, and `--resume` goes on with it, where all its checksums hold.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use everylayer::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::log::{self, Log, Scan};
use super::own;

/// Bytes of a journal at most.
const MOST: u64 = 1 << 20;
/// What is to be done where something is damaged.
pub const AGAIN: &str = "run it again without --resume";

/// What a call is, word by word: a name and a value each. Runs of one call agree in all of it.
pub type CallWords = Vec<(String, String)>;

/// How far a run has come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
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
    call: CallWords,
    done: Done,
}

impl Journal {
    /// The one at `path`; `None` where there is none.
    fn read(path: &Path) -> io::Result<Option<Self>> {
        let file = match own::open(path, File::options().read(true)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut text = String::new();
        file.take(MOST).read_to_string(&mut text)?;
        let whole = text.trim_end_matches('\n').rsplit_once('\n').filter(|(json, sum)| {
            u32::from_str_radix(sum, 16) == Ok(crc32fast::hash(json.as_bytes()))
        });
        let journal = whole.and_then(|(json, _)| serde_json::from_str(json).ok());
        journal.map(Some).ok_or_else(|| io::Error::other("it is damaged"))
    }

    fn text(&self) -> io::Result<String> {
        let json = serde_json::to_string(self)?;
        let sum = crc32fast::hash(json.as_bytes());
        Ok(format!("{json}\n{sum:08x}\n"))
    }
}

/// The folder, held by this run alone.
#[derive(Debug)]
pub struct ResumeDir {
    /// The folder.
    pub folder: PathBuf,
    shown: String,
    call: CallWords,
    /// Unlocked where the process ends, however it ends.
    _lock: File,
}

impl ResumeDir {
    /// How its name ends.
    pub const ENDING: &str = ".everylayer-part";

    /// Makes the folder beside `output`, or takes up the one that is there where `resume` says so.
    /// Gives back how far that is, and whether its end was damaged and is to be done again.
    ///
    /// # Errors
    /// `Usage` where the part is of another call; `Io` where another run holds it, where it is
    /// damaged, where something else lies there, or where nothing can be written.
    pub fn open(output: &Path, call: CallWords, resume: bool) -> Result<(Self, Done, bool)> {
        let shown = output.display().to_string();
        let folder = Self::folder(output);
        let failed = |e: io::Error| {
            let said = format!("{shown}: its part {} cannot be written: {e}", folder.display());
            Error::new(ErrorKind::Io, said).with_source(e)
        };
        own::claim(&folder).map_err(failed)?;
        let lock = folder.join("lock");
        let lock = own::open(&lock, File::options().create(true).truncate(false).write(true));
        let lock = lock.map_err(failed)?;
        if let Err(fs::TryLockError::WouldBlock) = lock.try_lock() {
            let said = format!("{shown}: another run is writing it: wait for it, or stop it");
            return Err(Error::new(ErrorKind::Io, said));
        }
        let part = Self { folder, shown, call, _lock: lock };
        let found = if resume { part.journal()? } else { None };
        let (done, torn) = match found {
            Some(journal) => {
                part.check(&journal.call)?;
                part.recover(journal.done)?
            }
            None => Default::default(),
        };
        for entry in fs::read_dir(&part.folder).map_err(|e| part.failed(e))?.flatten() {
            // What a killed run was about to put in its place.
            if entry.file_name().to_string_lossy().ends_with(".tmp") {
                let _ = fs::remove_file(entry.path());
            }
        }
        part.write(&done)?;
        Ok((part, done, torn))
    }

    fn journal(&self) -> Result<Option<Journal>> {
        let path = self.path("journal");
        Journal::read(&path).map_err(|e| damaged(&path, e))
    }

    /// Holds the logs against their checksums. Where records at the end are damaged or not there,
    /// what is done ends before them.
    fn recover(&self, done: Done) -> Result<(Done, bool)> {
        let scan = |name: &str, bytes: u64, row: u64| {
            let path = self.path(name);
            log::scan(&path, bytes, row).map_err(|e| damaged(&path, e))
        };
        let texts = scan("texts", done.bytes, u64::MAX)?;
        let rejects = scan("rejects", done.rejects, u64::MAX)?;
        let of = |texts: &Scan, rejects: &Scan, rows: usize| Done {
            rows,
            texts: texts.count,
            cut: texts.cut,
            lost: usize::try_from(texts.lost).unwrap_or(usize::MAX),
            vectors: usize::try_from(texts.vectors).unwrap_or(usize::MAX),
            bytes: texts.bytes,
            rejects: rejects.bytes,
        };
        if !texts.torn && !rejects.torn {
            let found = of(&texts, &rejects, done.rows);
            let rows = texts.next.max(rejects.next) <= done.rows as u64;
            return match rows && found == done {
                true => Ok((done, false)),
                false => Err(damaged(&self.path("journal"), io::Error::other(OTHERS))),
            };
        }
        // Rows of both logs stand in the order of the input: what is whole in both ends at the first
        // row that either may have lost.
        let ends = [&texts, &rejects].into_iter().filter(|log| log.torn).map(|log| log.next);
        let rows = ends.fold(done.rows as u64, u64::min);
        let texts = scan("texts", texts.bytes, rows)?;
        let rejects = scan("rejects", rejects.bytes, rows)?;
        let rows = usize::try_from(rows).unwrap_or(done.rows);
        Ok((of(&texts, &rejects, rows), true))
    }

    /// Where the part of `output` lies.
    pub fn folder(output: &Path) -> PathBuf {
        let name = output.file_name().unwrap_or_default().to_string_lossy();
        output.with_file_name(format!(".{name}{}", Self::ENDING))
    }

    /// Whether a run was interrupted that would have made `output`.
    pub fn is_there(output: &Path) -> bool {
        Self::folder(output).join("journal").exists()
    }

    /// The run that was interrupted must have been this one.
    fn check(&self, old: &CallWords) -> Result<()> {
        let (shown, now) = (&self.shown, &self.call);
        let other = now.iter().find(|pair| !old.contains(pair));
        let other = other.or_else(|| old.iter().find(|pair| !now.contains(pair)));
        let Some((name, _)) = other else {
            return Ok(());
        };
        let of = |call: &CallWords| {
            let value = call.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
            value.unwrap_or("nothing").to_owned()
        };
        let said = format!(
            "{shown}: the interrupted run had {name} `{}`, this call has `{}`: use the same \
             arguments, or leave out --resume to start over",
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

    /// The log of rejects.
    pub fn rejects(&self) -> PathBuf {
        self.path("rejects")
    }

    /// Opens the logs where `done` ends them.
    ///
    /// # Errors
    /// `Io`.
    pub fn logs(&self, done: &Done, rejects: bool) -> Result<(Log, Option<Log>)> {
        let texts = Log::open(&self.texts(), done.bytes).map_err(|e| self.failed(e))?;
        let rejects = rejects.then(|| Log::open(&self.rejects(), done.rejects));
        Ok((texts, rejects.transpose().map_err(|e| self.failed(e))?))
    }

    /// Writes down how far the run is; the logs must be on the disk so far.
    ///
    /// # Errors
    /// `Io`.
    pub fn write(&self, done: &Done) -> Result<()> {
        let (new, place) = (self.path("journal.tmp"), self.path("journal"));
        let journal = Journal { call: self.call.clone(), done: done.clone() };
        let put = || {
            let mut file =
                own::open(&new, File::options().create(true).truncate(true).write(true))?;
            file.write_all(journal.text()?.as_bytes())?;
            file.sync_data()?;
            fs::rename(&new, &place)
        };
        put().map_err(|e| self.failed(e))
    }

    /// The output is in its place: away with the folder. Gives back the call that it was of.
    pub fn remove(self) -> CallWords {
        // Without its journal, what is left by a kill in between is the part of nothing.
        let _ = fs::remove_file(self.path("journal"));
        let _ = fs::remove_dir_all(&self.folder);
        self.call
    }

    /// An error of a file in the folder.
    pub fn failed(&self, e: io::Error) -> Error {
        let said = format!("{}: {e}: free some space or use another folder", self.shown);
        Error::new(ErrorKind::Io, said).with_source(e)
    }
}

/// What is wrong with a journal whose logs are whole.
const OTHERS: &str = "it does not belong to the logs beside it";

/// The error of a file that `--resume` cannot go on with.
fn damaged(path: &Path, e: io::Error) -> Error {
    let said = format!("{}: {e}: {AGAIN}, which starts over", path.display());
    Error::new(ErrorKind::Io, said).with_source(e)
}
