//! Where the files of a model come from: a directory, the binary itself, the hub, bytes in memory.
//!
//! A source hands out named files and knows nothing of what is in them. The helpers here read a
//! small file whole, as bytes or as JSON; a checkpoint is never read that way.

#[cfg(feature = "bundled")]
pub mod bundled;
pub mod bytes;
pub mod directory;
#[cfg(feature = "hub")]
pub mod hub;
pub mod locate;
pub(crate) mod recognise;
pub(crate) mod stand_in;
mod suggest;

use std::fmt;

use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorKind, Result, fail};

/// The largest JSON file that is read: the tokenizers of multilingual models reach 40 MB.
pub const MAX_JSON_BYTES: u64 = 256 << 20;

/// A set of named files (a Hugging Face repository, wherever it lies).
pub trait Source: Send + Sync {
    /// How a person would name this model: `bundled:all-MiniLM-L6-v2`, a path, a hub id.
    fn name(&self) -> String;

    /// Opens the file `path` (relative, `/` between folders, never leaving the repository);
    /// `Ok(None)` where the source has no such file.
    fn open(&self, path: &str) -> Result<Option<Box<dyn Blob>>>;

    /// The names in the folder `folder` (`""` for the root), to say what is there; none where the
    /// source cannot tell.
    fn list(&self, folder: &str) -> Vec<String> {
        let _ = folder;
        Vec::new()
    }

    /// Whether the file `path` is there, without fetching it where that would cost a download.
    fn has(&self, path: &str) -> Result<bool> {
        Ok(self.open(path)?.is_some())
    }
}

/// The bytes of one file, read at any offset, so that a checkpoint is streamed tensor by tensor
/// and never held whole.
pub trait Blob: Send + Sync + fmt::Debug {
    /// Size in bytes.
    fn size(&self) -> u64;

    /// Fills `out` from `offset`; an error where the file ends before.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()>;

    /// Where the file lies, for messages.
    fn place(&self) -> String;
}

/// Refuses a path that is not relative, is not made of plain names with `/` between them, or
/// leaves the repository.
pub fn check_path(path: &str) -> Result<()> {
    let plain = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && !part.contains(['\\', ':'])
            && !part.contains(char::is_control)
    };
    if path.split('/').all(plain) {
        return Ok(());
    }
    Err(fail!(
        Checkpoint,
        "the file name {path:?} leaves the model's folder: only relative names with / are read"
    ))
}

/// The whole file `path`, `Ok(None)` where the source has none, an error where it is larger than
/// `max_bytes`.
pub fn read_all(source: &dyn Source, path: &str, max_bytes: u64) -> Result<Option<Vec<u8>>> {
    let Some(blob) = stand_in::open(source, path)? else { return Ok(None) };
    let size = blob.size();
    let length = match usize::try_from(size) {
        Ok(length) if size <= max_bytes => length,
        _ => {
            let place = blob.place();
            return Err(fail!(
                Checkpoint,
                "{place}: {size} bytes is more than the {max_bytes} that are read of such a file"
            ));
        }
    };
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).map_err(|e| {
        fail!(OutOfMemory, "{}: no memory for {size} bytes", blob.place()).with_source(e)
    })?;
    bytes.resize(length, 0);
    blob.read_at(0, &mut bytes)?;
    Ok(Some(bytes))
}

/// The JSON file `path` as a `T`, `Ok(None)` where the source has none. An error names the file,
/// the line and the column.
pub fn read_json<T: DeserializeOwned>(source: &dyn Source, path: &str) -> Result<Option<T>> {
    let Some(bytes) = read_all(source, path, MAX_JSON_BYTES)? else { return Ok(None) };
    parse_json(&bytes, &format!("{}: {path}", source.name())).map(Some)
}

/// `bytes` as a `T`; `place` is the file that an error names, with the line and the column.
pub(crate) fn parse_json<T: DeserializeOwned>(bytes: &[u8], place: &str) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| json_error(e, place))
}

/// A JSON error at `place`, its line and column before the sentence.
pub(crate) fn json_error(error: serde_json::Error, place: &str) -> Error {
    let (line, column) = (error.line(), error.column());
    let said = error.to_string();
    let said = said.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&said);
    // Line 0 is serde_json's way to say that it does not know.
    let message = match line {
        0 => format!("{place}: {said}"),
        _ => format!("{place}: line {line}, column {column}: {said}"),
    };
    Error::new(ErrorKind::Checkpoint, message).with_source(error)
}
