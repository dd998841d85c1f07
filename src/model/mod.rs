//! Models as data: sources of files, checkpoints, configs and the family table.

mod adapter;
pub mod families;
pub mod formats;
pub mod layout;
pub mod load;
pub mod pipeline;
pub mod sources;
pub mod spec;
pub mod weights;

pub use formats::checkpoint;
#[cfg(feature = "bundled")]
pub use sources::bundled;
#[cfg(feature = "hub")]
pub use sources::hub;
pub use sources::{bytes, directory, locate};
