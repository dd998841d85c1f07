//! The list of modules, `modules.json`.

use serde_json::{Map, Value};

use super::classes::{self, ModuleClass};
use super::keys;
use crate::error::{Error, Result, fail};
use crate::model::sources::{Source, check_path, read_json};
use crate::quote::quote;

/// The list of modules.
pub(super) const MODULES: &str = "modules.json";

/// One module of the list.
#[derive(Debug)]
pub(super) struct ModuleEntry {
    /// Its folder, `""` for the root.
    pub(super) path: String,
    /// As the list has it.
    pub(super) path_of_class: String,
    pub(super) class: ModuleClass,
}

impl ModuleEntry {
    fn new(fields: &Map<String, Value>) -> Result<Self> {
        keys::check(fields, keys::MODULE)?;
        let text = |key: &str| match fields.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(value) => Err(fail!(
                Checkpoint,
                "`{key}` is {value}, expected a string",
                value = quote(value)
            )),
        };
        let path_of_class =
            text("type")?.ok_or_else(|| fail!(Checkpoint, "`type` is missing"))?.to_owned();
        let class = classes::class(&path_of_class).ok_or_else(|| {
            fail!(
                Unsupported,
                "the class {path_of_class} is not one of sentence-transformers, and what it does \
                 is not known: remove the module, or the whole file for plain mean pooling",
                path_of_class = quote(&path_of_class)
            )
        })?;
        Ok(Self { path: folder(text("path")?.unwrap_or_default())?, path_of_class, class })
    }

    /// `file` in the module's folder.
    pub(super) fn file(&self, file: &str) -> String {
        match self.path.as_str() {
            "" => file.to_owned(),
            path => format!("{path}/{file}"),
        }
    }

    /// The error for a class that is known and not computed.
    pub(super) fn refused(&self, source: &dyn Source, what: &str) -> Error {
        fail!(
            Unsupported,
            "{}: {MODULES}: the module {} is not supported: {what}",
            source.name(),
            self.path_of_class
        )
    }
}

/// The folder that `path` means, as Python's `Path(model, path)` has it on Linux: `./` and a `/` at
/// the end say nothing. It stays inside the repository.
fn folder(path: &str) -> Result<String> {
    if path.contains('\\') {
        return Err(fail!(
            Checkpoint,
            "`path` is {path:?}: a backslash separates no folders outside Windows, write /",
            path = quote(path)
        ));
    }
    let parts = path.split('/').enumerate();
    // Of an empty part only the first is kept: it is that of a path from the root of the disk.
    let parts = parts.filter(|&(i, part)| part != "." && (!part.is_empty() || i == 0));
    let parts: Vec<_> = parts.map(|(_, part)| part).collect();
    match &parts[..] {
        [] | [""] if !path.starts_with('/') => Ok(String::new()),
        parts => {
            let folder = parts.join("/");
            check_path(if folder.is_empty() { path } else { &folder })?;
            Ok(folder)
        }
    }
}

/// The modules in their order, none where there is no `modules.json`; their paths stay inside.
pub(super) fn entries(source: &dyn Source) -> Result<Option<Vec<ModuleEntry>>> {
    let Some(list) = read_json::<Vec<Map<String, Value>>>(source, MODULES)? else {
        return Ok(None);
    };
    let entries = list.iter().enumerate().map(|(i, fields)| {
        ModuleEntry::new(fields)
            .map_err(|e| e.at(format!("{}: {MODULES}: module {i}", source.name())))
    });
    entries.collect::<Result<_>>().map(Some)
}
