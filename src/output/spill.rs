//! Bytes that are written last and come first or between: held in memory while they are few, then
//! in a file beside the output.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes held in memory where there is a folder for more.
const MEMORY: usize = 4 << 20;

/// Tells apart the files of one process.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// Bytes in the order in which they came.
pub(super) struct Spill {
    /// Where a file may be; `None` holds all in memory.
    folder: Option<PathBuf>,
    memory: Vec<u8>,
    file: Option<(PathBuf, File)>,
    len: u64,
}

impl Spill {
    pub(super) fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, memory: Vec::new(), file: None, len: 0 }
    }

    /// Bytes so far.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.memory.extend_from_slice(bytes);
        self.len += bytes.len() as u64;
        match &self.folder {
            Some(_) if self.memory.len() >= MEMORY => self.spill(),
            _ => Ok(()),
        }
    }

    fn spill(&mut self) -> io::Result<()> {
        if let (None, Some(folder)) = (&self.file, &self.folder) {
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let path =
                folder.join(format!(".everylayer-{}-{number}-spill.tmp", std::process::id()));
            let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
            self.file = Some((path, file));
        }
        if let Some((_, file)) = &mut self.file {
            file.write_all(&self.memory)?;
            self.memory.clear();
        }
        Ok(())
    }

    /// Hands every byte to `take`, piece by piece.
    pub(super) fn drain(mut self, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        if let Some((_, file)) = &mut self.file {
            file.seek(SeekFrom::Start(0))?;
            let mut piece = vec![0; 1 << 16];
            loop {
                match file.read(&mut piece)? {
                    0 => break,
                    n => take(&piece[..n])?,
                }
            }
        }
        take(&self.memory)
    }
}

impl Drop for Spill {
    fn drop(&mut self) {
        if let Some((path, _)) = self.file.take() {
            let _ = std::fs::remove_file(path);
        }
    }
}
