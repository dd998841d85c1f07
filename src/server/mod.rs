//! The server: HTTP and ZeroMQ front ends over one batcher a model.
//!
//! A front end turns a client's words into texts and captures, [`service::Service`] makes tokens of
//! the texts, and [`batcher::Batcher`] runs them with those of all other clients. No front end knows
//! another, and the device's thread knows none.
//!
//! ```text
//! openai, tei, layers, bert (HTTP) --http--.
//!                                           service --batcher--> Encoder::embed_orders
//! bert (ZeroMQ) -------------------zmq-----'
//! ```

mod about;
pub mod batcher;
pub mod bert;
mod bodies;
mod body;
mod docs;
#[cfg(test)]
mod fuzz;
mod health;
pub mod http;
mod layers;
pub mod metrics;
mod openai;
mod openapi;
#[cfg(feature = "otel")]
pub mod otel;
mod reading;
pub mod refusal;
pub mod service;
mod settings;
mod tei;
pub mod web;
pub mod zmq;

pub use about::pooling;
pub use service::Service;
pub use settings::Settings;
