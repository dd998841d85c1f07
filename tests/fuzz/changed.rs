//! A model's folder in memory with one file in the place of another.

use std::collections::HashMap;
use std::path::Path;

use everylayer::Result;
use everylayer::model::bytes::Bytes;
use everylayer::model::sources::{Blob, Source};

/// The files of a folder and of those in it, without what the tests know of the model.
pub fn files(folder: &Path) -> HashMap<String, Vec<u8>> {
    let mut all = HashMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in std::fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
            match path.is_dir() {
                true => folders.push(path),
                false if name.starts_with("goldens") || name.starts_with("states") => {}
                false => drop(all.insert(name, std::fs::read(&path).unwrap())),
            }
        }
    }
    all
}

/// A model with another file.
pub struct Changed<'a> {
    model: &'a Bytes,
    file: String,
    other: Bytes,
}

impl<'a> Changed<'a> {
    /// `model` with `bytes` as its `file`.
    pub fn new(model: &'a Bytes, file: &str, bytes: Vec<u8>) -> Self {
        let other = Bytes::new("changed", HashMap::from([(file.to_owned(), bytes)]));
        Self { model, file: file.to_owned(), other }
    }
}

impl Source for Changed<'_> {
    fn name(&self) -> String {
        "changed".into()
    }

    fn open(&self, path: &str) -> Result<Option<Box<dyn Blob>>> {
        if path == self.file { self.other.open(path) } else { self.model.open(path) }
    }
}
