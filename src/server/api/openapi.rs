//! The OpenAPI document: every route with its fields, its answers and its errors, and with the
//! numbers that are in force.

mod answers;

use serde_json::{Map, Value, json};

use answers::errors;

use super::accept::JSON;
use super::answer::{Answer, of_json};
use super::dialect::{Call, Dialect, Get, Post};
use super::schema::{Fields, of};
use crate::server::core::service::Service;

/// What `GET /openapi.json` and `GET /api-doc/openapi.json` give.
pub fn openapi(service: &Service, dialects: &[&Dialect]) -> Answer {
    of_json(&document(service, dialects))
}

fn document(service: &Service, dialects: &[&Dialect]) -> Value {
    let mut paths = Map::new();
    let fields = Fields::of(service);
    let mut schemas = Map::new();
    for dialect in dialects {
        for route in dialect.routes.iter().filter(|route| !route.summary.is_empty()) {
            // In a template of a path there is no sign for what may hold slashes.
            let path = route.path.replace("{*", "{");
            let (method, operation) = match &route.call {
                Call::Get(get) => ("get", got(&path, get, dialect)),
                Call::Post(post) => ("post", posted(post, dialect)),
            };
            let mut operation = operation;
            operation["operationId"] = name(method, &path).into();
            operation["summary"] = route.summary.into();
            operation["tags"] = json!([dialect.name]);
            let methods = paths.entry(path).or_insert_with(|| json!({}));
            methods[method] = operation;
        }
        schemas.extend((dialect.schemas)(&fields).into_iter().map(|(n, s)| (n.to_owned(), s)));
        schemas.insert(dialect.errors.name.to_owned(), (dialect.errors.schema)());
    }
    let keys = !service.settings.api_keys.is_empty();
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

/// A request with a body.
fn posted(post: &Post, dialect: &Dialect) -> Value {
    let mut content = Map::new();
    for kind in post.kinds {
        let schema = of(if *kind == JSON { post.answer } else { "Arrays" });
        content.insert((*kind).to_owned(), json!({ "schema": schema }));
    }
    let mut all = errors(dialect, &[400, 401, 403, 404, 406, 408, 413, 415, 422, 424, 429, 503]);
    let headers = if post.has_times { answers::times() } else { json!({}) };
    let done = json!({ "description": "done", "headers": headers, "content": content });
    all.insert("200".into(), done);
    let body = json!({ "schema": of(post.body), "example": (post.example)() });
    json!({
        "requestBody": { "required": true, "content": { JSON: body } },
        "responses": all,
    })
}

/// A request without a body.
fn got(path: &str, get: &Get, dialect: &Dialect) -> Value {
    let mut all = errors(dialect, get.statuses);
    let schema = match get.answer {
        "" => json!({ "type": "string" }),
        name => of(name),
    };
    let done = json!({ "description": "done", "content": { get.kind: { "schema": schema } } });
    all.insert("200".into(), done);
    let mut operation = json!({ "responses": all });
    if !get.statuses.contains(&401) {
        operation["security"] = json!([]);
    }
    if path.contains("{model}") {
        operation["parameters"] = json!([{
            "name": "model", "in": "path", "required": true, "schema": of("ModelName"),
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
