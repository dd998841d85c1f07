//! Models as data: sources of files, checkpoints, configs and the family table.

pub mod source;
