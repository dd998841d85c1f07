//! everylayer: every layer of any BERT, on any GPU.

#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod capture;
pub mod embeddings;
pub mod error;
pub mod model;
pub mod output;

pub use capture::{Capture, Combine, Layers, Pool, Precision};
pub use embeddings::{Embeddings, TextEmbedding};
pub use error::{Error, ErrorKind, Result};
