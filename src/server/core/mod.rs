//! What all protocols share: from texts to results, and what bounds them.
//!
//! [`service::Service`] makes tokens of texts, and [`batcher::Batcher`] runs them with those of all other
//! clients.

pub mod batcher;
pub mod bert;
pub(super) mod bodies;
pub mod error;
pub(super) mod health;
pub mod metrics;
#[cfg(feature = "otel")]
pub mod otel;
pub(super) mod reading;
pub(super) mod results;
pub mod service;
pub mod settings;
pub mod site;
