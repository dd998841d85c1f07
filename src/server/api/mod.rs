//! The dialects of requests and answers, a row of `dialects.rs` each. None of them imports another.

pub mod about;
pub mod accept;
pub mod answer;
pub mod bert;
pub mod body;
pub mod dialect;
pub mod dialects;
pub mod docs;
mod errors;
pub mod inputs;
pub mod layers;
pub mod openai;
pub mod openapi;
mod schema;
pub mod stream;
pub mod tei;
pub mod web;
