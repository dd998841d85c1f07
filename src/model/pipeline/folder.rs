//! The folder of a repository in which its Transformer lies, as a source of its own.

use super::{MODULES, entries};
use crate::error::Result;
use crate::model::source::{Blob, Source};

/// A source that has the files of one folder of another.
pub struct Folder<'a> {
    source: &'a dyn Source,
    folder: String,
}

impl<'a> Folder<'a> {
    /// Where the encoder and its tokenizer lie: the folder that `modules.json` names for the
    /// Transformer (such as `0_Transformer`), else the root.
    ///
    /// # Errors
    ///
    /// `Checkpoint` or `Io` for `modules.json`.
    pub fn of_transformer(source: &'a dyn Source) -> Result<Self> {
        let first = entries(source)?.and_then(|entries| entries.into_iter().next());
        let folder = first.filter(|first| first.name() == "Transformer");
        Ok(Self { source, folder: folder.map_or_else(String::new, |first| first.path) })
    }

    fn within(&self, path: &str) -> String {
        match self.folder.as_str() {
            "" => path.to_owned(),
            folder => format!("{folder}/{path}"),
        }
    }
}

impl Source for Folder<'_> {
    fn name(&self) -> String {
        match self.folder.as_str() {
            "" => self.source.name(),
            folder => format!("{}: {folder}", self.source.name()),
        }
    }

    fn open(&self, path: &str) -> Result<Option<Box<dyn Blob>>> {
        self.source.open(&self.within(path))
    }

    fn has(&self, path: &str) -> Result<bool> {
        self.source.has(&self.within(path))
    }
}

impl std::fmt::Debug for Folder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Folder({}, from {MODULES})", self.name())
    }
}
