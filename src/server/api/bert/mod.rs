//! BERT-as-Service 1.10: what it makes of texts, and its HTTP routes. Its ZeroMQ protocol is in
//! [`zmq`](crate::server::transport::zmq).
//!
//! Rules: `bert_serving/server/bert/extract_features.py` (texts to tokens) and `graph.py` (pooling).

mod compute;
mod document;
mod routes;
mod rows;
mod status;

pub use compute::{Array, compute};
pub use document::DIALECT;
pub use rows::Sequences;
pub use status::show_config;

pub use crate::server::core::bert::{Config, Strategy};

/// The version that its clients ask for.
pub const VERSION: &str = "1.10.0";
