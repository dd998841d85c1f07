//! What was found of a page's GPU: a text that the page keeps from one load to the next.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};

use wasm_bindgen::prelude::*;

use crate::encoder::KeptIn;

/// The text of one adapter.
#[wasm_bindgen]
pub struct Verdicts {
    text: Arc<Mutex<String>>,
    /// As the page knows it.
    told: RefCell<String>,
}

#[wasm_bindgen]
impl Verdicts {
    /// What the page has kept, if anything.
    #[wasm_bindgen(constructor)]
    pub fn new(kept: Option<String>) -> Self {
        let told = kept.unwrap_or_default();
        Self { text: Arc::new(Mutex::new(told.clone())), told: RefCell::new(told) }
    }

    /// The text where it is another than the page knows; it knows it from then on.
    pub fn changed(&self) -> Option<String> {
        let text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = (*text != *self.told.borrow()).then(|| text.clone());
        if let Some(text) = &changed {
            self.told.replace(text.clone());
        }
        changed
    }
}

impl Verdicts {
    /// Where an encoder keeps what it finds.
    pub(super) fn place(&self) -> KeptIn {
        KeptIn::Text(Arc::clone(&self.text))
    }
}
