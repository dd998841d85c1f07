//! The server over loopback. Real clients are in tests/clients.
#![cfg(all(feature = "server", feature = "bundled", unix))]

mod client;
mod connection_limit;
mod devices;
mod dialects;
mod faults;
mod fields;
mod memory;
mod models;
mod options;
#[cfg(feature = "otel")]
mod otel;
mod quotes;
mod refusals;
mod turns;
mod web;
mod zmq;
