//! The server against clients that mean ill or are broken: damaged requests to every route, crowds
//! of slow connections, wrong frames on ZeroMQ. After each the process lives, the next request is
//! answered with the same numbers, and files and memory are given back.
//!
//! `EVERYLAYER_FUZZ` is the number of inputs (5,000 where it is not set), `EVERYLAYER_SLOW` that of
//! slow connections (2,000). All is seeded.
#![cfg(all(feature = "server", feature = "bundled", target_os = "linux"))]

mod damage;
mod frames;
mod http;
mod rng;
mod server;
mod slow;
