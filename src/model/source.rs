//! Where the files of a model come from: a directory, the binary itself, the hub, bytes in memory.
//!
//! A source hands out named files and knows nothing of what is in them.

use std::fmt;

use crate::error::Result;

/// A set of named files (a Hugging Face repository, wherever it lies).
pub trait Source: Send + Sync {
    /// How a person would name this model: `bundled:all-MiniLM-L6-v2`, a path, a hub id.
    fn name(&self) -> String;

    /// Opens the file `path` (relative, `/` between folders, never leaving the repository);
    /// `Ok(None)` where the source has no such file.
    fn open(&self, path: &str) -> Result<Option<Box<dyn Blob>>>;
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
