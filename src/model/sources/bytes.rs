//! A source over bytes in memory: what a browser fetched, what a test made up.
//!
//! Opening a file shares its bytes and copies nothing.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::error::{Result, fail};
use crate::model::sources::{Blob, Source, check_path};

/// Files by name, held in memory.
pub struct Bytes {
    name: String,
    files: HashMap<String, Arc<Vec<u8>>>,
}

impl Bytes {
    /// A source called `name` over `files`, whose keys are paths such as `1_Pooling/config.json`.
    pub fn new(name: impl Into<String>, files: HashMap<String, Vec<u8>>) -> Self {
        let files = files.into_iter().map(|(path, bytes)| (path, Arc::new(bytes))).collect();
        Self { name: name.into(), files }
    }
}

impl Source for Bytes {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn open(&self, path: &str) -> Result<Option<Box<dyn Blob>>> {
        check_path(path)?;
        let place = || format!("{}: {path}", self.name);
        Ok(self.files.get(path).map(|bytes| {
            Box::new(MemoryBlob { bytes: Arc::clone(bytes), place: place() }) as Box<dyn Blob>
        }))
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes = self.files.iter().map(|(path, bytes)| (path, bytes.len()));
        write!(f, "Bytes({:?}) ", self.name)?;
        f.debug_map().entries(sizes).finish()
    }
}

/// A file in memory, its bytes owned, shared or part of the binary.
pub(crate) struct MemoryBlob<B> {
    pub(crate) bytes: Arc<B>,
    pub(crate) place: String,
}

impl<B: AsRef<[u8]> + Send + Sync> Blob for MemoryBlob<B> {
    fn size(&self) -> u64 {
        (*self.bytes).as_ref().len() as u64
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let bytes = (*self.bytes).as_ref();
        let found = usize::try_from(offset)
            .ok()
            .and_then(|start| bytes.get(start..start.checked_add(out.len())?));
        let Some(found) = found else {
            return Err(ends_early(&self.place, bytes.len() as u64, offset, out.len()));
        };
        out.copy_from_slice(found);
        Ok(())
    }

    fn place(&self) -> String {
        self.place.clone()
    }
}

impl<B: AsRef<[u8]>> fmt::Debug for MemoryBlob<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.place, (*self.bytes).as_ref().len())
    }
}

/// The error of a read beyond the end of a file.
pub(crate) fn ends_early(place: &str, size: u64, offset: u64, length: usize) -> crate::Error {
    fail!(
        Io,
        "{place}: the file ends after {size} bytes, {length} more were to be read at byte {offset}: \
         it may be truncated, download it again"
    )
}
