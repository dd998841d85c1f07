//! The routes of Text Embeddings Inference, as the server runs and the OpenAPI document shows them.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{decode, embed, embed_all, other_head, similarity, tokenize};
use crate::error::Setting;
use crate::server::api::about;
use crate::server::api::accept::{JSON, TEXT};
use crate::server::api::dialect::{Call, Dialect, Get, Pending, Post, Posted, Route, get, post};
use crate::server::api::errors::TEI;
use crate::server::api::schema::{Fields, flag, list, of, open, place, size, some, text, word};
use crate::server::core::service::Service;

/// Text Embeddings Inference.
pub static DIALECT: Dialect = Dialect {
    name: "Text Embeddings Inference",
    prefixes: &[""],
    routes: &[
        post!("/embed", "One vector per text", "EmbedBody", embed_example, "Vectors", true, embed),
        post!("/", "As /embed", "EmbedBody", embed_example, "Vectors", true, embed),
        post!(
            "/embed_all",
            "One vector per token",
            "EmbedAllBody",
            embed_all_example,
            "TokenVectors",
            true,
            embed_all
        ),
        post!(
            "/similarity",
            "Cosine similarity of a text to each of several others",
            "SimilarityBody",
            similarity_example,
            "Numbers",
            true,
            similarity
        ),
        post!(
            "/tokenize",
            "The tokens of texts",
            "TokenizeBody",
            tokenize_example,
            "Tokens",
            false,
            tokenize
        ),
        post!(
            "/decode",
            "Decode token ids to texts",
            "DecodeBody",
            decode_example,
            "Strings",
            false,
            decode
        ),
        other("/embed_sparse", |_, _| Box::pin(async { Err(other_head("/embed_sparse")) })),
        other("/predict", |_, _| Box::pin(async { Err(other_head("/predict")) })),
        other("/rerank", |_, _| Box::pin(async { Err(other_head("/rerank")) })),
        get!("/info", "The model and the current limits", JSON, "Info", about::info),
        health("/health", "Whether the models answer; needs no API key"),
        health("/ping", "As /health"),
        get!("/metrics", "Counts for Prometheus", TEXT, "", about::metrics),
    ],
    errors: &TEI,
    field: |setting| matches!(setting, Setting::Overflow).then_some("truncate"),
    schemas,
};

/// A route of models with another head. The body is read first: a client that is answered before it
/// has sent all may not see the answer.
const fn other(path: &'static str, run: fn(Arc<Service>, Posted) -> Pending) -> Route {
    let nothing = || json!(null);
    let post =
        Post { body: "", example: nothing, answer: "", kinds: &[JSON], has_times: false, run };
    Route { path, summary: "", call: Call::Post(post) }
}

/// Whether the models answer.
const fn health(path: &'static str, summary: &'static str) -> Route {
    let get = Get {
        kind: JSON,
        answer: "Health",
        statuses: &[403, 503],
        run: |service, _| Box::pin(async move { about::health(&service).await }),
    };
    Route { path, summary, call: Call::Get(get) }
}

fn embed_all_example() -> Value {
    json!({
        "inputs": ["Good morning", "Guten Morgen"], "truncate": true,
        "truncation_direction": "right", "prompt_name": null, "model": null,
    })
}

fn embed_example() -> Value {
    let mut embed = embed_all_example();
    embed["normalize"] = json!(true);
    embed["dimensions"] = json!(8);
    embed
}

fn similarity_example() -> Value {
    json!({
        "inputs": {
            "source_sentence": "Good morning", "sentences": ["Guten Morgen", "A tax form"],
        },
        "parameters": {
            "truncate": true, "truncation_direction": "right", "prompt_name": null, "model": null,
        },
    })
}

fn tokenize_example() -> Value {
    json!({
        "inputs": ["Good morning"], "add_special_tokens": true, "prompt_name": null, "model": null,
    })
}

fn decode_example() -> Value {
    json!({ "ids": [101, 102], "skip_special_tokens": true, "model": null })
}

fn schemas(fields: &Fields) -> Vec<(&'static str, Value)> {
    let token = json!({
        "id": size(), "text": text(), "special": { "type": "boolean" }, "start": place(), "stop": place(),
    });
    let token = open(&["id", "text", "special", "start", "stop"], token);
    vec![
        ("EmbedBody", embed_body(fields, true)),
        ("EmbedAllBody", embed_body(fields, false)),
        ("SimilarityBody", similarity_body(fields)),
        ("TokenizeBody", tokenize_body(fields)),
        ("DecodeBody", decode_body(fields)),
        ("TokenVectors", list(&of("Vectors"))),
        ("Strings", list(&text())),
        ("Tokens", list(&list(&token))),
        ("Health", open(&["status"], json!({ "status": { "const": "ok" } }))),
        ("Info", info()),
    ]
}

fn info() -> Value {
    open(
        &[
            "model_id",
            "model_dtype",
            "max_concurrent_requests",
            "max_input_length",
            "max_batch_tokens",
            "max_client_batch_size",
            "auto_truncate",
            "version",
        ],
        json!({
            "model_id": text(), "model_sha": { "type": ["string", "null"] }, "model_dtype": text(),
            "max_concurrent_requests": size(), "max_input_length": size(), "max_batch_tokens": size(),
            "max_client_batch_size": size(), "auto_truncate": { "type": "boolean" },
            "version": text(),
        }),
    )
}

/// What all routes of Text Embeddings Inference say of their texts.
fn how(fields: &Fields) -> Value {
    json!({
        "truncate": flag(fields.auto_truncate),
        "truncation_direction": word(&["right", "left", "Right", "Left"], ""),
        "prompt_name": fields.prompt,
        "model": fields.served,
    })
}

fn embed_body(fields: &Fields, pooled: bool) -> Value {
    let mut all = how(fields);
    all["inputs"] = fields.inputs(&some());
    if pooled {
        all["normalize"] = flag(true);
        all["dimensions"] = fields.dims.clone();
    }
    open(&["inputs"], all)
}

fn similarity_body(fields: &Fields) -> Value {
    let sentences = fields.list(&some());
    let inputs = json!({ "source_sentence": some(), "sentences": sentences });
    let inputs = open(&["source_sentence", "sentences"], inputs);
    let parameters = json!({ "type": ["object", "null"], "properties": how(fields) });
    open(&["inputs"], json!({ "inputs": inputs, "parameters": parameters }))
}

fn tokenize_body(fields: &Fields) -> Value {
    let list = json!({ "type": "array", "items": text(), "description": fields.most });
    open(
        &["inputs"],
        json!({
            "inputs": { "anyOf": [text(), list] },
            "add_special_tokens": flag(true),
            "prompt_name": fields.prompt,
            "model": fields.served,
        }),
    )
}

fn decode_body(fields: &Fields) -> Value {
    let ids = json!({ "type": "array", "items": fields.id });
    open(
        &["ids"],
        json!({
            "ids": { "anyOf": [ids, { "type": "array", "items": ids }] },
            "skip_special_tokens": flag(true),
            "model": fields.served,
        }),
    )
}
