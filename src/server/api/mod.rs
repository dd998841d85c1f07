//! The dialects of requests and answers. None of them imports another.

pub mod about;
pub mod accept;
pub mod answer;
pub mod bert;
pub mod body;
pub mod docs;
pub mod inputs;
pub mod layers;
pub mod openai;
pub mod openapi;
pub mod stream;
pub mod tei;
pub mod web;
