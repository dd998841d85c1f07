//! Models as data: sources of files, checkpoints, configs and the family table.

mod bert;
#[cfg(feature = "bundled")]
pub mod bundled;
pub mod bytes;
pub mod checkpoint;
mod config;
pub mod directory;
pub mod family;
#[cfg(feature = "hub")]
pub mod hub;
pub mod layout;
pub mod load;
pub mod locate;
mod pickle;
pub mod pipeline;
mod safetensors;
pub mod source;
pub mod spec;
mod torch;
