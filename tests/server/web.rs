//! `/web/`: what pages get, how, and what nobody gets.

use std::fs;
use std::os::unix::fs::symlink;

use super::client::Server;

/// A folder laid out as `web/`, with a secret beside it and links out of it.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let web = dir.path().join("web");
    for part in ["demo", "pkg", "src", ".git"] {
        fs::create_dir_all(web.join(part)).unwrap();
    }
    fs::write(dir.path().join("secret.js"), "secret").unwrap();
    for (name, text) in [
        ("index.js", "export {}"),
        ("demo/index.html", "<!doctype html>"),
        ("pkg/everylayer_bg.wasm", "0123456789"),
        (".git/config.js", "secret"),
    ] {
        fs::write(web.join(name), text).unwrap();
    }
    symlink("../secret.js", web.join("link.js")).unwrap();
    symlink("..", web.join("up")).unwrap();
    dir
}

#[test]
fn pages_get_their_files() {
    let dir = folder();
    let web = dir.path().join("web");
    let server = Server::start(&["--web-dir", web.to_str().unwrap(), "--api-key", "k"]);
    let get = |path: &str, head: &str| server.call("GET", path, head, b"");
    let has = |head: &str, line: &str| head.to_lowercase().lines().any(|l| l == line);
    let mut failures = Vec::new();
    for (path, kind) in [
        ("/web/index.js", "text/javascript; charset=utf-8"),
        ("/web/demo/", "text/html; charset=utf-8"),
        ("/web/demo/index.html", "text/html; charset=utf-8"),
        ("/web/pkg/everylayer_bg.wasm", "application/wasm"),
        ("/web/demo/model/config.json", "application/json"),
        ("/web/demo/model/1_Pooling/config.json", "application/json"),
    ] {
        // No key: these files are the same for everyone.
        let (status, head, body) = get(path, "");
        let fine = status == 200
            && !body.is_empty()
            && has(&head, &format!("content-type: {kind}"))
            && has(&head, "cross-origin-opener-policy: same-origin")
            && has(&head, "cross-origin-embedder-policy: require-corp")
            && has(&head, "x-content-type-options: nosniff");
        if !fine {
            failures.push(format!("{path}: {head}"));
        }
    }
    for path in ["/web", "/web/", "/web/demo"] {
        let (status, head, _) = get(path, "");
        if status != 307 || !has(&head, "location: /web/demo/") {
            failures.push(format!("{path}: {head}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    // All else still asks for the key.
    assert_eq!(get("/info", "").0, 401);
    assert_eq!(get("/website", "").0, 401);
    assert_eq!(server.call("POST", "/web/index.js", "", b"x").0, 405);
}

#[test]
fn pages_get_ranges_and_are_not_sent_what_they_have() {
    let dir = folder();
    let web = dir.path().join("web");
    let server = Server::start(&["--web-dir", web.to_str().unwrap()]);
    let path = "/web/pkg/everylayer_bg.wasm";
    for (range, status, body, said) in [
        ("bytes=2-4", 206, "234", "content-range: bytes 2-4/10"),
        ("bytes=8-", 206, "89", "content-range: bytes 8-9/10"),
        ("bytes=-1", 206, "9", "content-range: bytes 9-9/10"),
        ("bytes=10-", 416, "", "content-range: bytes */10"),
        ("bytes=0-1,4-5", 200, "0123456789", "accept-ranges: bytes"),
        ("nonsense", 200, "0123456789", "accept-ranges: bytes"),
    ] {
        let (got, head, bytes) = server.call("GET", path, &format!("range: {range}\r\n"), b"");
        assert_eq!((got, &bytes[..]), (status, body.as_bytes()), "{range}: {head}");
        assert!(head.to_lowercase().contains(said), "{range}: {head}");
    }
    let (_, head, _) = server.call("GET", path, "", b"");
    let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("a tag");
    let (status, _, body) = server.call("GET", path, &format!("if-none-match: {tag}\r\n"), b"");
    assert_eq!((status, body.len()), (304, 0));
    // The length without the bytes.
    let (status, head, body) = server.call("HEAD", path, "", b"");
    assert_eq!((status, body.len()), (200, 0));
    assert!(head.contains("content-length: 10"), "{head}");
}

#[test]
fn nobody_gets_other_files() {
    let dir = folder();
    let web = dir.path().join("web");
    let server = Server::start(&["--web-dir", web.to_str().unwrap()]);
    for path in [
        "/web/../secret.js",
        "/web/%2e%2e/secret.js",
        "/web/..%2fsecret.js",
        "/web/demo/../../secret.js",
        "/web//etc/passwd",
        "/web/./index.js",
        "/web/.git/config.js",
        "/web/link.js",
        "/web/up/secret.js",
        "/web/demo/model/../index.html",
        "/web/demo/model/nothing.json",
        "/web/pkg",
        "/web/index.js%00",
        "/web/index.js\\..",
    ] {
        let (status, head, body) = server.call("GET", path, "", b"");
        let body = String::from_utf8_lossy(&body);
        // hyper itself refuses what is no address.
        assert!(matches!(status, 400 | 404), "{path}: {head}");
        assert!(!body.contains("\"secret\"") && body != "secret", "{path}: {body}");
    }
}

#[test]
fn without_the_word_there_are_no_pages() {
    let server = Server::start(&[]);
    assert_eq!(server.call("GET", "/web/demo/", "", b"").0, 404);
}

#[test]
fn a_folder_without_a_package_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let out = std::process::Command::new(env!("CARGO_BIN_EXE_everylayer"))
        .args(["serve", "--port", "0", "--web-dir"])
        .arg(dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(!out.status.success() && said.contains("web/build"), "{said}");
}
