//! Where this user's caches lie, and files there that are whole or not there.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// `everylayer/NAME` in the cache folder of the user, or `NAME` in the one that EVERYLAYER_CACHE names;
/// `None` where there is none.
pub fn folder(name: &str) -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
    if let Some(folder) = set("EVERYLAYER_CACHE") {
        return Some(PathBuf::from(folder).join(name));
    }
    let caches = if let Some(folder) = set("XDG_CACHE_HOME") {
        PathBuf::from(folder)
    } else if let Some(folder) = set("LOCALAPPDATA").filter(|_| cfg!(windows)) {
        PathBuf::from(folder)
    } else if cfg!(target_os = "macos") {
        std::env::home_dir()?.join("Library").join("Caches")
    } else {
        std::env::home_dir()?.join(".cache")
    };
    Some(caches.join("everylayer").join(name))
}

/// Writes `data` under another name first, so that `file` is whole or not there.
///
/// # Errors
///
/// Those of the file system; nothing is left behind.
pub fn write(file: &Path, data: &[u8]) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let other = file.with_extension(std::process::id().to_string());
    std::fs::write(&other, data)
        .and_then(|()| std::fs::rename(&other, file))
        .inspect_err(|_| drop(std::fs::remove_file(&other)))
}
