//! A page to try the routes in; nothing is fetched from elsewhere.

use hyper::header::{self, HeaderValue};

use super::answer::{Answer, of_bytes};
use crate::server::core::service::Service;

/// What the page may do: run what stands in it, and ask this server.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// `GET /docs`
pub fn page(_: &Service) -> Answer {
    // In a data: URL a number sign begins something else.
    let icon =
        include_str!("../../../web/demo/icon.svg").trim().replace('#', "%23").replace('"', "'");
    let page = include_str!("docs/page.html")
        .replace("/*ICON*/", &icon)
        .replace("/*LOOK*/", include_str!("../../../web/demo/look.css"))
        .replace("/*STYLE*/", include_str!("docs/page.css"))
        .replace("/*SCRIPT*/", include_str!("docs/page.js"));
    let mut answer = of_bytes(page, "text/html; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    answer
}
