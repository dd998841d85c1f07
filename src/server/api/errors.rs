//! Errors as several dialects word them.

use serde_json::{Value, json};

use super::schema::{open, text};
use crate::server::core::error::{ApiError, ErrorCode};

/// How errors are worded.
pub struct Errors {
    /// Status and body.
    pub body: fn(&ApiError) -> (u16, Value),
    /// The name of the body's schema.
    pub name: &'static str,
    /// The body's schema.
    pub schema: fn() -> Value,
}

/// As OpenAI's.
pub static OPENAI: Errors = Errors { body: openai, name: "OpenAiError", schema: openai_schema };

/// As those of Text Embeddings Inference.
pub static TEI: Errors = Errors { body: tei, name: "TeiError", schema: tei_schema };

fn openai(error: &ApiError) -> (u16, Value) {
    let code = match error.code {
        ErrorCode::Unauthorized => Some("invalid_api_key"),
        ErrorCode::NotFound => Some("model_not_found"),
        _ => None,
    };
    let body = json!({
        "message": error.message, "type": error.openai_type(), "param": error.field, "code": code,
    });
    (error.status(), json!({ "error": body }))
}

fn openai_schema() -> Value {
    let fields = json!({
        "message": text(),
        "type": { "type": "string", "description": "such as invalid_request_error" },
        "param": { "type": ["string", "null"], "description": "the field, such as outputs[1].pool" },
        "code": { "type": ["string", "null"] },
    });
    open(&["error"], json!({ "error": open(&["message", "type", "param", "code"], fields) }))
}

fn tei(error: &ApiError) -> (u16, Value) {
    (error.tei_status(), json!({ "error": error.message, "error_type": error.code.tei_type() }))
}

fn tei_schema() -> Value {
    let mut types: Vec<&str> = Vec::new();
    for name in ErrorCode::ALL.iter().map(|code| code.tei_type()) {
        if !types.contains(&name) {
            types.push(name);
        }
    }
    let kind = json!({ "type": "string", "enum": types });
    open(&["error", "error_type"], json!({ "error": text(), "error_type": kind }))
}
