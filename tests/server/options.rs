//! Options of `text-embeddings-router`, and what `/info` says of those in force.

use std::process::Command;

use serde_json::{Value, json};

use crate::client::Server;

#[cfg(not(feature = "otel"))]
#[test]
fn a_build_that_sends_no_spans_says_so() {
    let out = Command::new(env!("CARGO_BIN_EXE_everylayer"))
        .args(["serve", "--device", "cpu", "--otlp-endpoint", "http://localhost:4318"])
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&out.stderr);
    assert!(error.contains("http://localhost:4318: this build cannot export spans"), "{error}");
    assert!(error.contains("the feature `otel`"), "{error}");
}

#[test]
fn a_port_that_is_taken() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let out = Command::new(env!("CARGO_BIN_EXE_everylayer"))
        .args(["serve", "--device", "cpu", "--port", &port])
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.code() == Some(1) && error.contains("or choose another port"), "{error}");
}

#[test]
fn info_has_the_numbers_in_force() {
    let server = Server::start(&[
        "--model-id",
        "bundled",
        "--served-model-name",
        "small",
        "--max-batch-tokens",
        "1000",
        "--max-concurrent-requests",
        "7",
        "--max-client-batch-size",
        "5",
        "--payload-limit",
        "4000",
        "--max-queue",
        "900",
        "--max-request-tokens",
        "700",
        "--batch-ms",
        "20",
        "--auto-truncate",
        "false",
        "--dtype",
        "float32",
        "--pooling",
        "mean",
        "--hostname",
        "127.0.0.1",
        "--disable-spans",
    ]);
    let (_, _, body) = server.call("GET", "/info", "", b"");
    let info: Value = serde_json::from_slice(&body).unwrap();
    for (name, want) in [
        ("model_id", json!("small")),
        ("model_dtype", json!("float32")),
        ("max_batch_tokens", json!(1000)),
        ("max_concurrent_requests", json!(7)),
        ("max_client_batch_size", json!(5)),
        ("max_queue_texts", json!(900)),
        ("max_request_tokens", json!(700)),
        ("batch_ms", json!(20)),
        ("max_input_length", json!(256)),
        ("payload_limit", json!(4000)),
        ("auto_truncate", json!(false)),
    ] {
        assert_eq!(info[name], want, "{name}");
    }
    let texts = |count: usize| server.post("/embed", &json!({ "inputs": vec!["a"; count] })).0;
    assert_eq!((texts(5), texts(6)), (200, 413));
    let body = |bytes: usize| {
        let frame = r#"{"inputs":"a","other":""}"#.len();
        json!({ "inputs": "a", "other": "x".repeat(bytes - frame) })
    };
    let bytes = |bytes: usize| server.post("/embed", &body(bytes)).0;
    assert_eq!((bytes(4000), bytes(4001)), (200, 413));
    let words = |count: usize| server.post("/embed", &json!({ "inputs": "a ".repeat(count) })).0;
    assert_eq!((words(254), words(255)), (200, 413));
    let (status, answer) =
        server.post("/v1/embeddings", &json!({ "input": "a", "model": "small" }));
    assert_eq!((status, &answer["model"]), (200, &json!("small")));
}

#[test]
fn an_option_with_another_meaning_is_refused_by_name() {
    let refused = |words: &[&str]| {
        let out = Command::new(env!("CARGO_BIN_EXE_everylayer"))
            .arg("serve")
            .args(words)
            .output()
            .unwrap();
        (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    for (words, said) in [
        (&["--tokenization-workers", "4"][..], "RAYON_NUM_THREADS"),
        (&["--max-batch-requests", "4"], "--batch-tokens"),
        (&["--default-prompt-name", "query"], "config_sentence_transformers.json"),
        (&["--default-prompt", "query: "], "config_sentence_transformers.json"),
        (&["--dense-path", "2_Dense"], "modules.json"),
        (&["--hf-token", "x"], "HF_TOKEN"),
        (&["--huggingface-hub-cache", "/x"], "HF_HUB_CACHE"),
        (&["--prometheus-port", "9000"], "/metrics"),
        (&["--pooling", "cls"], "mean"),
        (&["--revision", "main"], "bundled"),
        (&["--max-connections", "0"], "above 0"),
        (&["--api-key", ""], "a key is empty"),
        (&["--api-key", "a,,b"], "a key is empty"),
        (&["--api-key", " "], "a space"),
        (&["--cors-allow-origin", ""], "https://a.example"),
        (&["--cors-allow-origin", "https://a.example/"], "https://a.example"),
        (&["--allowed-host", ""], "vectors.example"),
        (&["--log", "loud"], "--log: unknown level `loud`: use one of off, error, warn, info"),
        (&["--model", "a=bundled", "--model", "a=./x"], "two models are named `a`"),
        (&["--model", "=bundled"], "NAME=MODEL"),
        (&["--max-batch-tokens", "5", "--batch-tokens", "5"], "--batch-tokens"),
        (
            &["--model", "a=bundled", "--model", "b=bundled", "--served-model-name", "c"],
            "NAME=MODEL",
        ),
    ] {
        let (code, error) = refused(&[&["--port", "0", "--device", "cpu"], words].concat());
        assert!(code == Some(2) && error.contains(said), "{words:?}: {code:?} {error}");
        assert!(error.contains(words[0]) || words.len() > 2, "{words:?}: {error}");
    }
    for (words, said) in [
        (&["-no_such", "1"][..], "no_such"),
        (&["-cors", ""], "-cors"),
        (&["-allowed_host", ""], "-allowed_host"),
    ] {
        let (code, error) = refused(&[&["bert-as-service", "-cpu"], words].concat());
        assert!(code == Some(2) && error.contains(said), "{words:?}: {code:?} {error}");
    }
    // A variable that is there and empty, as one that was meant to be set.
    for (name, value, words) in [
        ("EVERYLAYER_API_KEY", "", &["--port", "0"][..]),
        ("EVERYLAYER_API_KEY", ",", &["--port", "0"]),
        ("API_KEY", "k", &["--port", "0", "--host", "0.0.0.0"]),
    ] {
        let out = Command::new(env!("CARGO_BIN_EXE_everylayer"))
            .args(["serve", "--device", "cpu"])
            .args(words)
            .env(name, value)
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.code() == Some(2) && error.contains(name), "{name}: {error}");
    }
}
