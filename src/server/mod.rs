//! The server: HTTP and ZeroMQ front ends over one batcher a model.
//!
//! ```text
//! transport                 api                      core
//! http --routes--> dialects --.
//!                              service --batcher--> Encoder::embed_jobs
//! zmq -----------> bert ------'
//! ```

mod api;
mod core;
#[cfg(test)]
mod fuzz;
mod transport;

pub use self::api::about::pooling;
pub use self::api::bert;
pub use self::api::dialects::table;
#[cfg(feature = "otel")]
pub use self::core::otel;
pub use self::core::service::{self, Service};
pub use self::core::settings::Settings;
pub use self::core::site::Site;
pub use self::core::{batcher, metrics};
pub use self::transport::{http, zmq};
