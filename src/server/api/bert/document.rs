//! The HTTP routes of BERT-as-Service, as the server runs and the OpenAPI document shows them.

use serde_json::{Value, json};

use super::routes::{encode, status_client, status_server};
use crate::server::api::accept::JSON;
use crate::server::api::dialect::{Dialect, get, post};
use crate::server::api::errors::TEI;
use crate::server::api::schema::{Fields, list, open, text};

/// BERT-as-Service.
pub static DIALECT: Dialect = Dialect {
    name: "BERT-as-Service",
    prefixes: &["/encode", "/status/"],
    routes: &[
        post!(
            "/encode",
            "Vectors in the format of the BERT-as-Service HTTP server",
            "EncodeBody",
            example,
            "Encoded",
            false,
            encode
        ),
        get!("/status/server", "The server's options and counts", JSON, "Object", status_server),
        get!("/status/client", "Counts of requests", JSON, "Object", status_client),
    ],
    errors: &TEI,
    field: |_| None,
    schemas,
};

fn example() -> Value {
    json!({ "id": 1, "texts": ["Good morning"], "is_tokenized": false })
}

fn schemas(_: &Fields) -> Vec<(&'static str, Value)> {
    let encoded = json!({
        "result": { "type": "array" }, "results": { "type": "array" }, "status": { "const": 200 },
        "tokens": list(&list(&text())),
    });
    let tokens = json!({ "type": "array", "items": text() });
    vec![
        ("EncodeBody", json!({ "anyOf": [body(text(), false), body(tokens, true)] })),
        ("Encoded", open(&["id", "result", "results", "status"], encoded)),
    ]
}

/// The body of `/encode` with `texts` of `item`.
fn body(item: Value, is_tokenized: bool) -> Value {
    open(
        &["texts"],
        json!({
            "id": { "description": "returned unchanged" },
            "texts": { "type": "array", "items": item, "minItems": 1 },
            "is_tokenized": {
                "type": ["boolean", "null"], "enum": [is_tokenized, null],
                "description": "whether `texts` are lists of tokens",
            },
        }),
    )
}
