//! everylayer: every layer of any BERT, on any GPU.

#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod cpu;
pub mod error;
pub mod execute;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod model;
pub mod schedule;
pub mod text;

pub use error::{Error, ErrorKind, Result};
