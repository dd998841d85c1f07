//! Which call made which output, so that `--resume` of a run that is done has nothing to do.
//!
//! A record an output lies in the user's cache folder. Without one, or where the output is not as it
//! was, the call is made again: nothing but time depends on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use everylayer::cache_dir;
use serde::{Deserialize, Serialize};

use super::resume_dir::CallWords;

/// Records that are kept, the latest ones.
const MOST: usize = 1000;

#[derive(PartialEq, Serialize, Deserialize)]
struct FinishedRecord {
    output: PathBuf,
    bytes: u64,
    /// Nanoseconds since 1970.
    changed: u64,
    call: CallWords,
}

impl FinishedRecord {
    /// What the file at `output` is now, made by `call`.
    fn of(output: &Path, call: CallWords) -> Option<Self> {
        let meta = fs::metadata(output).ok()?;
        let changed = meta.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        let changed = u64::try_from(changed.as_nanos()).ok()?;
        Some(Self { output: fs::canonicalize(output).ok()?, bytes: meta.len(), changed, call })
    }

    fn file(&self) -> Option<PathBuf> {
        let name = crc32fast::hash(self.output.as_os_str().as_encoded_bytes());
        Some(cache_dir::folder("finished")?.join(format!("{name:08x}.json")))
    }
}

/// Writes down that `call` has made `output`.
pub fn remember(output: &Path, call: CallWords) {
    let Some(record) = FinishedRecord::of(output, call) else {
        return;
    };
    let (Some(file), Ok(text)) = (record.file(), serde_json::to_vec(&record)) else {
        return;
    };
    // There is nobody to tell: the next call does its work.
    if cache_dir::write(&file, &text).is_ok()
        && let Some(folder) = file.parent()
    {
        forget(folder);
    }
}

/// Whether `call` has made `output`, which is as it was then.
pub fn is_there(output: &Path, call: &CallWords) -> bool {
    let Some(record) = FinishedRecord::of(output, call.clone()) else {
        return false;
    };
    let found = record.file().and_then(|file| fs::read(file).ok());
    found.and_then(|text| serde_json::from_slice(&text).ok()) == Some(record)
}

/// Removes the oldest records of `folder` beyond [`MOST`].
fn forget(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let dated = |entry: fs::DirEntry| {
        let changed = entry.metadata().and_then(|meta| meta.modified());
        (changed.unwrap_or(SystemTime::UNIX_EPOCH), entry.path())
    };
    let mut all: Vec<_> = entries.flatten().map(dated).collect();
    all.sort();
    let beyond = all.len().saturating_sub(MOST);
    all.iter().take(beyond).for_each(|(_, path)| drop(fs::remove_file(path)));
}
