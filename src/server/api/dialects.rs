//! The table of dialects, and errors in their words.

use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use serde_json::{Value, json};

use super::accept::{HTML, JSON};
use super::answer::{Answer, CODINGS, of_json};
use super::dialect::{Call, Dialect, Get, Route, get};
use super::errors::TEI;
use super::schema::{Fields, list};
use super::{bert, docs, layers, openai, openapi, tei};
use crate::error::Setting;
use crate::server::core::error::{ApiError, ErrorCode};
use crate::server::core::service::Service;

/// Every dialect, in the order of the document.
pub static DIALECTS: [&Dialect; 5] =
    [&layers::DIALECT, &OWN, &openai::DIALECT, &tei::DIALECT, &bert::DIALECT];

/// The OpenAPI document and the page that shows it, and schemas that several dialects name.
static OWN: Dialect = Dialect {
    name: "everylayer",
    prefixes: &[],
    routes: &[
        page("/docs", "A page to try the routes; needs no API key"),
        page("/", "The page of /docs"),
        get!("/openapi.json", "This document", JSON, "Object", document),
        get!("/api-doc/openapi.json", "This document", JSON, "Object", document),
    ],
    errors: &TEI,
    field: |_| None,
    schemas,
};

const fn page(path: &'static str, summary: &'static str) -> Route {
    let get = Get {
        kind: HTML,
        answer: "",
        statuses: &[403, 406],
        run: |service, _| Box::pin(async move { Ok(docs::page(&service)) }),
    };
    Route { path, summary, call: Call::Get(get) }
}

fn document(service: &Service) -> Answer {
    openapi::openapi(service, &DIALECTS)
}

fn schemas(fields: &Fields) -> Vec<(&'static str, Value)> {
    let numbers = list(&json!({ "type": "number" }));
    vec![
        ("ModelName", json!({ "type": "string", "enum": fields.names })),
        ("Object", json!({ "type": "object" })),
        ("Numbers", numbers.clone()),
        ("Vectors", list(&numbers)),
    ]
}

/// Every route.
pub fn routes() -> impl Iterator<Item = &'static Route> {
    DIALECTS.iter().flat_map(|dialect| dialect.routes)
}

/// The dialects' names, each with its paths.
pub fn table() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    DIALECTS.iter().map(|dialect| {
        let shown = dialect.routes.iter().filter(|route| !route.summary.is_empty());
        (dialect.name, shown.map(|route| route.path).collect())
    })
}

/// What is spoken at `path`.
pub fn at(path: &str) -> &'static Dialect {
    let longest = |dialect: &&&Dialect| {
        let prefixes = dialect.prefixes.iter().filter(|prefix| path.starts_with(**prefix));
        prefixes.map(|prefix| prefix.len() + 1).max().unwrap_or(0)
    };
    DIALECTS.iter().max_by_key(longest).copied().unwrap_or(&tei::DIALECT)
}

/// `error` with the field of the route at `path` that changes what it suggests to change.
pub fn with_field(path: &str, mut error: ApiError) -> ApiError {
    error.message.push_str(&Setting::suffix(error.settings, at(path).field));
    error
}

/// An error of the route at `path`, in the words of its dialect.
pub fn error_answer(path: &str, error: &ApiError) -> Answer {
    let (status, body) = (at(path).errors.body)(error);
    let mut answer = of_json(&body);
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    let headers = answer.headers_mut();
    if matches!(error.code, ErrorCode::Overloaded | ErrorCode::Unhealthy) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if error.code == ErrorCode::Unauthorized {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if error.code == ErrorCode::Media {
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(CODINGS));
    }
    // What is left of the body is not read.
    if matches!(error.code, ErrorCode::TooLarge | ErrorCode::Timeout) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}
