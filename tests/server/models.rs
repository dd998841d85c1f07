//! Several models, and the names that clients call them by.

use std::path::Path;

use everylayer::{Capture, Encoder, LoadOptions};
use serde_json::{Value, json};

use crate::client::{Server, numbers};

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/checkpoints/tiny-d16");

#[test]
fn two_models_and_no_way_to_a_third() {
    let (large, small) = ("large=bundled", format!("small={TINY}"));
    let server = Server::start(&["--model", large, "--model", &small]);
    let width = |body: Value| {
        let (status, answer) = server.post("/v1/embeddings", &body);
        let width = answer["data"][0]["embedding"].as_array().map(Vec::len);
        (status, width, answer["model"].as_str().map(str::to_owned))
    };
    assert_eq!(width(json!({ "input": "a" })), (200, Some(384), Some("large".into())));
    let small = (200, Some(64), Some("small".to_owned()));
    assert_eq!(width(json!({ "input": "a", "model": "small" })), small);
    // The id it was opened as is a name too.
    assert_eq!(width(json!({ "input": "a", "model": TINY })), small);
    let (_, _, body) = server.call("GET", "/v1/models", "", b"");
    let models: Value = serde_json::from_slice(&body).unwrap();
    let names: Vec<&Value> = models["data"].as_array().unwrap().iter().map(|m| &m["id"]).collect();
    assert_eq!(names, ["large", "small"]);

    // One model alone, by a name whose slash may be escaped; a slash behind a route is nothing.
    for (path, want) in [
        ("/v1/models/small".to_owned(), 200),
        (format!("/v1/models/{}", TINY.trim_start_matches('/')), 404),
        (format!("/v1/models/{}", TINY.replace('/', "%2F")), 200),
        ("/v1/models/%ff".to_owned(), 404),
        ("/v1/models/small/".to_owned(), 200),
    ] {
        assert_eq!(server.call("GET", &path, "", b"").0, want, "{path}");
    }

    let other = TINY.replace("tiny-d16", "tiny-d10");
    let (up, dot) = (format!("{TINY}/../tiny-d10"), format!("{TINY}/."));
    for name in [
        "",
        "Small",
        "small ",
        "small\u{0}",
        "../small",
        "./small",
        "/etc/passwd",
        "..",
        "~",
        "bert",
        "org/name",
        "file:///etc/passwd",
        "%2e%2e/small",
        "small=bundled",
        &other,
        &up,
        &dot,
        &"a".repeat(100_000),
    ] {
        for path in ["/v1/embeddings", "/v1/layers"] {
            let (status, answer) = server.post(path, &json!({ "input": "a", "model": name }));
            assert_eq!(status, 404, "{name}: {answer}");
            assert!(answer["error"]["message"].as_str().unwrap().len() < 500);
        }
        let (status, _) = server.post("/embed", &json!({ "inputs": "a", "model": name }));
        assert_eq!(status, 404, "{name}");
    }
    for path in ["/v1/models/../large", "/v1/models/..%2flarge", "/v1/models/nobody", "/v1/models/"]
    {
        let status = server.call("GET", path, "", b"").0;
        assert!(status == 404 || path.ends_with("models/") && status == 200, "{path}: {status}");
    }
    assert_eq!(server.call("GET", "/v1/models/small", "", b"").0, 200);
}

#[test]
fn the_side_that_a_models_files_cut_holds_unless_a_request_names_one() {
    let folder = tempfile::tempdir().unwrap();
    for entry in Path::new(TINY).read_dir().unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_file() {
            std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
    }
    let config = r#"{"tokenizer_class": "BertTokenizer", "truncation_side": "left"}"#;
    std::fs::write(folder.path().join("tokenizer_config.json"), config).unwrap();
    let model = folder.path().display().to_string();
    let server = Server::start(&["-m", &model]);
    let encoder = Encoder::open_blocking(&model, &LoadOptions::default()).unwrap();
    let (most, capture) = (encoder.max_tokens(), Capture::default().normalize(true));
    let text = (0..3 * most).map(|i| ["the", "a", "of"][i / most]).collect::<Vec<_>>().join(" ");
    let want = encoder.embed_blocking([&text], &capture).unwrap().to_vec();
    let embed = |body: Value| {
        let (status, answer) = server.post("/embed", &body);
        assert_eq!(status, 200, "{answer}");
        numbers(&answer)
    };
    let left = embed(json!({ "inputs": text, "truncate": true }));
    assert_eq!(left, want);
    let named = |side: &str| {
        embed(json!({ "inputs": text, "truncate": true, "truncation_direction": side }))
    };
    assert_eq!(named("Left"), left);
    assert_ne!(named("Right"), left);
}

#[test]
fn an_id_that_is_no_row_of_the_model_is_refused() {
    let server = Server::start(&["-m", TINY]);
    for id in [1_000_000_u32, u32::MAX] {
        let (status, answer) = server.post("/v1/embeddings", &json!({ "input": [[2, id, 3]] }));
        assert_eq!(status, 400, "{answer}");
        assert!(answer.to_string().contains(&id.to_string()), "{answer}");
    }
    assert_eq!(server.post("/v1/embeddings", &json!({ "input": [[2, 3]] })).0, 200);
}
