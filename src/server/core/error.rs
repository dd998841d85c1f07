//! What a front end tells a client that gets no result.

use std::fmt;

use crate::error::{Error, ErrorKind};
use crate::quote::visible;

/// Why a request was refused. The words are those of Text Embeddings Inference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The queue is full. 429
    Overloaded,
    /// The server is shutting down, or its device is lost. 503
    Unhealthy,
    /// The device failed on this request. 424
    Backend,
    /// A text cannot be tokenised. 422
    Tokenizer,
    /// The request asks for what cannot be done. 413 at the TEI routes, 400 elsewhere
    Validation,
    /// There is nothing to embed. 400
    Empty,
    /// The body is no JSON, or not of the form. 422 at the TEI routes, 400 elsewhere
    Malformed,
    /// The body, or its list, is beyond the limit. 413
    TooLarge,
    /// No key, or a wrong one. 401
    Unauthorized,
    /// Another site's page asks, or it asks another server. 403
    Forbidden,
    /// No such model, or no such file. 404
    NotFound,
    /// No such route. 404
    NoRoute,
    /// The route has other methods. 405
    Method,
    /// No form of the answer is one that the client takes. 406
    Accept,
    /// The body is of a type or coding that is not read. 415
    Media,
    /// The body did not come in time. 408
    Timeout,
}

impl Why {
    /// Every one.
    pub const ALL: [Self; 16] = [
        Self::Overloaded,
        Self::Unhealthy,
        Self::Backend,
        Self::Tokenizer,
        Self::Validation,
        Self::Empty,
        Self::Malformed,
        Self::TooLarge,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::NoRoute,
        Self::Method,
        Self::Accept,
        Self::Media,
        Self::Timeout,
    ];

    /// `error_type` of Text Embeddings Inference.
    pub fn tei_type(self) -> &'static str {
        match self {
            Why::Overloaded => "Overloaded",
            Why::Unhealthy => "Unhealthy",
            Why::Backend => "Backend",
            Why::Tokenizer => "Tokenizer",
            Why::Empty => "Empty",
            Why::Unauthorized => "Unauthorized",
            Why::Forbidden => "Forbidden",
            Why::NotFound | Why::NoRoute => "NotFound",
            Why::Method => "MethodNotAllowed",
            Why::Accept => "NotAcceptable",
            Why::Media => "UnsupportedMediaType",
            Why::Timeout => "Timeout",
            Why::Validation | Why::Malformed | Why::TooLarge => "Validation",
        }
    }
}

/// Characters of a sentence: more than any has that quotes as [`quote`](crate::quote::quote) does.
const LONGEST: usize = 800;

/// A refusal with its sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub why: Why,
    /// For a person.
    pub message: String,
    /// The field of the body that it is about, such as `outputs[1].pool`.
    pub field: Option<String>,
}

impl Refusal {
    /// A refusal that says `message`. What it quotes of its client is cut by whoever writes it
    /// ([`quote`](crate::quote::quote)); that nothing in it is hidden is held here once more.
    pub fn new(why: Why, message: impl Into<String>) -> Self {
        Self { why, message: visible(&message.into(), LONGEST), field: None }
    }

    /// The same, of this field of the body.
    pub fn at(mut self, field: impl Into<String>) -> Self {
        let field = field.into();
        if !self.message.starts_with(&format!("`{field}`")) {
            self.message = format!("`{field}`: {}", self.message);
        }
        self.field = Some(field);
        self
    }

    /// The queue is full.
    pub fn busy() -> Self {
        Self::new(Why::Overloaded, "the queue is full: try again in a second")
    }

    /// The server goes down.
    pub fn closing() -> Self {
        Self::new(Why::Unhealthy, "the server is shutting down")
    }

    /// Others wait for the connection of a client that sends little.
    pub fn crowded() -> Self {
        let said = "all connections are taken, and this one sent nothing for too long: try again";
        Self::new(Why::Unhealthy, said)
    }

    /// No device is left.
    pub fn lost() -> Self {
        Self::new(Why::Unhealthy, "the device is lost: it is being opened again")
    }

    /// HTTP status where Text Embeddings Inference's own words are spoken.
    pub fn tei_status(&self) -> u16 {
        match self.why {
            Why::Validation => 413,
            Why::Malformed => 422,
            _ => self.status(),
        }
    }

    /// HTTP status elsewhere.
    pub fn status(&self) -> u16 {
        match self.why {
            Why::Overloaded => 429,
            Why::Unhealthy => 503,
            Why::Backend => 424,
            Why::Tokenizer => 422,
            Why::Validation | Why::Empty | Why::Malformed => 400,
            Why::TooLarge => 413,
            Why::Unauthorized => 401,
            Why::Forbidden => 403,
            Why::NotFound | Why::NoRoute => 404,
            Why::Method => 405,
            Why::Accept => 406,
            Why::Media => 415,
            Why::Timeout => 408,
        }
    }

    /// `type` of OpenAI's errors.
    pub fn openai_type(&self) -> &'static str {
        match self.why {
            Why::Overloaded => "rate_limit_error",
            Why::Unhealthy | Why::Backend => "server_error",
            Why::Unauthorized => "authentication_error",
            Why::Forbidden => "permission_error",
            _ => "invalid_request_error",
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let why = match error.kind() {
            ErrorKind::Text => Why::Tokenizer,
            ErrorKind::Usage | ErrorKind::TooLong | ErrorKind::Unsupported => Why::Validation,
            ErrorKind::DeviceLost => Why::Unhealthy,
            ErrorKind::NotFound => Why::NotFound,
            _ => Why::Backend,
        };
        Self::new(why, error.to_string())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
