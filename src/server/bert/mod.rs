//! BERT-as-Service 1.10: what it makes of texts, and its HTTP routes. Its ZeroMQ protocol is in
//! [`zmq`](super::zmq).
//!
//! Rules: `bert_serving/server/bert/extract_features.py` (texts to tokens) and `graph.py` (pooling).

mod compute;
mod config;
mod routes;
mod rows;
mod status;

pub use compute::{Array, compute};
pub use config::{Config, Strategy};
pub use routes::{encode, status_client, status_server};
pub use rows::Sequences;
pub use status::{Statistic, show_config};

/// The version that its clients ask for.
pub const VERSION: &str = "1.10.0";
