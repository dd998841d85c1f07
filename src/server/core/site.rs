//! Where the files behind `/web/` are: in the binary (`build.rs`), or in a folder laid out as `web/`.

use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};

include!(concat!(env!("OUT_DIR"), "/web_files.rs"));

/// The files behind `/web/`.
#[derive(Debug, Clone)]
pub enum Site {
    /// Those in the binary.
    Built,
    /// Those of a folder.
    Folder(PathBuf),
}

impl Site {
    /// The files in the binary.
    ///
    /// # Errors
    ///
    /// `Unsupported` where the package was not built before the binary, with how to.
    pub fn built() -> Result<Self> {
        if FILES.is_empty() {
            let said = "this binary was built without the browser package: run `web/build` and build the \
                        binary again, or serve the folder of a built package";
            return Err(Error::new(ErrorKind::Unsupported, said));
        }
        Ok(Self::Built)
    }

    /// The files of a folder, as `web/` of the repository has them.
    ///
    /// # Errors
    ///
    /// `NotFound` where there is no package in it.
    pub fn folder(path: &Path) -> Result<Self> {
        let root = path.canonicalize().map_err(|e| Error::io(path.display(), e))?;
        for part in ["index.js", "demo/index.html", "pkg/everylayer_bg.wasm"] {
            if !root.join(part).is_file() {
                let said = format!("{}: it has no {part}: run `web/build`", path.display());
                return Err(Error::new(ErrorKind::NotFound, said));
            }
        }
        Ok(Self::Folder(root))
    }

    /// The file of this name in the binary.
    pub(in crate::server) fn built_file(name: &str) -> Option<&'static [u8]> {
        FILES.iter().find(|file| file.0 == name).map(|file| file.1)
    }
}
