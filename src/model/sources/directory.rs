//! A source over a folder on disk, as `save_pretrained`, `git clone` or `hf download` make it.
//!
//! Files are read at offsets without a shared cursor, so threads may read one file at once.
//! Links are followed: the snapshots of the hub's cache are made of them.

use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result, fail};
use crate::model::sources::bytes::ends_early;
use crate::model::sources::recognise;
use crate::model::sources::{Blob, Source, check_path};

/// A folder with the files of one model.
#[derive(Debug, Clone)]
pub struct Directory {
    root: PathBuf,
}

impl Directory {
    /// The model in the folder `root`, which must hold a `config.json` (or the `modules.json` of
    /// sentence-transformers, whose encoder may lie in a folder below). Of a model's folder in the
    /// hub's cache it is the snapshot of `main`, or the only one.
    ///
    /// # Errors
    ///
    /// `NotFound` or `Unsupported`, saying what `root` is instead.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        Ok(Self { root: recognise::model_folder(root.into())? })
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

impl Source for Directory {
    fn name(&self) -> String {
        self.root.display().to_string()
    }

    fn open(&self, path: &str) -> Result<Option<Box<dyn Blob>>> {
        check_path(path)?;
        Ok(FileBlob::open(self.root.join(path))?.map(|blob| Box::new(blob) as Box<dyn Blob>))
    }

    fn has(&self, path: &str) -> Result<bool> {
        check_path(path)?;
        Ok(self.root.join(path).is_file())
    }

    fn list(&self, folder: &str) -> Vec<String> {
        match folder.is_empty() || check_path(folder).is_ok() {
            true => recognise::names(&self.root.join(folder)),
            false => Vec::new(),
        }
    }
}

/// A file on disk.
#[derive(Debug)]
pub(crate) struct FileBlob {
    file: File,
    path: PathBuf,
    size: u64,
}

impl FileBlob {
    /// The file at `path`; `None` where there is nothing of that name.
    ///
    /// # Errors
    ///
    /// `Checkpoint` for a folder, a FIFO or a device, which is not opened; `Io` for the rest.
    pub(crate) fn open(path: PathBuf) -> Result<Option<Self>> {
        use std::io::ErrorKind::{NotADirectory, NotFound};
        let failed = |e| Error::io(path.display(), e);
        // Opening a FIFO waits for its writer, and opening a device may do anything.
        match std::fs::metadata(&path) {
            Ok(found) => plain(&path, &found)?,
            Err(e) if matches!(e.kind(), NotFound | NotADirectory) => return Ok(None),
            Err(e) => return Err(failed(e)),
        }
        let file = File::open(&path).map_err(failed)?;
        let found = file.metadata().map_err(failed)?;
        plain(&path, &found)?;
        Ok(Some(Self { file, path, size: found.len() }))
    }

    /// The text of the small file at `path`, at most `max_bytes` of it; `None` where there is
    /// nothing of that name.
    ///
    /// # Errors
    ///
    /// Those of [`FileBlob::open`]; `Checkpoint` for a file that is larger, or not UTF-8.
    pub(crate) fn read_text(path: PathBuf, max_bytes: usize) -> Result<Option<String>> {
        let Some(blob) = Self::open(path)? else { return Ok(None) };
        let place = blob.place();
        let size = usize::try_from(blob.size).ok().filter(|size| *size <= max_bytes);
        let size = size.ok_or_else(|| {
            fail!(Checkpoint, "{place}: {} bytes, at most {max_bytes} are read", blob.size)
        })?;
        let mut bytes = vec![0; size];
        blob.read_at(0, &mut bytes)?;
        let text = String::from_utf8(bytes);
        text.map(Some).map_err(|e| fail!(Checkpoint, "{place}: {e}").with_source(e))
    }
}

/// Refuses what is no file.
fn plain(path: &Path, found: &Metadata) -> Result<()> {
    match found.is_file() {
        true => Ok(()),
        false => Err(fail!(
            Checkpoint,
            "{} is {}, not a file: model files must be regular files",
            path.display(),
            kind(found)
        )),
    }
}

/// What a place in a folder is that holds no file.
pub(crate) fn kind(found: &Metadata) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let is = found.file_type();
        for (is_that, name) in [
            (is.is_fifo(), "a FIFO"),
            (is.is_socket(), "a socket"),
            (is.is_char_device() || is.is_block_device(), "a device"),
        ] {
            if is_that {
                return name;
            }
        }
    }
    if found.is_dir() { "a folder" } else { "something else" }
}

impl Blob for FileBlob {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        read_exact_at(&self.file, out, offset).map_err(|e| match e.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                ends_early(&self.place(), self.size, offset, out.len())
            }
            _ => Error::io(self.path.display(), e),
        })
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, out: &mut [u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, out, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut out: &mut [u8], mut offset: u64) -> std::io::Result<()> {
    use std::io::ErrorKind;
    use std::os::windows::fs::FileExt;
    while !out.is_empty() {
        match file.seek_read(out, offset) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                out = &mut out[n..];
                offset += n as u64;
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

#[cfg(not(any(unix, windows)))]
fn read_exact_at(_: &File, _: &mut [u8], _: u64) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}
