//! Whose calls are taken from a browser: by the name it called, and by the page that asks.
//!
//! A page of any site can have a browser send requests to this machine. Where its name was made to
//! resolve to this machine (DNS rebinding) it may read the answers too, but the browser still sends
//! the name. A form, or text without a type, is sent without asking first; the browser says whose
//! page it is.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use hyper::Method;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::routes::Shared;
use crate::quote::quote;
use crate::server::core::error::{ApiError, ErrorCode};
use crate::server::core::settings::Settings;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses what was sent to another name than this server's, and what another site's page sends
/// without having asked.
pub async fn hold(
    State(service): State<Shared>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let (settings, headers) = (&service.settings, request.headers());
    if let Some(names) = &settings.allowed_hosts {
        let called = headers.get_all(header::HOST).iter().map(HeaderValue::to_str);
        let called = called.map(Result::unwrap_or_default);
        let authority = request.uri().authority().map(|authority| authority.as_str());
        if let Some(other) = called.chain(authority).find(|host| !is_ours(names, host)) {
            let said = format!(
                "`{}` is not an allowed host name of this server: use localhost, or add it to the \
                 server's allowed hosts",
                quote(other)
            );
            return Err(ApiError::new(ErrorCode::Forbidden, said));
        }
    }
    if request.method() == Method::POST && is_unasked(headers) && is_foreign(settings, headers) {
        let said = "a page of another origin sent this without a CORS preflight: send \
                    application/json, and add the origin to the server's allowed origins";
        return Err(ApiError::new(ErrorCode::Forbidden, said));
    }
    Ok(next.run(request).await)
}

/// Whether `host`, perhaps with a port, is one of `names` or of this machine.
fn is_ours(names: &[String], host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some(parts)) => parts,
        Some(None) => return false,
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    if !(port.is_empty() || port.strip_prefix(':').is_some_and(is_port)) {
        return false;
    }
    let name = plain(name);
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
        || names.iter().any(|known| plain(known) == name)
}

/// A name of a host as all who mean it write it: an address in its shortest form, no root's dot.
fn plain(name: &str) -> String {
    let name = name.strip_suffix('.').unwrap_or(name);
    match name.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().to_string(),
        Err(_) => name.to_ascii_lowercase(),
    }
}

/// Types of what a browser sends without a preflight: forms, text, and reports of a page's policy.
const UNASKED: [&str; 5] = [
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "application/csp-report",
    "application/reports+json",
];

/// Whether a browser sends a body of this type without a preflight: one of [`UNASKED`], or none.
fn is_unasked(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let kind = kind.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    kind.is_empty() || UNASKED.iter().any(|simple| kind.eq_ignore_ascii_case(simple.as_bytes()))
}

/// Whether it comes from a page of another site that is not allowed to call.
fn is_foreign(settings: &Settings, headers: &HeaderMap) -> bool {
    let origin = headers.get(header::ORIGIN).map(HeaderValue::as_bytes);
    if origin.is_some_and(|origin| is_allowed(&settings.cors, origin)) {
        return false;
    }
    match headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes) {
        Some(b"same-origin" | b"none") => return false,
        Some(_) => return true,
        None => {}
    }
    let Some(origin) = origin else { return false };
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
    let own = [&b"http://"[..], b"https://"].iter().find_map(|scheme| origin.strip_prefix(*scheme));
    own.is_none() || own != host
}

/// Whether pages of `origin` may call.
pub fn is_allowed(origins: &[String], origin: &[u8]) -> bool {
    origins.iter().any(|one| one == "*" || one.as_bytes() == origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_machine_and_those_given_are_ours() {
        let names = ["vectors.example.", "192.0.2.7", "FD00:0::7"].map(str::to_owned);
        for ours in [
            "localhost",
            "LOCALHOST:3000",
            "localhost.",
            "a.localhost",
            "127.0.0.1:3000",
            "127.9.9.9",
            "[::1]:3000",
            "vectors.example:80",
            "vectors.example.:80",
            "192.0.2.7",
            "[fd00::7]:3000",
            "[::FFFF:127.0.0.1]",
            "localhost:",
        ] {
            assert!(is_ours(&names, ours), "{ours}");
        }
        for other in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "vectors.example.evil",
            "10.0.0.1",
            "[::2]",
            "evil.example@localhost",
            "localhost:80@evil.example",
            "localhost:80:80",
            "[::1].evil.example",
            "[::1",
            "0.0.0.0",
            "fd00::7",
        ] {
            assert!(!is_ours(&names, other), "{other}");
        }
    }
}
