//! The error of a request, below all dialects.

use std::fmt;

use crate::error::{Error, ErrorKind, Setting};
use crate::quote::visible;

/// What is wrong with a request. The words are those of Text Embeddings Inference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
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

impl ErrorCode {
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
            ErrorCode::Overloaded => "Overloaded",
            ErrorCode::Unhealthy => "Unhealthy",
            ErrorCode::Backend => "Backend",
            ErrorCode::Tokenizer => "Tokenizer",
            ErrorCode::Empty => "Empty",
            ErrorCode::Unauthorized => "Unauthorized",
            ErrorCode::Forbidden => "Forbidden",
            ErrorCode::NotFound | ErrorCode::NoRoute => "NotFound",
            ErrorCode::Method => "MethodNotAllowed",
            ErrorCode::Accept => "NotAcceptable",
            ErrorCode::Media => "UnsupportedMediaType",
            ErrorCode::Timeout => "Timeout",
            ErrorCode::Validation | ErrorCode::Malformed | ErrorCode::TooLarge => "Validation",
        }
    }
}

/// Characters of a sentence: more than any has that quotes as [`quote`](crate::quote::quote) does.
const LONGEST: usize = 800;

/// The error of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// What is wrong.
    pub code: ErrorCode,
    /// For a person.
    pub message: String,
    /// The field of the body that it is about, such as `outputs[1].pool`.
    pub field: Option<String>,
    /// The settings that it suggests to change; a dialect adds its fields for them.
    pub settings: &'static [Setting],
}

impl ApiError {
    /// An error that says `message`. What it quotes of its client is cut by whoever writes it
    /// ([`quote`](crate::quote::quote)); that nothing in it is hidden is held here once more.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: visible(&message.into(), LONGEST), field: None, settings: &[] }
    }

    /// The same, of this field of the body.
    pub fn at(mut self, field: impl Into<String>) -> Self {
        let field = field.into();
        self.message = format!("`{field}`: {}", self.message);
        self.of(field)
    }

    /// The same, of this field of the body, which the sentence names already.
    pub fn of(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// The queue is full.
    pub fn busy() -> Self {
        Self::new(ErrorCode::Overloaded, "the queue is full: try again in a second")
    }

    /// The server goes down.
    pub fn closing() -> Self {
        Self::new(ErrorCode::Unhealthy, "the server is shutting down")
    }

    /// Others wait for the connection of a client that sends little.
    pub fn evicted() -> Self {
        let said = "all connections are in use, and this one was idle for too long: try again";
        Self::new(ErrorCode::Unhealthy, said)
    }

    /// No device is left.
    pub fn lost() -> Self {
        Self::new(ErrorCode::Unhealthy, "the device is lost: it is being opened again")
    }

    /// HTTP status where Text Embeddings Inference's own words are spoken.
    pub fn tei_status(&self) -> u16 {
        match self.code {
            ErrorCode::Validation => 413,
            ErrorCode::Malformed => 422,
            _ => self.status(),
        }
    }

    /// HTTP status elsewhere.
    pub fn status(&self) -> u16 {
        match self.code {
            ErrorCode::Overloaded => 429,
            ErrorCode::Unhealthy => 503,
            ErrorCode::Backend => 424,
            ErrorCode::Tokenizer => 422,
            ErrorCode::Validation | ErrorCode::Empty | ErrorCode::Malformed => 400,
            ErrorCode::TooLarge => 413,
            ErrorCode::Unauthorized => 401,
            ErrorCode::Forbidden => 403,
            ErrorCode::NotFound | ErrorCode::NoRoute => 404,
            ErrorCode::Method => 405,
            ErrorCode::Accept => 406,
            ErrorCode::Media => 415,
            ErrorCode::Timeout => 408,
        }
    }

    /// `type` of OpenAI's errors.
    pub fn openai_type(&self) -> &'static str {
        match self.code {
            ErrorCode::Overloaded => "rate_limit_error",
            ErrorCode::Unhealthy | ErrorCode::Backend => "server_error",
            ErrorCode::Unauthorized => "authentication_error",
            ErrorCode::Forbidden => "permission_error",
            _ => "invalid_request_error",
        }
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let code = match error.kind() {
            ErrorKind::Text => ErrorCode::Tokenizer,
            ErrorKind::Usage | ErrorKind::TooLong | ErrorKind::Unsupported => ErrorCode::Validation,
            ErrorKind::DeviceLost => ErrorCode::Unhealthy,
            ErrorKind::NotFound => ErrorCode::NotFound,
            _ => ErrorCode::Backend,
        };
        Self { settings: error.settings(), ..Self::new(code, error.to_string()) }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
