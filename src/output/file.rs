//! A file that appears whole or not at all: written beside its place, then renamed.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind as Io, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{Result, fail};

/// Tells apart the temporary files of one process.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// A file on its way. Dropped before [`AtomicFile::commit`] it is gone, and what stood in its
/// place stands there still.
#[derive(Debug)]
pub struct AtomicFile {
    path: PathBuf,
    temporary: PathBuf,
    /// `None` once it is committed.
    out: Option<BufWriter<File>>,
}

impl AtomicFile {
    /// Begins the file that will be `path`, in the same folder. A link is followed; the
    /// permissions of a file that is replaced are kept.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) where `path` is a folder, a device or a pipe;
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) where its folder is not there;
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) where the folder or the file cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        Self::begin(path, None)
    }

    /// [`AtomicFile::create`], written in `room`, a folder on the same file system.
    ///
    /// # Errors
    /// As [`AtomicFile::create`].
    pub fn create_by(path: &Path, room: &Path) -> Result<Self> {
        Self::begin(path, Some(room))
    }

    /// The folder that the file will be in.
    pub fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        }
    }

    /// Where the file will be, links followed.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn begin(path: &Path, room: Option<&Path>) -> Result<Self> {
        let shown = path.display();
        if path.to_string_lossy().ends_with(std::path::is_separator) {
            return Err(fail!(Usage, "{shown} is a folder: name a file in it"));
        }
        let old = match fs::metadata(path) {
            Ok(old) if old.is_dir() => {
                return Err(fail!(Usage, "{shown} is a folder: name a file in it"));
            }
            Ok(old) if !old.is_file() => {
                return Err(fail!(
                    Usage,
                    "{shown} is not a plain file: name one, or leave the results on standard output"
                ));
            }
            Ok(old) if old.permissions().readonly() => {
                return Err(fail!(
                    Io,
                    "{shown} is not writable: change its permissions or use another file"
                ));
            }
            Ok(old) => Some(old),
            Err(error) if error.kind() == Io::NotFound => None,
            Err(error) => {
                return Err(fail!(Io, "{shown}: {error}; name another file").with_source(error));
            }
        };
        let target = if old.is_some() {
            fs::canonicalize(path).unwrap_or_else(|_| path.into())
        } else {
            path.into()
        };
        if target.file_name().is_none() {
            return Err(fail!(Usage, "`{shown}` is not the name of a file"));
        }
        let folder = match target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let (temporary, file) = beside(room.unwrap_or(folder)).map_err(|error| {
            match error.kind() {
                Io::NotFound => {
                    fail!(
                        NotFound,
                        "{shown}: the folder {} does not exist: create it first",
                        folder.display()
                    )
                }
                _ => fail!(
                    Io,
                    "{shown}: cannot write in {}: {error}; use another folder",
                    folder.display()
                ),
            }
            .with_source(error)
        })?;
        let this = Self { path: target, temporary, out: Some(BufWriter::new(file)) };
        if let Some(old) = old {
            // Of the file that was opened, whatever lies at its name by now.
            let set = this.out.as_ref().map(|out| out.get_ref().set_permissions(old.permissions()));
            set.unwrap_or(Ok(())).map_err(|error| this.failed(error))?;
        }
        Ok(this)
    }

    /// Puts the file in its place, after its bytes have reached the disk.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io), naming the file; nothing is left behind then.
    pub fn commit(mut self) -> Result<()> {
        self.place().map_err(|error| self.failed(error))
    }

    fn place(&mut self) -> io::Result<()> {
        let out = self.open()?;
        out.flush()?;
        out.get_ref().sync_all()?;
        fs::rename(&self.temporary, &self.path)?;
        self.out = None;
        open_files().retain(|path| *path != self.temporary);
        // The name, too, should outlive a power cut; not every system lets a folder be synced.
        if let Some(folder) = self.path.parent().and_then(|folder| File::open(folder).ok()) {
            let _ = folder.sync_all();
        }
        Ok(())
    }

    fn open(&mut self) -> io::Result<&mut BufWriter<File>> {
        self.out.as_mut().ok_or_else(|| io::Error::other("the file is written already"))
    }

    fn failed(&self, error: io::Error) -> crate::Error {
        fail!(Io, "{}", self.explained(&error)).with_source(error)
    }

    fn explained(&self, error: &io::Error) -> String {
        let advice = match error.kind() {
            Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => {
                "free some space or use another folder"
            }
            _ => "use another file or folder",
        };
        format!("{}: {error}; nothing was kept: {advice}", self.path.display())
    }

    /// The same error with the file in its words.
    fn named<T>(
        &mut self,
        work: impl FnOnce(&mut BufWriter<File>) -> io::Result<T>,
    ) -> io::Result<T> {
        self.open().and_then(work).map_err(|error| match error.kind() {
            Io::Interrupted => error,
            kind => io::Error::new(kind, self.explained(&error)),
        })
    }
}

/// Temporary files that are on their way in this process.
static OPEN: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn open_files() -> MutexGuard<'static, Vec<PathBuf>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes the temporary files of all [`AtomicFile`]s: for a process that is about to end in the
/// middle of its work.
pub fn discard_all() {
    open_files().drain(..).for_each(|path| drop(fs::remove_file(path)));
}

/// A new file in `folder`, with a name that nothing there has.
fn beside(folder: &Path) -> io::Result<(PathBuf, File)> {
    loop {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = OsString::from(format!(".everylayer-{}-{number}.tmp", std::process::id()));
        let path = folder.join(name);
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Err(error) if error.kind() == Io::AlreadyExists => {}
            done => {
                return done.map(|file| {
                    open_files().push(path.clone());
                    (path, file)
                });
            }
        }
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.named(|out| out.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.named(|out| out.flush())
    }
}

impl Seek for AtomicFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.named(|out| out.seek(to))
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if let Some(out) = self.out.take() {
            drop(out.into_parts()); // Closed without writing what is still in memory.
            let _ = fs::remove_file(&self.temporary);
            open_files().retain(|path| *path != self.temporary);
        }
    }
}

#[cfg(test)]
mod tests;
