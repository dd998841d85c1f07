//! Errors of routes, and headers of answers.

use serde_json::{Map, Value, json};

use crate::server::api::dialect::Dialect;
use crate::server::api::schema::of;

/// What each status says.
const ERRORS: [(u16, &str); 12] = [
    (400, "invalid request: a field is wrong, or there is nothing to embed"),
    (401, "missing or wrong API key"),
    (403, "host name or origin not allowed"),
    (404, "the model is not served"),
    (406, "no type in Accept is available"),
    (408, "timeout while reading the body"),
    (
        413,
        "the body, its list of inputs or the results are too large; at the Text Embeddings \
         Inference routes also validation errors",
    ),
    (415, "unsupported Content-Type or Content-Encoding"),
    (
        422,
        "a text cannot be tokenised; at the Text Embeddings Inference routes also a malformed body",
    ),
    (424, "the model failed"),
    (429, "the queue is full: see Retry-After"),
    (503, "shutting down, or the device was lost"),
];

/// The errors of a route of `dialect` by their statuses.
pub fn errors(dialect: &Dialect, statuses: &[u16]) -> Map<String, Value> {
    let schema = of(dialect.errors.name);
    let one = |(status, description): &(u16, &str)| {
        let mut answer = json!({
            "description": description, "content": { "application/json": { "schema": schema } },
        });
        if matches!(status, 429 | 503) {
            answer["headers"] =
                json!({ "retry-after": { "$ref": "#/components/headers/seconds" } });
        }
        (status.to_string(), answer)
    };
    ERRORS.iter().filter(|(status, _)| statuses.contains(status)).map(one).collect()
}

const USED: [(&str, &str); 9] = [
    ("x-compute-type", "cpu or gpu"),
    ("x-compute-time", "milliseconds for all texts"),
    ("x-compute-characters", "characters of all texts"),
    ("x-compute-tokens", "tokens of all texts"),
    ("x-tokenization-time", "milliseconds in the tokenizer"),
    ("x-queue-time", "milliseconds in the queue"),
    ("x-inference-time", "milliseconds in the model"),
    ("x-truncated-texts", "number of truncated texts"),
    ("x-truncated-tokens", "number of tokens lost by truncation"),
];

/// Headers by name, for all answers to refer to.
pub fn headers() -> Value {
    let one = |(name, description): &(&str, &str)| {
        let kind = if *name == "x-compute-type" { "string" } else { "integer" };
        ((*name).to_owned(), json!({ "description": description, "schema": { "type": kind } }))
    };
    let mut all: Map<String, Value> = USED.iter().map(one).collect();
    let seconds = json!({ "description": "seconds", "schema": { "type": "integer" } });
    all.insert("seconds".into(), seconds);
    Value::Object(all)
}

/// The headers of an answer that says what it took.
pub fn times() -> Value {
    let one = |(name, _): &(&str, &str)| {
        ((*name).to_owned(), json!({ "$ref": format!("#/components/headers/{name}") }))
    };
    Value::Object(USED.iter().map(one).collect())
}
