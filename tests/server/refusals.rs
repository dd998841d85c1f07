//! What is refused, and to whom.

use serde_json::{Value, json};

use crate::client::Server;

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
        ("POST", "/embed", "{\"inputs\": \"a\", \"prompt_name\": \"none\"}", 413),
        ("POST", "/embed", "{\"inputs\": [[999999]]}", 413),
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
        ("authorization: Basic right\r\n", "/docs", 401),
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
        let head = format!("origin: {origin}\r\naccess-control-request-method: POST\r\n");
        let (status, head, _) = server.call("OPTIONS", "/embed", &head, b"");
        let says = |line: &str| head.to_lowercase().contains(line);
        (status, says("access-control-allow-origin"), says("authorization,content-type,accept"))
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
