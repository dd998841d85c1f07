//! everylayer: every layer of any BERT, on any GPU.

#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod capture;
pub mod cpu;
pub mod embeddings;
pub mod encoder;
pub mod error;
pub mod execute;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod model;
pub mod schedule;
pub mod text;

pub use capture::{Capture, Combine, Layers, Overflow, Pool, Precision, Route, WordPool};
pub use embeddings::{Embeddings, TextEmbedding};
pub use encoder::{Device, Dtype, Encoder, LoadOptions};
pub use error::{Error, ErrorKind, Result};
pub use schedule::Recording;
pub use text::Text;
