//! The OpenAPI document: every route with its fields, its answers and its errors, and with the
//! numbers that are in force.

mod answers;
mod fields;

use serde_json::{Map, Value, json};

use crate::server::api::accept::{HTML, JSON, TEXT};
use crate::server::api::answer::{Answer, of_json};
use crate::server::api::layers::FORMS;
use crate::server::core::service::Service;

/// `GET /openapi.json`, `GET /api-doc/openapi.json`
pub fn openapi(service: &Service) -> Answer {
    of_json(&document(service))
}

/// What a route is: what it takes and gives, in the words of the document.
struct RouteDoc {
    path: &'static str,
    /// What `path` does in one line.
    summary: &'static str,
    tag: &'static str,
    /// The schema of the body and an example with every field.
    body: (&'static str, Value),
    /// The schema of the answer.
    answer: &'static str,
}

const EVERYLAYER: &str = "everylayer";
const OPENAI: &str = "OpenAI";
const TEI: &str = "Text Embeddings Inference";
const BERT: &str = "BERT-as-Service";

fn document(service: &Service) -> Value {
    let mut paths = Map::new();
    for route in posts() {
        paths.insert(route.path.into(), json!({ "post": post(&route) }));
    }
    for (path, summary, tag, kind, schema) in GETS {
        let get = get(path, summary, tag, kind, schema);
        match paths.get_mut(path) {
            Some(known) => known["get"] = get,
            None => _ = paths.insert(path.into(), json!({ "get": get })),
        }
    }
    let keys = !service.settings.api_keys.is_empty();
    let mut schemas = fields::schemas(service);
    schemas.extend(answers::schemas());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "everylayer",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Text vectors from any layers of an encoder. A field that is not required \
                            may be null, which is the same as leaving it out. Bodies may be \
                            compressed (Content-Encoding: gzip, deflate, br or zstd).",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": if keys { json!([{ "key": [] }]) } else { json!([]) },
        "paths": paths,
        "components": {
            "securitySchemes": { "key": { "type": "http", "scheme": "bearer" } },
            "schemas": schemas,
            "headers": answers::headers(),
        },
    })
}

/// Routes with a body.
fn posts() -> Vec<RouteDoc> {
    let embed_all = json!({
        "inputs": ["Good morning", "Guten Morgen"], "truncate": true,
        "truncation_direction": "right", "prompt_name": null, "model": null,
    });
    let mut embed = embed_all.clone();
    embed["normalize"] = json!(true);
    embed["dimensions"] = json!(8);
    let openai = json!({
        "input": ["Good morning", "Guten Morgen"], "model": null, "encoding_format": "float",
        "dimensions": 8, "user": "me",
    });
    let layers = json!({
        "input": ["Good morning", { "text": "a question", "text_pair": "an answer" }],
        "outputs": [
            { "name": "sentence", "normalize": true, "dims": 8 },
            { "name": "words", "layers": "-4..-1", "combine": "mean", "pool": "words" },
            { "name": "all", "layers": "all", "pool": "cls", "precision": "f16" },
        ],
        "tokens": true, "words": true, "model": null, "max_tokens": 64, "overflow": "truncate",
        "prompt": null, "prompt_name": null,
    });
    let route = |path, summary, tag, body, example, answer| RouteDoc {
        path,
        summary,
        tag,
        body: (body, example),
        answer,
    };
    vec![
        route(
            "/v1/layers",
            "Several outputs from one forward pass, each with its own layers and pooling",
            EVERYLAYER,
            "LayersBody",
            layers,
            "Layers",
        ),
        route(
            "/v1/embeddings",
            "One vector per text",
            OPENAI,
            "EmbeddingsBody",
            openai.clone(),
            "Embeddings",
        ),
        route("/embeddings", "As /v1/embeddings", OPENAI, "EmbeddingsBody", openai, "Embeddings"),
        route("/embed", "One vector per text", TEI, "EmbedBody", embed.clone(), "Vectors"),
        route("/", "As /embed", TEI, "EmbedBody", embed, "Vectors"),
        route("/embed_all", "One vector per token", TEI, "EmbedAllBody", embed_all, "TokenVectors"),
        route(
            "/similarity",
            "Cosine similarity of a text to each of several others",
            TEI,
            "SimilarityBody",
            json!({
                "inputs": {
                    "source_sentence": "Good morning", "sentences": ["Guten Morgen", "A tax form"],
                },
                "parameters": {
                    "truncate": true, "truncation_direction": "right", "prompt_name": null,
                    "model": null,
                },
            }),
            "Numbers",
        ),
        route(
            "/tokenize",
            "The tokens of texts",
            TEI,
            "TokenizeBody",
            json!({
                "inputs": ["Good morning"], "add_special_tokens": true, "prompt_name": null,
                "model": null,
            }),
            "Tokens",
        ),
        route(
            "/decode",
            "Decode token ids to texts",
            TEI,
            "DecodeBody",
            json!({ "ids": [101, 102], "skip_special_tokens": true, "model": null }),
            "Strings",
        ),
        route(
            "/encode",
            "Vectors in the format of the BERT-as-Service HTTP server",
            BERT,
            "EncodeBody",
            json!({ "id": 1, "texts": ["Good morning"], "is_tokenized": false }),
            "Encoded",
        ),
    ]
}

/// Routes without a body: path, summary, tag, kind and schema of the answer.
const GETS: [(&str, &str, &str, &str, &str); 12] = [
    ("/v1/models", "The served models", OPENAI, JSON, "Models"),
    ("/v1/models/{model}", "One served model", OPENAI, JSON, "Model"),
    ("/info", "The model and the current limits", TEI, JSON, "Info"),
    ("/health", "Whether the models answer; needs no API key", TEI, JSON, "Health"),
    ("/ping", "As /health", TEI, JSON, "Health"),
    ("/metrics", "Counts for Prometheus", TEI, TEXT, ""),
    ("/status/server", "The server's options and counts", BERT, JSON, "Object"),
    ("/status/client", "Counts of requests", BERT, JSON, "Object"),
    ("/docs", "A page to try the routes; needs no API key", EVERYLAYER, HTML, ""),
    ("/", "The page of /docs", EVERYLAYER, HTML, ""),
    ("/openapi.json", "This document", EVERYLAYER, JSON, "Object"),
    ("/api-doc/openapi.json", "This document", EVERYLAYER, JSON, "Object"),
];

fn post(route: &RouteDoc) -> Value {
    let (schema, example) = &route.body;
    let of = |schema: &str| json!({ "$ref": format!("#/components/schemas/{schema}") });
    let mut content = Map::new();
    content.insert(JSON.into(), json!({ "schema": of(route.answer) }));
    if route.path == "/v1/layers" {
        for kind in FORMS.iter().filter(|kind| **kind != JSON) {
            content.insert((*kind).into(), json!({ "schema": of("Arrays") }));
        }
    }
    let statuses = [400, 401, 403, 404, 406, 408, 413, 415, 422, 424, 429, 503];
    let mut all = answers::errors(route.path, &statuses);
    let headers = answers::used(route.answer);
    let done = json!({ "description": "done", "headers": headers, "content": content });
    all.insert("200".into(), done);
    json!({
        "operationId": name("post", route.path),
        "summary": route.summary,
        "tags": [route.tag],
        "requestBody": {
            "required": true, "content": { JSON: { "schema": of(schema), "example": example } },
        },
        "responses": all,
    })
}

fn get(path: &str, summary: &str, tag: &str, kind: &str, schema: &str) -> Value {
    let statuses: &[u16] = match path {
        "/health" | "/ping" => &[403, 503],
        "/docs" | "/" => &[403, 406],
        "/v1/models/{model}" => &[401, 403, 404, 406],
        _ => &[401, 403, 406],
    };
    let mut all = answers::errors(path, statuses);
    let schema = match schema {
        "" => json!({ "type": "string" }),
        schema => json!({ "$ref": format!("#/components/schemas/{schema}") }),
    };
    let done = json!({ "description": "done", "content": { kind: { "schema": schema } } });
    all.insert("200".into(), done);
    let mut operation = json!({
        "operationId": name("get", path), "summary": summary, "tags": [tag], "responses": all,
    });
    if statuses.first() != Some(&401) {
        operation["security"] = json!([]);
    }
    if path.contains("{model}") {
        operation["parameters"] = json!([{
            "name": "model", "in": "path", "required": true,
            "schema": { "$ref": "#/components/schemas/ModelName" },
        }]);
    }
    operation
}

/// `post /v1/layers` as a name: `post_v1_layers`.
fn name(method: &str, path: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let path: String = path.chars().filter(|c| !"{}".contains(*c)).map(plain).collect();
    format!("{method}{}", path.trim_end_matches('_'))
}
