//! What is refused, and to whom.

use std::io::Write;

use serde_json::{Value, json};

use crate::client::{Server, read};

#[test]
fn what_is_wrong_is_refused_with_its_status() {
    let server = Server::start(&["--payload-limit", "10000", "--max-client-batch-size", "4"]);
    let large = format!("{{\"inputs\": \"{}\"}}", "a".repeat(20_000));
    let cases: &[(&str, &str, &str, u16)] = &[
        ("POST", "/embed", "{\"inputs\":", 422),
        ("POST", "/embed", "{\"inputs\": \"\"}", 400),
        ("POST", "/embed", "{\"inputs\": []}", 400),
        ("POST", "/embed", &large, 413),
        ("POST", "/embed", "{\"inputs\": [\"a\",\"a\",\"a\",\"a\",\"a\"]}", 413),
        ("POST", "/embed", "{\"inputs\": \"a\", \"prompt_name\": \"none\"}", 422),
        ("POST", "/embed", "{\"inputs\": [[999999]]}", 422),
        ("POST", "/v1/embeddings", "[]", 400),
        ("POST", "/v1/embeddings", "{\"input\": \"a\", \"model\": \"../etc/passwd\"}", 404),
        ("POST", "/v1/embeddings", "{\"input\": \"a\", \"dimensions\": 9999}", 400),
        ("POST", "/v1/layers", "{\"input\": \"a\", \"outputs\": [{\"layers\": \"99\"}]}", 400),
        ("POST", "/v1/layers", "{\"input\": \"a\", \"outputs\": [{\"layer\": \"0\"}]}", 400),
        ("POST", "/rerank", "{}", 424),
        ("GET", "/embed", "", 405),
        ("GET", "/../../etc/passwd", "", 404),
        ("POST", "/encode", "{\"texts\": 7}", 422),
    ];
    let mut failures = Vec::new();
    for (method, path, body, want) in cases {
        let (status, _, answer) = server.call(method, path, "", body.as_bytes());
        let answer: Value = serde_json::from_slice(&answer).unwrap_or(Value::Null);
        let told = answer["error"].is_string() || answer["error"]["message"].is_string();
        if status != *want || !told {
            let body: String = body.chars().take(80).collect();
            failures.push(format!("{method} {path} {body}: {status}, wanted {want}: {answer}"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
    assert_eq!(server.post("/embed", &json!({ "inputs": "after all that" })).0, 200);
}

#[test]
fn routes_methods_and_models_that_are_not_there_are_told_apart() {
    let server = Server::start(&[]);
    let (status, answer) = server.post("/v1/nothing", &json!({}));
    assert_eq!((status, &answer["error"]["code"]), (404, &Value::Null), "{answer}");
    let (status, answer) = server.post("/v1/embeddings", &json!({ "input": "a", "model": "none" }));
    assert_eq!((status, &answer["error"]["code"]), (404, &json!("model_not_found")), "{answer}");
    for (method, path, want, allow) in [
        ("GET", "/v1/embeddings", 405, "post"),
        ("DELETE", "/v1/embeddings", 405, "post"),
        ("HEAD", "/embed", 405, "post"),
        ("POST", "/info", 405, "get,head"),
        ("PUT", "/", 405, "get,head,post"),
        ("TRACE", "/v1/layers", 405, "post"),
        ("OPTIONS", "/v1/layers", 204, "post"),
        ("OPTIONS", "/", 204, "get,head,post"),
        ("HEAD", "/info", 200, ""),
        ("GET", "/info/", 200, ""),
        ("HEAD", "/health", 200, ""),
    ] {
        let (status, head, _) = server.call(method, path, "", b"");
        let head = head.to_lowercase();
        let said = head.lines().find_map(|line| line.strip_prefix("allow: "));
        assert_eq!((status, said.unwrap_or_default()), (want, allow), "{method} {path}: {head}");
    }
}

#[test]
fn an_answer_has_a_form_that_its_client_takes() {
    let server = Server::start(&[]);
    for (method, path, accept, want) in [
        ("POST", "/v1/embeddings", "application/json", 200),
        ("POST", "/embed", "application/*;q=0.1", 200),
        ("POST", "/embed", "text/html, */*;q=0.8", 200),
        ("POST", "/embed", "text/html", 406),
        ("POST", "/embed", "application/json;q=0", 406),
        ("GET", "/info", "application/xml", 406),
        ("GET", "/docs", "text/html", 200),
        ("GET", "/docs", "application/json", 406),
        ("GET", "/", "application/json", 406),
        ("GET", "/metrics", "text/plain;version=0.0.4;q=0.5,*/*;q=0.1", 200),
        ("GET", "/metrics", "application/json", 406),
        // A probe is told whatever it takes.
        ("GET", "/health", "text/html", 200),
    ] {
        let head = format!("accept: {accept}\r\n");
        let field = if path == "/embed" { "inputs" } else { "input" };
        let body = if method == "POST" { json!({ field: "a" }).to_string() } else { String::new() };
        let (status, head, answer) = server.call(method, path, &head, body.as_bytes());
        assert_eq!(status, want, "{method} {path} {accept}: {head}");
        let said = String::from_utf8_lossy(&answer).into_owned();
        assert!(want != 406 || said.contains("application/") || said.contains("text/"), "{said}");
    }
    let of = |accept: &str| {
        let head = format!("accept: {accept}\r\n");
        let (status, head, _) = server.call("POST", "/v1/layers", &head, br#"{"input":"a"}"#);
        let kind = head.lines().find_map(|line| line.strip_prefix("content-type: "));
        (status, kind.unwrap_or_default().to_owned())
    };
    let npz = (200, "application/x-npz".to_owned());
    assert_eq!(of("application/x-npz, */*"), npz);
    assert_eq!(of("application/json;q=0.2, application/x-npz;q=0.3"), npz);
    assert_eq!(of("application/safetensors"), (200, "application/vnd.safetensors".to_owned()));
    assert_eq!(of("text/csv").0, 406);
}

#[test]
fn compressed_bodies_are_read_within_their_bound() {
    let server = Server::start(&["--payload-limit", "10000"]);
    let gzip = |text: &str| {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(text.as_bytes()).unwrap();
        writer.finish().unwrap()
    };
    let zlib = |text: &str| {
        let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(text.as_bytes()).unwrap();
        writer.finish().unwrap()
    };
    let brotli = |text: &str| {
        let mut all = Vec::new();
        brotli::CompressorWriter::new(&mut all, 4096, 5, 20).write_all(text.as_bytes()).unwrap();
        all
    };
    let text = r#"{"inputs":"a text"}"#;
    let bomb = format!("{{\"inputs\":\"{}\"}}", "a".repeat(20_000));
    let zstd = zstd::stream::encode_all(text.as_bytes(), 3).unwrap();
    for (coding, body, want) in [
        ("gzip", gzip(text), 200),
        ("x-gzip", gzip(text), 200),
        ("deflate", zlib(text), 200),
        ("br", brotli(text), 200),
        ("zstd", zstd, 200),
        ("identity", text.into(), 200),
        ("gzip", gzip(&bomb), 413),
        ("br", brotli(&bomb), 413),
        ("gzip", text.into(), 422),
        ("gzip, br", gzip(text), 415),
        ("compress", text.into(), 415),
    ] {
        let head = format!("content-encoding: {coding}\r\n");
        let (status, head, answer) = server.call("POST", "/embed", &head, &body);
        let said = String::from_utf8_lossy(&answer);
        assert_eq!(status, want, "{coding}: {said}");
        let told = head.contains("accept-encoding: gzip, deflate, br, zstd");
        assert_eq!(told, want == 415, "{coding}: {head}");
    }
    // JSON goes by many names; what cannot be JSON is refused by its own.
    for (kind, want) in [
        ("application/json; charset=utf-8", 200),
        ("application/x-www-form-urlencoded", 200),
        ("application/vnd.api+json", 200),
        ("application/json; charset=utf-16", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/xml", 415),
    ] {
        let head = format!("content-type: {kind}\r\n");
        let (status, _, answer) = server.call("POST", "/embed", &head, text.as_bytes());
        let said = String::from_utf8_lossy(&answer);
        assert!(
            status == want && (want == 200 || said.contains("send")),
            "{kind}: {status} {said}"
        );
    }
}

#[test]
fn a_key_is_asked_of_all_but_health() {
    let server = Server::start(&["--api-key", "right", "--api-key", "other"]);
    for (head, path, want) in [
        ("", "/health", 200),
        ("", "/info", 401),
        ("authorization: Bearer wrong\r\n", "/info", 401),
        ("authorization: Bearer righ\r\n", "/info", 401),
        ("authorization: right\r\n", "/info", 401),
        ("authorization: Bearer rightt\r\n", "/info", 401),
        ("authorization: Bearer \r\n", "/info", 401),
        ("authorization: Bearer\r\n", "/metrics", 401),
        ("authorization: Basic right\r\n", "/openapi.json", 401),
        // The page says nothing of the server: it asks for the key and sends it.
        ("", "/docs", 200),
        ("", "/health/../info", 401),
        ("", "/health/", 200),
        ("authorization: Bearer right\r\n", "/info", 200),
        ("authorization: bearer other\r\n", "/info", 200),
    ] {
        assert_eq!(server.call("GET", path, head, b"").0, want, "{path} {head}");
    }
}

#[test]
fn a_browser_may_call_from_the_origins_that_are_named() {
    let server = Server::start(&["--cors-allow-origin", "https://a.example", "--api-key", "k"]);
    let ask = |method: &str, origin: &str| {
        let head = format!("origin: {origin}\r\nauthorization: Bearer k\r\n");
        let (status, head, _) = server.call(method, "/info", &head, b"");
        (status, head.contains(&format!("access-control-allow-origin: {origin}")))
    };
    assert_eq!(ask("GET", "https://a.example"), (200, true));
    assert_eq!(ask("GET", "https://b.example"), (200, false));
    // A preflight has no key.
    let preflight = |origin: &str| {
        // Such as the clients of OpenAI send, beside their key.
        let asked = "authorization,content-type,x-stainless-lang";
        let head = format!(
            "origin: {origin}\r\naccess-control-request-method: POST\r\n\
             access-control-request-headers: {asked}\r\n"
        );
        let (status, head, _) = server.call("OPTIONS", "/embed", &head, b"");
        let says = |line: &str| head.to_lowercase().contains(line);
        (status, says("access-control-allow-origin"), says(asked))
    };
    assert_eq!(preflight("https://a.example"), (200, true, true));
    assert_eq!(preflight("https://b.example"), (200, false, true));
    // A page may read why it is refused.
    let head = "origin: https://a.example\r\n";
    let (status, head, _) = server.call("GET", "/info", head, b"");
    assert!(status == 401 && head.contains("access-control-allow-origin: https://a.example"));
}

#[test]
fn results_are_bounded() {
    let server = Server::start(&["--max-result-bytes", "100000"]);
    // 7 states of 384 numbers: 10,752 bytes a text.
    let body = |texts: usize| {
        json!({
            "input": vec!["a"; texts], "outputs": [{ "layers": "all", "pool": "cls" }],
        })
    };
    assert_eq!(server.post("/v1/layers", &body(9)).0, 200);
    let (status, answer) = server.post("/v1/layers", &body(10));
    assert_eq!(status, 413, "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().contains("107520 bytes"), "{answer}");
    // What was held is free again.
    assert_eq!(server.post("/v1/layers", &body(9)).0, 200);
}

/// Status of one exchange whose head is written out.
fn raw(server: &Server, head: &str, body: &str) -> u16 {
    let mut stream = std::net::TcpStream::connect(&server.address).unwrap();
    let length = body.len();
    write!(stream, "{head}connection: close\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
    read(stream).expect("an answer").0
}

#[test]
fn a_name_that_is_not_this_servers_is_refused() {
    let server = Server::start(&["--allowed-host", "vectors.example"]);
    for (host, want) in [
        ("host: localhost:3000\r\n", 200),
        ("host: 127.0.0.1\r\n", 200),
        ("host: Vectors.Example\r\n", 200),
        ("", 200),
        ("host: evil.example\r\n", 403),
        ("host: evil.example:3000\r\n", 403),
        ("host: 127.0.0.1.evil.example\r\n", 403),
        ("host: localhost\r\nhost: evil.example\r\n", 403),
    ] {
        for path in ["/info", "/health", "/docs"] {
            // Hyper refuses what has no host as HTTP/1.1.
            let version = if host.is_empty() { "1.0" } else { "1.1" };
            let head = format!("GET {path} HTTP/{version}\r\n{host}");
            let status = raw(&server, &head, "");
            assert!(status == want || want == 403 && status == 400, "{host} {path}: {status}");
        }
    }
    let head = "GET http://evil.example/info HTTP/1.1\r\nhost: localhost\r\n";
    assert_eq!(raw(&server, head, ""), 403);
}

#[test]
fn a_page_of_another_site_sends_nothing_unasked() {
    let server = Server::start(&["--cors-allow-origin", "https://a.example"]);
    let own = format!("http://{}", server.address);
    for (headers, want) in [
        ("content-type: text/plain\r\n".to_owned(), 200),
        ("content-type: text/plain\r\norigin: https://a.example\r\n".into(), 200),
        (format!("content-type: text/plain\r\norigin: {own}\r\n"), 200),
        ("content-type: text/plain\r\norigin: https://b.example\r\n".into(), 403),
        ("content-type: text/plain;charset=UTF-8\r\norigin: https://b.example\r\n".into(), 403),
        ("content-type: application/x-www-form-urlencoded\r\norigin: null\r\n".into(), 403),
        ("origin: https://b.example\r\n".into(), 403),
        ("content-type: text/plain\r\nsec-fetch-site: cross-site\r\n".into(), 403),
        ("content-type: text/plain\r\nsec-fetch-site: none\r\n".into(), 200),
        // Its browser asked first, and was told that it may not: this is no browser's.
        ("content-type: application/json\r\norigin: https://b.example\r\n".into(), 200),
    ] {
        let head = format!("POST /embed HTTP/1.1\r\nhost: {}\r\n{headers}", server.address);
        let status = raw(&server, &head, r#"{"inputs":"a"}"#);
        assert_eq!(status, want, "{headers}");
    }
}
