//! What an API is here: its routes, each with what runs it and what the OpenAPI document says of it,
//! and its errors. A file each, and a row in [`dialects`](super::dialects).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::answer::Answer;
use super::errors::Errors;
use super::schema::Fields;
use crate::error::Setting;
use crate::server::core::bodies::Caller;
use crate::server::core::error::ApiError;
use crate::server::core::service::Service;

/// An API.
pub struct Dialect {
    /// Its name, a tag of the document.
    pub name: &'static str,
    /// How the paths begin whose errors it words, routes that are not there among them. The longest
    /// beginning of all dialects decides.
    pub prefixes: &'static [&'static str],
    /// Its routes.
    pub routes: &'static [Route],
    /// How it words errors.
    pub errors: &'static Errors,
    /// Its field for what the library suggests to change.
    pub field: fn(Setting) -> Option<&'static str>,
    /// The schemas that its routes name.
    pub schemas: fn(&Fields) -> Vec<(&'static str, Value)>,
}

/// A path and what is done there.
pub struct Route {
    /// As axum has it: `{*model}` is the rest of a path.
    pub path: &'static str,
    /// What it does, in one line; empty where the document leaves it out.
    pub summary: &'static str,
    /// What runs it.
    pub call: Call,
}

/// What is asked.
pub enum Call {
    /// A request without a body.
    Get(Get),
    /// A request with a body.
    Post(Post),
}

/// A request without a body.
pub struct Get {
    /// The media type of the answer.
    pub kind: &'static str,
    /// The schema of the answer; empty where it is plain text.
    pub answer: &'static str,
    /// The errors it may have.
    pub statuses: &'static [u16],
    /// Runs it, with the rest of the path where the route takes one.
    pub run: fn(Arc<Service>, String) -> Pending,
}

/// A request with a body.
pub struct Post {
    /// The schema of the body.
    pub body: &'static str,
    /// A body with every field.
    pub example: fn() -> Value,
    /// The schema of the answer.
    pub answer: &'static str,
    /// The media types of the answer that a client can choose from, the default first.
    pub kinds: &'static [&'static str],
    /// Whether the answer's headers say what it took.
    pub has_times: bool,
    /// Runs it.
    pub run: fn(Arc<Service>, Posted) -> Pending,
}

/// A request that was read whole.
pub struct Posted {
    /// Whose it is.
    pub caller: Caller,
    /// Its body, expanded.
    pub body: Bytes,
    /// The media type of the answer, one of those of the route.
    pub kind: &'static str,
}

/// An answer, or the error that a dialect is to word.
pub type Reply = Result<Answer, ApiError>;

/// A reply on its way.
pub type Pending = Pin<Box<dyn Future<Output = Reply> + Send>>;

/// Errors of most routes without a body: the key, the host, the media type.
pub const GET_ERRORS: &[u16] = &[401, 403, 406];

/// A route without a body, by `fn(&Service) -> Answer`.
macro_rules! get {
    ($path:literal, $summary:literal, $kind:expr, $answer:literal, $work:path) => {
        crate::server::api::dialect::Route {
            path: $path,
            summary: $summary,
            call: crate::server::api::dialect::Call::Get(crate::server::api::dialect::Get {
                kind: $kind,
                answer: $answer,
                statuses: crate::server::api::dialect::GET_ERRORS,
                run: |service, _| Box::pin(async move { Ok($work(&service)) }),
            }),
        }
    };
}

/// A route with a body, by `async fn(&Service, Caller, Bytes) -> Reply`.
macro_rules! post {
    ($path:literal, $summary:literal, $body:literal, $example:expr, $answer:literal, $times:literal, $work:path) => {
        crate::server::api::dialect::Route {
            path: $path,
            summary: $summary,
            call: crate::server::api::dialect::Call::Post(crate::server::api::dialect::Post {
                body: $body,
                example: $example,
                answer: $answer,
                kinds: &[crate::server::api::accept::JSON],
                has_times: $times,
                run: |service, posted| {
                    Box::pin(async move { $work(&service, posted.caller, posted.body).await })
                },
            }),
        }
    };
}

pub(super) use {get, post};
