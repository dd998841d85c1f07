//! A source over files that a page holds.
//!
//! Reading is synchronous, as [`Blob`] wants it, and takes a piece at a time: in a worker the page
//! reads slices of what it keeps on disk (a `File` that was dropped, or a `Blob` of the browser's
//! cache, by `FileReaderSync`), so that neither its heap nor this memory ever holds a checkpoint.
//! Fetching is done before, where it can wait, show how far it is and be given up.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use wasm_bindgen::prelude::*;

use super::page;
use crate::error::Result;
use crate::model::bytes::ends_early;
use crate::model::sources::{Blob, Source, check_path};

#[wasm_bindgen]
extern "C" {
    /// Files by name, as the page has them.
    pub type Files;

    /// Bytes of the file `path`; nothing where there is none.
    #[wasm_bindgen(method, catch)]
    fn size(this: &Files, path: &str) -> Result<Option<f64>, JsValue>;

    /// Fills `out` from `offset`.
    #[wasm_bindgen(method, catch)]
    fn read(this: &Files, path: &str, offset: f64, out: &mut [u8]) -> Result<(), JsValue>;
}

thread_local! {
    /// Objects of the page cannot move between threads, so sources and blobs, which can, know their
    /// numbers here.
    static OPEN: RefCell<(u32, HashMap<u32, Files>)> = RefCell::default();
}

/// A set of files that stays open as long as this.
struct OpenFiles(u32);

impl OpenFiles {
    fn with<T>(&self, ask: impl FnOnce(&Files) -> Result<T, JsValue>) -> Result<T> {
        OPEN.with_borrow(|(_, open)| match open.get(&self.0) {
            Some(files) => ask(files).map_err(|e| page::thrown(&e)),
            None => Err(page::thrown(&JsValue::UNDEFINED)),
        })
    }
}

impl Drop for OpenFiles {
    fn drop(&mut self) {
        OPEN.with_borrow_mut(|(_, open)| open.remove(&self.0));
    }
}

/// The model in a page's files.
pub struct Pages {
    held: Arc<OpenFiles>,
    name: String,
}

impl Pages {
    /// The model called `name`.
    pub fn new(files: Files, name: String) -> Self {
        let number = OPEN.with_borrow_mut(|(count, open)| {
            *count += 1;
            open.insert(*count, files);
            *count
        });
        Self { held: Arc::new(OpenFiles(number)), name }
    }
}

impl Source for Pages {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn open(&self, path: &str) -> Result<Option<Box<dyn Blob>>> {
        check_path(path)?;
        let Some(size) = self.held.with(|files| files.size(path))? else { return Ok(None) };
        let place = format!("{}: {path}", self.name);
        let held = Arc::clone(&self.held);
        Ok(Some(Box::new(Page { held, path: path.to_owned(), place, size: size as u64 })))
    }
}

/// One of its files.
struct Page {
    held: Arc<OpenFiles>,
    path: String,
    place: String,
    size: u64,
}

impl Blob for Page {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let end = offset.checked_add(out.len() as u64);
        if end.is_none_or(|end| end > self.size) {
            return Err(ends_early(&self.place, self.size, offset, out.len()));
        }
        self.held.with(|files| files.read(&self.path, offset as f64, out))
    }

    fn place(&self) -> String {
        self.place.clone()
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.place, self.size)
    }
}
