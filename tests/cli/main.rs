//! The command line as a user meets it: words in, output, notes and exit code out.
//!
//! Runs the binary over the bundled model on the CPU; what the numbers are is held by the goldens.

#![cfg(all(feature = "cli", feature = "bundled"))]

mod attention;
mod bench;
#[cfg(all(feature = "gpu", target_os = "linux"))]
mod broken;
mod calls;
mod cluster;
#[cfg(feature = "gpu")]
mod doctor;
mod embed;
mod errors;
mod explore;
mod files;
mod headless;
mod input;
mod names;
mod other;
mod runs;
mod shells;
mod words;
