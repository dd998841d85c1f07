//! A file of texts is read more than once, and must be the same each time, byte for byte.
//!
//! The first look takes a checksum of every block. Later readings hold each block against its own
//! before they hand it on, so that no byte is used that was not there at first.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use everylayer::{Error, ErrorKind, Result};

/// Bytes that have one checksum.
const BLOCK: usize = 1 << 16;

/// What a file was when it was first looked at.
#[derive(Debug)]
pub struct Seen {
    path: PathBuf,
    state: FileState,
    blocks: Vec<u32>,
    /// A later reading found other bytes.
    differs: AtomicBool,
}

/// What the system says of a file.
#[derive(Debug, PartialEq)]
struct FileState {
    size: u64,
    changed: Option<SystemTime>,
    place: Option<(u64, u64)>,
}

impl FileState {
    fn of(meta: &Metadata) -> Self {
        #[cfg(unix)]
        let place = Some((
            std::os::unix::fs::MetadataExt::dev(meta),
            std::os::unix::fs::MetadataExt::ino(meta),
        ));
        #[cfg(not(unix))]
        let place = None;
        Self { size: meta.len(), changed: meta.modified().ok(), place }
    }
}

impl Seen {
    /// Reads the file at `path` once.
    ///
    /// # Errors
    /// `NotFound` and `Io`.
    pub fn look(path: &Path) -> Result<Self> {
        let file = open(path)?;
        let failed = |e: io::Error| {
            Error::new(ErrorKind::Io, format!("{}: {e}", path.display())).with_source(e)
        };
        let state = FileState::of(&file.metadata().map_err(failed)?);
        let (mut blocks, mut block) = (Vec::new(), Vec::with_capacity(BLOCK));
        let mut rest = file.take(state.size);
        loop {
            block.clear();
            if rest.by_ref().take(BLOCK as u64).read_to_end(&mut block).map_err(failed)? == 0 {
                break;
            }
            blocks.push(crc32fast::hash(&block));
        }
        let seen = Self { path: path.to_owned(), state, blocks, differs: AtomicBool::new(false) };
        if rest.limit() > 0 {
            return Err(seen.changed());
        }
        Ok(seen)
    }

    /// Size and checksum, for people and for [`PartialEq`].
    pub fn checksum(&self) -> String {
        let blocks = self.blocks.iter().flat_map(|sum| sum.to_le_bytes()).collect::<Vec<u8>>();
        format!("{} bytes, crc32 {:08x}", self.state.size, crc32fast::hash(&blocks))
    }

    /// The bytes, to be read again.
    ///
    /// # Errors
    /// As [`Seen::look`], and `Text` where it is not the same file.
    pub fn open(self: &Arc<Self>) -> Result<Again> {
        let file = Again { file: open(&self.path)?, seen: Arc::clone(self), at: 0, block: None };
        self.unchanged()?;
        Ok(file)
    }

    /// Holds what lies at the path now against the first look.
    ///
    /// # Errors
    /// `Text` where it is another file, was written to, or had other bytes in a reading.
    pub fn unchanged(&self) -> Result<()> {
        let now = std::fs::metadata(&self.path).ok().map(|meta| FileState::of(&meta));
        if now.as_ref() == Some(&self.state) && !self.differs.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(self.changed())
    }

    fn changed(&self) -> Error {
        Error::new(ErrorKind::Text, format!("{}: {CHANGED}", self.path.display()))
    }
}

/// What is said of a file that is not what it was.
const CHANGED: &str =
    "it changed while it was read: run again when nothing writes to it, or use a copy";

/// Opens the file at `path`.
///
/// # Errors
/// `NotFound` and `Io`.
pub fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|e| {
        let kind = match e.kind() {
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Io,
        };
        let name = path.display();
        let said = format!("{name}: {e}: name a file that can be read, or `-` for pipes");
        Error::new(kind, said).with_source(e)
    })
}

/// A later reading; it fails where a byte is not as it was.
#[derive(Debug)]
pub struct Again {
    file: File,
    seen: Arc<Seen>,
    at: u64,
    /// The block in memory, by its number.
    block: Option<(u64, Vec<u8>)>,
}

impl Again {
    /// The whole size in bytes.
    pub fn size(&self) -> u64 {
        self.seen.state.size
    }

    /// Another reading of the same file, from byte `at`.
    ///
    /// # Errors
    /// As the system's.
    pub fn again(&self, at: u64) -> io::Result<Self> {
        let file = self.file.try_clone()?;
        Ok(Self { file, seen: Arc::clone(&self.seen), at, block: None })
    }

    fn load(&mut self, number: u64) -> io::Result<()> {
        let start = number * BLOCK as u64;
        let length = (self.size() - start).min(BLOCK as u64);
        let mut bytes = self.block.take().map(|(_, bytes)| bytes).unwrap_or_default();
        bytes.clear();
        self.file.seek(SeekFrom::Start(start))?;
        self.file.by_ref().take(length).read_to_end(&mut bytes)?;
        let want = usize::try_from(number).ok().and_then(|number| self.seen.blocks.get(number));
        if bytes.len() as u64 != length || want != Some(&crc32fast::hash(&bytes)) {
            self.seen.differs.store(true, Ordering::Relaxed);
            return Err(io::Error::other(CHANGED));
        }
        self.block = Some((number, bytes));
        Ok(())
    }
}

impl Read for Again {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.size() || out.is_empty() {
            return Ok(0);
        }
        let number = self.at / BLOCK as u64;
        if self.block.as_ref().is_none_or(|(loaded, _)| *loaded != number) {
            self.load(number)?;
        }
        let start = (self.at % BLOCK as u64) as usize;
        let rest =
            self.block.as_ref().and_then(|(_, bytes)| bytes.get(start..)).unwrap_or_default();
        let count = rest.len().min(out.len());
        out[..count].copy_from_slice(&rest[..count]);
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Again {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.size().checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|i| (i * 7 + i / 251) as u8).collect()
    }

    #[test]
    fn it_is_read_again_from_anywhere() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        for length in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 17] {
            let want = bytes(length);
            std::fs::write(&path, &want).unwrap();
            let seen = Arc::new(Seen::look(&path).unwrap());
            let mut file = seen.open().unwrap();
            let mut got = Vec::new();
            file.read_to_end(&mut got).unwrap();
            assert_eq!(got, want);
            for start in [0, length / 2, length.saturating_sub(3), length + 5] {
                got.clear();
                file.seek(SeekFrom::Start(start as u64)).unwrap();
                file.read_to_end(&mut got).unwrap();
                assert_eq!(got, want.get(start..).unwrap_or_default());
            }
            seen.unchanged().unwrap();
        }
    }

    #[test]
    fn any_change_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let want = bytes(2 * BLOCK + 100);
        let kept = |path: &Path, time| {
            File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
        };
        for how in 0..5 {
            std::fs::write(&path, &want).unwrap();
            let time = std::fs::metadata(&path).unwrap().modified().unwrap();
            let seen = Arc::new(Seen::look(&path).unwrap());
            let mut file = seen.open().unwrap();
            let mut first = vec![0; BLOCK];
            file.read_exact(&mut first).unwrap();
            match how {
                // One bit, the size and the time as they were.
                0 => {
                    let mut other = want.clone();
                    other[BLOCK + 5] ^= 1;
                    std::fs::write(&path, other).unwrap();
                    kept(&path, time);
                }
                1 => File::options().write(true).open(&path).unwrap().set_len(9).unwrap(),
                2 => {
                    File::options().append(true).open(&path).unwrap().write_all(b"more").unwrap();
                    kept(&path, time);
                }
                3 => {
                    std::fs::write(folder.path().join("y"), &want).unwrap();
                    kept(&folder.path().join("y"), time);
                    std::fs::rename(folder.path().join("y"), &path).unwrap();
                }
                _ => std::fs::remove_file(&path).unwrap(),
            }
            let read = file.read_to_end(&mut first);
            assert_eq!(read.is_err(), how < 2, "{how}: {read:?}");
            if how != 3 || cfg!(unix) {
                let error = seen.unchanged().unwrap_err();
                assert!(error.to_string().contains("changed while it was read"), "{error}");
            }
        }
    }
}
