//! `/web/`: the demo, the browser package and the bundled model's files, for pages of this server.
//!
//! Files are those that were built into the binary (`build.rs`), or those of a folder laid out as `web/`.
//! They are the same for everyone: no key is asked for them, and nothing of a request gets in here but
//! its path and its range.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use super::answer::{Answer, aside, empty};
use crate::quote::quote;
use crate::server::core::bodies::roomed;
use crate::server::core::error::{ApiError, ErrorCode};
use crate::server::core::service::Service;
use crate::server::core::site::Site;

/// Where the demo is; its addresses are relative to it.
const DEMO: &str = "/web/demo/";
/// Where the demo finds its model.
const MODEL: &str = "demo/model/";

/// The answer to a request for `path`, as it stands in the request.
///
/// # Errors
///
/// `NotFound` for every path that names no file, however it is written.
pub async fn answer(
    site: &Site,
    service: &Service,
    path: &str,
    headers: &HeaderMap,
) -> Result<Answer, ApiError> {
    if matches!(path, "/web" | "/web/" | "/web/demo") {
        let mut answer = empty(StatusCode::TEMPORARY_REDIRECT);
        answer.headers_mut().insert(header::LOCATION, HeaderValue::from_static(DEMO));
        return Ok(answer);
    }
    let name = match path.strip_prefix("/web/").unwrap_or_default() {
        "demo/" => "demo/index.html",
        name => name,
    };
    let missing =
        || ApiError::new(ErrorCode::NotFound, format!("there is no file {}", quote(path)));
    if !is_plain(name) {
        return Err(missing());
    }
    let bytes = match (name.strip_prefix(MODEL), site) {
        (Some(part), _) => of_model(part),
        (None, Site::Built) => Site::built_file(name).map(Bytes::from_static),
        (None, Site::Folder(root)) => of_folder(service, root.clone(), name.to_owned()).await?,
    };
    let bytes = bytes.ok_or_else(missing)?;
    let (kind, headers) = (kind(name), headers.clone());
    // Its checksum is some milliseconds of work for the largest.
    aside(bytes.len(), move || part(&bytes, kind, &headers)).await
}

/// Whether a path is of plain names: nothing above, hidden, empty or escaped.
fn is_plain(name: &str) -> bool {
    let usual = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let plain = |part: &str| !part.is_empty() && !part.starts_with('.') && part.chars().all(usual);
    name.split('/').all(plain)
}

/// A file of the bundled model.
fn of_model(name: &str) -> Option<Bytes> {
    #[cfg(feature = "bundled")]
    return crate::model::bundled::file(name).map(Bytes::from_static);
    #[cfg(not(feature = "bundled"))]
    return name.is_empty().then(Bytes::new);
}

/// A file of a folder, and of nothing that its links lead to.
async fn of_folder(
    service: &Service,
    root: PathBuf,
    name: String,
) -> Result<Option<Bytes>, ApiError> {
    let find = move || {
        let path = root.join(name).canonicalize().ok()?;
        let is_file = path.starts_with(&root) && path.is_file();
        Some((is_file.then(|| path.metadata().ok())??.len(), path))
    };
    let Some((length, path)) = aside(usize::MAX, find).await? else { return Ok(None) };
    let room = service.results.reserve(usize::try_from(length).unwrap_or(usize::MAX))?;
    let read = move || {
        let mut file = Vec::new();
        let read = std::fs::File::open(path).and_then(|f| f.take(length).read_to_end(&mut file));
        read.ok().map(|_| roomed(file.into(), Arc::new(room)))
    };
    aside(usize::MAX, read).await
}

/// What a browser takes a file for. It compiles wasm as it comes under its own name only.
fn kind(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "json" => "application/json",
        "wasm" => "application/wasm",
        "txt" | "md" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// All of a file, the range that was asked for, or the word that it is what the browser has.
fn part(bytes: &Bytes, kind: &'static str, headers: &HeaderMap) -> Answer {
    let tag = format!("\"{:x}-{:08x}\"", bytes.len(), crc32fast::hash(bytes));
    let asked = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let (status, body, range) = if asked(header::IF_NONE_MATCH).is_some_and(|t| t.contains(&tag)) {
        (StatusCode::NOT_MODIFIED, Bytes::new(), None)
    } else {
        // A part of another version of the file is of no use.
        let same = asked(header::IF_RANGE).is_none_or(|t| t == tag);
        let part = asked(header::RANGE).filter(|_| same);
        match part.map_or(Asked::All, |text| range(text, bytes.len())) {
            Asked::All => (StatusCode::OK, bytes.clone(), None),
            Asked::Part(from, to) => {
                let said = format!("bytes {from}-{}/{}", to - 1, bytes.len());
                (StatusCode::PARTIAL_CONTENT, bytes.slice(from..to), Some(said))
            }
            Asked::Beyond => {
                let said = format!("bytes */{}", bytes.len());
                (StatusCode::RANGE_NOT_SATISFIABLE, Bytes::new(), Some(said))
            }
        }
    };
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    let head = answer.headers_mut();
    let fixed = [
        (header::CONTENT_TYPE, kind),
        (header::ACCEPT_RANGES, "bytes"),
        // Asked again each time, and not sent again where it is the same.
        (header::CACHE_CONTROL, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // Pages of one origin alone: clocks are finer and memory can be measured.
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-embedder-policy"), "require-corp"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    fixed.into_iter().for_each(|(name, value)| {
        head.insert(name, HeaderValue::from_static(value));
    });
    let made = [(header::ETAG, Some(tag)), (header::CONTENT_RANGE, range)];
    for (name, value) in made {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
            head.insert(name, value);
        }
    }
    answer
}

/// What a `range` header asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// Everything, or what is not understood, which a server may pass over.
    All,
    /// From the first to before the second.
    Part(usize, usize),
    /// Nothing that there is.
    Beyond,
}

/// One range of bytes; several are answered by all.
fn range(text: &str, size: usize) -> Asked {
    let of_bytes = text.split_once('=').filter(|(unit, _)| unit.eq_ignore_ascii_case("bytes"));
    let Some((from, to)) = of_bytes.and_then(|(_, range)| range.split_once('-')) else {
        return Asked::All;
    };
    // What has more digits than a number is beyond any end; `+5` is no number here.
    let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true if !text.is_empty() => Ok(text.parse::<usize>().unwrap_or(usize::MAX)),
        _ => Err(()),
    };
    match (from, to) {
        ("", last) => match number(last) {
            Ok(0) => Asked::Beyond,
            Ok(_) if size == 0 => Asked::Beyond,
            Ok(last) => Asked::Part(size.saturating_sub(last), size),
            Err(_) => Asked::All,
        },
        (from, to) => match (number(from), if to.is_empty() { Ok(usize::MAX) } else { number(to) })
        {
            (Ok(from), Ok(to)) if to < from => Asked::All,
            (Ok(from), Ok(_)) if from >= size => Asked::Beyond,
            (Ok(from), Ok(to)) => Asked::Part(from, to.saturating_add(1).min(size)),
            _ => Asked::All,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (text, want) in [
            ("bytes=0-3", Asked::Part(0, 4)),
            ("bytes=4-", Asked::Part(4, 10)),
            ("bytes=4-99", Asked::Part(4, 10)),
            ("bytes=-3", Asked::Part(7, 10)),
            ("bytes=-99", Asked::Part(0, 10)),
            ("bytes=10-", Asked::Beyond),
            ("bytes=-0", Asked::Beyond),
            ("bytes=3-2", Asked::All),
            ("bytes=0-1,4-5", Asked::All),
            ("bytes=x-", Asked::All),
            ("lines=0-3", Asked::All),
            ("bytes=0-99999999999999999999999", Asked::Part(0, 10)),
            ("bytes=99999999999999999999999-", Asked::Beyond),
            ("Bytes=0-3", Asked::Part(0, 4)),
            ("bytes=+0-3", Asked::All),
            ("bytes=-+3", Asked::All),
            ("bytes=-", Asked::All),
            ("bytes", Asked::All),
        ] {
            assert_eq!(range(text, 10), want, "{text}");
        }
        assert_eq!(range("bytes=-1", 0), Asked::Beyond);
    }

    #[test]
    fn paths_that_are_no_plain_names() {
        for name in
            ["demo/index.html", "pkg/everylayer_bg.wasm", "demo/model/1_Pooling/config.json"]
        {
            assert!(is_plain(name), "{name}");
        }
        for name in [
            "",
            "/",
            "demo//index.html",
            "../Cargo.toml",
            "demo/../../Cargo.toml",
            ".git/config",
            "demo/%2e%2e/x",
            "demo\\x",
            "c:/x",
            "demo/",
            "a\0b",
            "demo/é",
        ] {
            assert!(!is_plain(name), "{name}");
        }
    }
}
