//! The server over loopback: routes, errors, limits, keys, the end. Real clients are in tests/clients.
#![cfg(all(feature = "server", feature = "bundled", unix))]

mod web;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use everylayer::{Capture, Device, Encoder, Layers, LoadOptions, Pool};
use serde_json::{Value, json};

/// A server of its own, ended when dropped.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(options: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_everylayer"))
            .args(["serve", "--port", "0", "--device", "cpu"])
            .args(options)
            .env_remove("EVERYLAYER_API_KEY")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let said = lines.find_map(|line| {
            line.unwrap().split_once("listening on http://").map(|(_, at)| at.to_owned())
        });
        // What else it says must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address: said.expect("the server says where it listens") }
    }

    /// Status, head and body of one exchange.
    fn call(&self, method: &str, path: &str, head: &str, body: &[u8]) -> (u16, String, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n{head}\r\n"
        )
        .unwrap();
        // A server that refuses early may close before all is written.
        let _ = stream.write_all(body);
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        let split = all.windows(4).position(|w| w == b"\r\n\r\n").expect("an answer has a head");
        let text = String::from_utf8_lossy(&all[..split]).into_owned();
        let status = text.split(' ').nth(1).unwrap().parse().unwrap();
        (status, text, all[split + 4..].to_vec())
    }

    fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let (status, _, body) = self.call("POST", path, "", body.to_string().as_bytes());
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn numbers(value: &Value) -> Vec<f32> {
    match value {
        Value::Array(all) => all.iter().flat_map(numbers).collect(),
        Value::Number(n) => vec![n.as_f64().unwrap() as f32],
        _ => panic!("not a number: {value}"),
    }
}

fn check(what: &str, got: &[f32], want: &[f32], failures: &mut Vec<String>) {
    let far = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    if got.len() != want.len() || far > 1e-6 {
        failures.push(format!("{what}: {} numbers for {}, {far} apart", got.len(), want.len()));
    }
}

#[test]
fn every_dialect_gives_the_numbers_of_the_library() {
    let server = Server::start(&[]);
    let encoder =
        Encoder::open_blocking("bundled", &LoadOptions::default().device(Device::Cpu)).unwrap();
    let texts = ["a first text", "and another, somewhat longer, one"];
    let own = |capture: &Capture| encoder.embed_blocking(texts, capture).unwrap();
    let model = own(&Capture::default()).to_vec();
    let mut failures = Vec::new();

    let (status, answer) = server.post("/v1/embeddings", &json!({ "input": texts }));
    assert_eq!(status, 200, "{answer}");
    let got: Vec<f32> =
        answer["data"].as_array().unwrap().iter().flat_map(|d| numbers(&d["embedding"])).collect();
    check("/v1/embeddings", &got, &model, &mut failures);
    for path in ["/embed", "/"] {
        let (status, answer) = server.post(path, &json!({ "inputs": texts }));
        assert_eq!(status, 200, "{answer}");
        check(path, &numbers(&answer), &model, &mut failures);
    }
    let tokens = Capture::default().pool(Pool::Tokens);
    let (_, answer) = server.post("/embed_all", &json!({ "inputs": texts }));
    check("/embed_all", &numbers(&answer), &own(&tokens).to_vec(), &mut failures);

    // Several outputs of one pass against a call each.
    let outputs = json!([
        { "name": "model" },
        { "name": "words", "layers": "-4..-1", "combine": "mean", "pool": "words" },
        { "name": "all", "layers": "all", "pool": "cls", "normalize": true },
        { "name": "tokens", "layers": [0, 6], "pool": "tokens", "dims": 7 },
    ]);
    let words = Capture::default().layers("-4..-1".parse().unwrap());
    let words = words.combine(everylayer::Combine::Mean).pool("words".parse().unwrap());
    let all = Capture::default().layers(Layers::All).pool("cls".parse().unwrap()).normalize(true);
    let cut = tokens.layers("0,6".parse().unwrap()).dims(7);
    let (status, answer) =
        server.post("/v1/layers", &json!({ "input": texts, "outputs": outputs, "tokens": true }));
    assert_eq!(status, 200, "{answer}");
    let captures = [Capture::default(), words, all, cut];
    for (output, capture) in answer["outputs"].as_array().unwrap().iter().zip(&captures) {
        let results = output["results"].as_array().unwrap();
        let got: Vec<f32> = results.iter().flat_map(|r| numbers(&r["vectors"])).collect();
        check(&output["name"].to_string(), &got, &own(capture).to_vec(), &mut failures);
    }
    assert_eq!(answer["texts"][0]["tokens"][0]["text"], "[CLS]");
    assert!(failures.is_empty(), "{failures:#?}");
}

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
    let server = Server::start(&["--api-key", "right"]);
    for (head, path, want) in [
        ("", "/health", 200),
        ("", "/info", 401),
        ("authorization: Bearer wrong\r\n", "/info", 401),
        ("authorization: Bearer righ\r\n", "/info", 401),
        ("authorization: right\r\n", "/info", 401),
        ("authorization: Bearer right\r\n", "/info", 200),
    ] {
        assert_eq!(server.call("GET", path, head, b"").0, want, "{path} {head}");
    }
}
