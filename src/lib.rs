//! everylayer: every layer of any BERT, on any GPU.

#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod error;
pub mod model;
pub mod text;

pub use error::{Error, ErrorKind, Result};
