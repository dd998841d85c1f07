//! The OpenAPI document and a page that shows it; nothing is fetched from elsewhere.

use super::http::{Answer, of_bytes};
use super::service::Service;

/// `GET /api-doc/openapi.json`
pub fn openapi(_: &Service) -> Answer {
    let text = include_str!("openapi.json").replace("{VERSION}", env!("CARGO_PKG_VERSION"));
    of_bytes(text, "application/json")
}

/// `GET /docs`
pub fn page(service: &Service) -> Answer {
    let names: Vec<String> = service.models.iter().map(|m| escape(&m.name)).collect();
    let page = include_str!("docs.html").replace("{MODELS}", &names.join(", "));
    of_bytes(page, "text/html; charset=utf-8")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
