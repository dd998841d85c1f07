//! Answers.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use super::body;
use crate::server::core::error::{ApiError, ErrorCode};
use crate::server::core::service::Outcome;

/// The codings that are read; as `Accept-Encoding` of an error names them.
pub const CODINGS: &str = "gzip, deflate, br, zstd";

/// An answer.
pub type Answer = Response<Body>;

/// An answer without a body.
pub fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    answer
}

/// An answer of these bytes.
pub fn of_bytes(bytes: impl Into<Bytes>, kind: &'static str) -> Answer {
    let mut answer = Response::new(Body::from(bytes.into()));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// An answer in JSON.
pub fn of_json(value: &impl serde::Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(bytes) => of_bytes(bytes, "application/json"),
        // What is serialised here are strings and finite numbers, which cannot fail.
        Err(_) => empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// Bytes of a request or an answer beyond which it is read or written on a thread of its own: some
/// tenths of a millisecond of work, in which no other client is heard.
const LIGHT: usize = 64 << 10;

/// Does `work` on `bytes` bytes: here where that is little, else where no client waits for it.
///
/// # Errors
///
/// `ErrorCode::Backend` where it panics.
pub async fn aside<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    if bytes <= LIGHT {
        return Ok(work());
    }
    let failed =
        |_| ApiError::new(ErrorCode::Backend, "the server failed on this request (a panic)");
    tokio::task::spawn_blocking(work).await.map_err(failed)
}

/// Reads the fields that a route takes.
///
/// # Errors
///
/// `ErrorCode::Malformed`, which names the field.
pub async fn parse<T>(body: Bytes) -> Result<T, ApiError>
where
    T: serde::de::DeserializeOwned + Send + 'static,
{
    let bytes = body.len();
    aside(bytes, move || body::read(&body)).await?
}

/// The answer with what it took, in the headers of Text Embeddings Inference.
pub fn with_times(mut answer: Answer, outcome: &Outcome) -> Answer {
    let times = outcome.times;
    let whole = times.tokenization + times.queue + times.inference;
    let ms = |time: Duration| time.as_millis() as u64;
    let headers = answer.headers_mut();
    for (name, value) in [
        ("x-compute-time", ms(whole)),
        ("x-compute-characters", outcome.characters as u64),
        ("x-compute-tokens", outcome.tokens as u64),
        ("x-tokenization-time", ms(times.tokenization)),
        ("x-queue-time", ms(times.queue)),
        ("x-inference-time", ms(times.inference)),
        ("x-truncated-texts", outcome.truncated.0 as u64),
        ("x-truncated-tokens", outcome.truncated.1 as u64),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
    }
    let device = if outcome.on_cpu { "cpu" } else { "gpu" };
    headers.insert(HeaderName::from_static("x-compute-type"), HeaderValue::from_static(device));
    answer
}
