//! Models as data: sources of files, checkpoints, configs and the family table.

mod adapter;
mod albert;
mod bert;
#[cfg(feature = "bundled")]
pub mod bundled;
pub mod bytes;
pub mod checkpoint;
mod config;
mod deberta;
pub mod directory;
mod distilbert;
mod electra;
mod eurobert;
pub mod family;
mod gte;
#[cfg(feature = "hub")]
pub mod hub;
mod jina;
pub mod layout;
pub mod load;
pub mod locate;
mod modernbert;
mod mpnet;
mod nomic;
mod others;
mod parts;
mod pickle;
pub mod pipeline;
mod recognise;
mod roberta;
mod safetensors;
pub mod source;
pub mod spec;
mod stand_in;
mod suggest;
mod torch;
mod values;
pub mod weights;
