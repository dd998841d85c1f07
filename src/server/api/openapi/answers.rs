//! Schemas of answers, errors among them.

use serde_json::{Map, Value, json};

use crate::server::api::answer::Dialect;
use crate::server::core::error::ErrorCode;

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

/// The errors of a route by their statuses.
pub fn errors(path: &str, statuses: &[u16]) -> Map<String, Value> {
    let schema = match Dialect::of(path) {
        Dialect::OpenAi => "OpenAiError",
        Dialect::Tei => "TeiError",
    };
    let schema = json!({ "$ref": format!("#/components/schemas/{schema}") });
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

/// The headers of an answer; routes that run no model have none of their own.
pub fn used(answer: &str) -> Value {
    if matches!(answer, "Tokens" | "Strings" | "Encoded") {
        return json!({});
    }
    let one = |(name, _): &(&str, &str)| {
        ((*name).to_owned(), json!({ "$ref": format!("#/components/headers/{name}") }))
    };
    Value::Object(USED.iter().map(one).collect())
}

fn object(required: &[&str], properties: Value) -> Value {
    json!({ "type": "object", "required": required, "properties": properties })
}

fn list(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

fn of(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// Schemas by name.
pub fn schemas() -> Map<String, Value> {
    let number = json!({ "type": "number" });
    let numbers = list(number.clone());
    let count = json!({ "type": "integer", "minimum": 0 });
    let text = json!({ "type": "string" });
    let place = json!({ "type": ["integer", "null"], "minimum": 0 });
    let usage = |names: &[&str]| {
        let fields = names.iter().map(|name| ((*name).to_owned(), count.clone()));
        object(names, Value::Object(fields.collect()))
    };
    let types: Vec<&str> = ErrorCode::ALL.iter().map(|code| code.tei_type()).collect();
    let all = json!({
        "OpenAiError": object(&["error"], json!({
            "error": object(&["message", "type", "param", "code"], json!({
                "message": text,
                "type": { "type": "string", "description": "such as invalid_request_error" },
                "param": { "type": ["string", "null"], "description": "the field, such as outputs[1].pool" },
                "code": { "type": ["string", "null"] },
            })),
        })),
        "TeiError": object(&["error", "error_type"], json!({
            "error": text, "error_type": { "type": "string", "enum": dedup(types) },
        })),
        "Object": { "type": "object" },
        "Numbers": numbers,
        "Vectors": list(numbers.clone()),
        "TokenVectors": list(list(numbers.clone())),
        "Strings": list(text.clone()),
        "Arrays": {
            "type": "string", "format": "binary",
            "description": "arrays (columns in Arrow): NAME.vectors of shape (texts, layers, \
                            width), or with one row per token or word; token_ids, token_spans, \
                            token_words, token_offsets \
                            under `tokens`, word_spans, word_tokens, word_offsets under `words`",
        },
        "Tokens": list(list(object(&["id", "text", "special", "start", "stop"], json!({
            "id": count, "text": text, "special": { "type": "boolean" }, "start": place, "stop": place,
        })))),
        "Embeddings": object(&["object", "data", "model", "usage"], json!({
            "object": { "const": "list" },
            "data": list(object(&["object", "index", "embedding"], json!({
                "object": { "const": "embedding" }, "index": count,
                "embedding": { "anyOf": [numbers, { "type": "string", "contentEncoding": "base64" }] },
            }))),
            "model": text, "usage": usage(&["prompt_tokens", "total_tokens"]),
        })),
        "Model": object(&["id", "object", "created", "owned_by"], json!({
            "id": text, "object": { "const": "model" }, "created": count, "owned_by": text,
        })),
        "Models": object(&["object", "data"], json!({
            "object": { "const": "list" }, "data": list(of("Model")),
        })),
        "Layers": object(&["model", "usage", "truncated", "tokens_lost", "texts", "outputs"], json!({
            "model": text, "usage": usage(&["total_tokens"]), "truncated": count, "tokens_lost": count,
            "texts": list(object(&["index", "text_tokens", "tokens_lost"], json!({
                "index": count, "text_tokens": count, "tokens_lost": count,
                "tokens": list(object(&["text", "id", "start", "end", "word"], json!({
                    "text": text, "id": count, "start": count, "end": count, "word": place,
                }))),
                "words": list(object(&["text", "start", "end", "tokens"], json!({
                    "text": text, "start": count, "end": count, "tokens": list(count.clone()),
                }))),
            }))),
            "outputs": list(object(&["name", "layers", "results"], json!({
                "name": text, "layers": list(count.clone()),
                "results": list(object(&["vectors"], json!({
                    "vectors": { "type": "array", "description": "shape (layers, rows, width)" },
                }))),
            }))),
        })),
        "Encoded": object(&["id", "result", "results", "status"], json!({
            "result": { "type": "array" }, "results": { "type": "array" }, "status": { "const": 200 },
            "tokens": list(list(text.clone())),
        })),
        "Health": object(&["status"], json!({ "status": { "const": "ok" } })),
        "Info": object(
            &["model_id", "model_dtype", "max_concurrent_requests", "max_input_length",
              "max_batch_tokens", "max_client_batch_size", "auto_truncate", "version"],
            json!({
                "model_id": text, "model_sha": { "type": ["string", "null"] }, "model_dtype": text,
                "max_concurrent_requests": count, "max_input_length": count, "max_batch_tokens": count,
                "max_client_batch_size": count, "auto_truncate": { "type": "boolean" }, "version": text,
            }),
        ),
    });
    match all {
        Value::Object(all) => all,
        _ => Map::new(),
    }
}

fn dedup(names: Vec<&str>) -> Vec<&str> {
    let mut seen = Vec::new();
    names.into_iter().for_each(|name| {
        if !seen.contains(&name) {
            seen.push(name);
        }
    });
    seen
}
