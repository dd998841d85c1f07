//! The model that comes with the binary: all-MiniLM-L6-v2, its weights rounded to float16.
//!
//! The files are those of `models/all-MiniLM-L6-v2/` at the root of the repository, where a note
//! says how they were made.

use std::sync::Arc;

use crate::error::Result;
use crate::model::sources::bytes::MemoryBlob;
use crate::model::sources::{Blob, Source, check_path};

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"), "/models/all-MiniLM-L6-v2/", $path
        )))),*]
    };
}

/// Name and bytes of every bundled file.
static FILES: &[(&str, &[u8])] = files![
    "1_Pooling/config.json",
    "config.json",
    "config_sentence_transformers.json",
    "model.safetensors",
    "modules.json",
    "sentence_bert_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
];

/// The bytes of one bundled file.
pub fn file(path: &str) -> Option<&'static [u8]> {
    FILES.iter().find(|(name, _)| *name == path).map(|(_, bytes)| *bytes)
}

/// The bundled model, all-MiniLM-L6-v2.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bundled;

impl Bundled {
    /// The name under which the model is asked for; `bundled` alone means the same.
    pub const NAME: &str = "bundled:all-MiniLM-L6-v2";
}

impl Source for Bundled {
    fn name(&self) -> String {
        Self::NAME.into()
    }

    fn open(&self, path: &str) -> Result<Option<Box<dyn Blob>>> {
        check_path(path)?;
        Ok(file(path).map(|bytes| {
            let place = format!("{}: {path}", Self::NAME);
            Box::new(MemoryBlob { bytes: Arc::new(bytes), place }) as Box<dyn Blob>
        }))
    }
}
