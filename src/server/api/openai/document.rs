//! OpenAI's routes, as the server runs and the OpenAPI document shows them.

use serde_json::{Value, json};

use super::{embeddings, model, models};
use crate::server::api::accept::JSON;
use crate::server::api::dialect::{Call, Dialect, Get, Route, get, post};
use crate::server::api::errors::OPENAI;
use crate::server::api::schema::{Fields, closed, list, maybe, of, open, size, sizes, text, word};

/// OpenAI.
pub static DIALECT: Dialect = Dialect {
    name: "OpenAI",
    prefixes: &["/v1", "/embeddings"],
    routes: &[
        post!(
            "/v1/embeddings",
            "One vector per text",
            "EmbeddingsBody",
            example,
            "Embeddings",
            true,
            embeddings
        ),
        post!(
            "/embeddings",
            "As /v1/embeddings",
            "EmbeddingsBody",
            example,
            "Embeddings",
            true,
            embeddings
        ),
        get!("/v1/models", "The served models", JSON, "Models", models),
        Route {
            path: "/v1/models/{*model}",
            summary: "One served model",
            call: Call::Get(Get {
                kind: JSON,
                answer: "Model",
                statuses: &[401, 403, 404, 406],
                run: |service, name| Box::pin(async move { model(&service, &name) }),
            }),
        },
    ],
    errors: &OPENAI,
    field: |_| None,
    schemas,
};

fn example() -> Value {
    json!({
        "input": ["Good morning", "Guten Morgen"], "model": null, "encoding_format": "float",
        "dimensions": 8, "user": "me",
    })
}

fn schemas(fields: &Fields) -> Vec<(&'static str, Value)> {
    let numbers =
        json!({ "anyOf": [of("Numbers"), { "type": "string", "contentEncoding": "base64" }] });
    let embedding = json!({
        "object": { "const": "embedding" }, "index": size(), "embedding": numbers,
    });
    let embedding = open(&["object", "index", "embedding"], embedding);
    let embeddings = json!({
        "object": { "const": "list" }, "data": list(&embedding), "model": text(),
        "usage": sizes(&["prompt_tokens", "total_tokens"]),
    });
    let model = json!({
        "id": text(), "object": { "const": "model" }, "created": size(), "owned_by": text(),
    });
    let models = json!({ "object": { "const": "list" }, "data": list(&of("Model")) });
    vec![
        ("EmbeddingsBody", embeddings_body(fields)),
        ("Embeddings", open(&["object", "data", "model", "usage"], embeddings)),
        ("Model", open(&["id", "object", "created", "owned_by"], model)),
        ("Models", open(&["object", "data"], models)),
    ]
}

fn embeddings_body(fields: &Fields) -> Value {
    closed(
        &["input"],
        json!({
            "input": fields.inputs(&text()),
            "model": fields.served,
            "encoding_format": word(&["float", "base64"], ""),
            "dimensions": fields.dims,
            "user": maybe("changes nothing"),
        }),
    )
}
