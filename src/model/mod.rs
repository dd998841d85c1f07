//! Models as data: sources of files, checkpoints, configs and the family table.

#[cfg(feature = "bundled")]
pub mod bundled;
pub mod bytes;
pub mod checkpoint;
pub mod directory;
#[cfg(feature = "hub")]
pub mod hub;
pub mod locate;
mod safetensors;
pub mod source;
