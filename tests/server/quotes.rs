//! What an error repeats of a client's own words: 200 characters at most, and nothing hidden in them.

use serde_json::{Value, json};

use crate::client::Server;

/// Characters of a client's text that a message may have.
const MOST: usize = 200;

/// The sentence of an answer in either dialect.
fn said(body: &[u8]) -> String {
    let answer: Value = serde_json::from_slice(body).unwrap();
    let said = answer["error"]["message"].as_str().or(answer["error"].as_str());
    said.unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// Bodies for `/v1/layers` that are refused, each for another field, with `text` in it.
fn bodies(text: &str) -> Vec<Value> {
    let output = |output: Value| json!({ "input": "a", "outputs": [output] });
    let (weights, window) = (format!("weighted={text}"), format!("window:{text}"));
    let mut unknown = json!({ "input": "a" });
    unknown[text] = json!(1);
    vec![
        output(json!({ "pool": text })),
        output(json!({ "layers": text })),
        output(json!({ "layers": format!("0,{text}") })),
        output(json!({ "layers": [text] })),
        output(json!({ "combine": text })),
        output(json!({ "combine": weights })),
        output(json!({ "combine": format!("scalar-mix=1;{text}") })),
        output(json!({ "combine": format!("mean={text}") })),
        output(json!({ "precision": text })),
        output(json!({ "normalize": text })),
        output(json!({ "dims": text })),
        output(json!({ text: 1 })),
        json!({ "input": "a", "outputs": text }),
        json!({ "input": "a", "overflow": text }),
        json!({ "input": "a", "overflow": window }),
        json!({ "input": "a", "prompt_name": text }),
        json!({ "input": "a", "model": text }),
        json!({ "input": "a", "max_tokens": text }),
        json!({ "input": { text: 1 } }),
        json!({ "input": [{ "text": "a", text: 1 }] }),
        unknown,
    ]
}

#[test]
fn fields_are_quoted_short() {
    let server = Server::start(&[]);
    for body in bodies(&"x".repeat(300_000)) {
        let (status, answer) = server.post("/v1/layers", &body);
        let said = answer["error"]["message"].as_str().unwrap();
        let quoted = said.matches('x').count();
        assert!((400..=404).contains(&status) && quoted <= MOST, "{quoted}: {said:.300}");
    }
    // Numbers are told again, too.
    let many = ["1"; 100_000].join(",");
    for combine in [format!("weighted={many}"), format!("scalar-mix={many}")] {
        let body = json!({ "input": "a", "outputs": [{ "combine": combine }] });
        let (_, answer) = server.post("/v1/layers", &body);
        let said = answer["error"]["message"].as_str().unwrap();
        assert!(
            said.matches("1,").count() <= MOST / 2 && said.contains("100000 weights"),
            "{said}"
        );
    }
    let hidden = "a\u{9b}2J\u{202e}\u{7f}\u{2066}\u{85}".repeat(500);
    for body in bodies(&hidden) {
        let (_, answer) = server.post("/v1/layers", &body);
        let said = answer["error"]["message"].as_str().unwrap();
        let shown = |c: char| !c.is_control() && !('\u{202a}'..='\u{2069}').contains(&c);
        assert!(said.chars().all(shown) && said.matches("\\u").count() < MOST / 6, "{said:?}");
    }
}

#[test]
fn what_is_no_body_is_quoted_short() {
    let server = Server::start(&["--allowed-host", "vectors.example"]);
    let long = "x".repeat(20_000);
    let body = br#"{"inputs":"a"}"#;
    for (method, path, head) in [
        (&long[..], "/embed", String::new()),
        ("POST", &format!("/{long}"), String::new()),
        (&long, &format!("/{long}"), String::new()),
        ("GET", &format!("/v1/models/{long}"), String::new()),
        ("GET", &format!("/web/{long}"), String::new()),
        ("POST", "/embed", format!("content-type: {long}\r\n")),
        ("POST", "/embed", format!("content-type: text/plain;charset={long}\r\n")),
        ("POST", "/embed", format!("content-encoding: {long}\r\n")),
        ("POST", "/embed", format!("host: {long}\r\n")),
        ("POST", "/embed", format!("accept: {long}\r\n")),
        ("POST", "/embed", format!("authorization: {long}\r\norigin: {long}\r\n")),
    ] {
        let (status, _, answer) = server.call(method, path, &head, body);
        if status == 200 {
            continue;
        }
        let said = said(&answer);
        let quoted = said.matches('x').count();
        assert!(quoted <= MOST, "{status} {quoted}: {said:.300}");
    }
}
