//! The folder of a repository in which its Transformer lies, as a source of its own.

use super::classes::ModuleClass;
use super::entries::{MODULES, entries};
use crate::error::Result;
use crate::model::sources::{Blob, Source};

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
    /// `Checkpoint` or `Io` for `modules.json`; `Unsupported` where the first module is no encoder.
    pub fn of_transformer(source: &'a dyn Source) -> Result<Self> {
        let first = entries(source)?.and_then(|entries| entries.into_iter().next());
        let folder = match first.as_ref().map(|first| (first, first.class)) {
            Some((first, ModuleClass::Transformer | ModuleClass::MaskedTransformer)) => {
                first.path.clone()
            }
            Some((first, ModuleClass::Other(what))) => return Err(first.refused(source, what)),
            _ => String::new(),
        };
        Ok(Self { source, folder })
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

    fn list(&self, folder: &str) -> Vec<String> {
        self.source.list(self.within(folder).trim_end_matches('/'))
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
