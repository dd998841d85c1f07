//! The server against clients that mean ill or are broken: damaged requests to every route, crowds
//! of slow connections, wrong frames on ZeroMQ. After each the process lives, the next request is
//! answered with the same numbers, and files and memory are given back.
//!
//! And the parsers of a model's files, in process (`harness.rs`); those of the program and of the
//! server are in `src/cli/input/fuzz.rs`, `src/cli/embed/fuzz.rs` and `src/server/fuzz.rs`.
//! `tests/fuzz/run` runs many inputs of each.
//!
//! `EVERYLAYER_FUZZ` is the number of inputs (5,000 where it is not set), `EVERYLAYER_SLOW` that of
//! slow connections (2,000). All is seeded.
#![cfg(all(feature = "server", feature = "bundled", target_os = "linux"))]
#![deny(unsafe_code)]

mod changed;
mod damage;
mod frames;
mod harness;
mod http;
mod memory;
mod models;
mod mutate;
mod rng;
mod runs;
mod server;
mod slow;
mod weights;
mod zmtp;

#[global_allocator]
static ALLOCATOR: memory::Counted = memory::Counted;
