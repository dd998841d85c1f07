//! Models, devices and hosts by the names that people give them.

use serde_json::Value;

use crate::calls::{done, everylayer, json, run};

#[test]
fn models_that_are_not_there() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("my-model")).unwrap();
    for (model, parts) in [
        ("bundeld", &["did you mean `bundled`?"][..]),
        ("all-MiniLM-L6-v2", &["`bundled`, which is that model", "sentence-transformers/"]),
        ("bge-small-en-v1.5", &["did you mean `BAAI/bge-small-en-v1.5`?"]),
        ("./nope", &["\"./nope\" is not a model", "a folder that exists"]),
        ("my-modle", &["the folder `my-model`"]),
        ("./my-modle", &["the folder `./my-model`"]),
    ] {
        let words = ["embed", "-m", model, "x"];
        let got = done(everylayer().current_dir(folder.path()).args(words).output().unwrap());
        for part in parts {
            assert!(got.error(1).contains(part), "{model}: {}", got.err);
        }
    }
    assert_eq!(json(&["embed", "-q", "-m", "Bundled", "x"])["width"], 384);

    // Nothing listens there: that comes first.
    let mut command = everylayer();
    command.env_remove("HF_HUB_OFFLINE").env("HF_ENDPOINT", "http://127.0.0.1:9");
    command.env("HF_HUB_CACHE", folder.path().join("cache"));
    let got = done(command.args(["embed", "-m", "bundeld", "x"]).output().unwrap());
    let error = got.error(1);
    assert!(error.starts_with("the hub http://127.0.0.1:9 cannot be reached"), "{error}");
    assert!(error.ends_with("did you mean `bundled`?"), "{error}");
}

#[cfg(feature = "gpu")]
#[test]
fn devices_by_number_and_by_name() {
    let info = json(&["info", "--json"]);
    let adapters = info["adapters"].as_array().unwrap();
    for (place, adapter) in adapters.iter().enumerate() {
        assert_eq!(adapter["index"], place);
        let name = adapter["name"].as_str().unwrap();
        let shown = format!("  {place}  {name}\n");
        assert!(run(&["info"]).text().contains(&shown), "{shown}");
        let device = place.to_string();
        let got = json(&["embed", "-q", "--device", &device, "x"]);
        assert!(got["device"].as_str().unwrap().contains(name));
        // The middle of a word is no name.
        let middle = &name.split_whitespace().next().unwrap()[1..];
        let starts = |other: &Value| {
            let other = other["name"].as_str().unwrap().to_lowercase();
            other.split(|c: char| !c.is_alphanumeric()).any(|w| w.starts_with(middle))
        };
        if middle.is_empty() || adapters.iter().any(starts) {
            continue;
        }
        let error = run(&["embed", "--device", middle, "x"]).error(1).to_owned();
        assert!(error.contains("no device is named like"), "{error}");
    }
    let cuda = run(&["embed", "--device", "cuda:0", "x"]).error(1).to_owned();
    assert!(cuda.contains("numbers"), "{cuda}");
    for beyond in [adapters.len(), 15, 99] {
        if beyond < adapters.len() {
            continue;
        }
        let got = run(&["embed", "--device", &beyond.to_string(), "x"]);
        let error = got.error(1);
        assert!(error.contains(&format!("there is no adapter {beyond}")), "{error}");
    }
}

#[cfg(feature = "server")]
#[test]
fn a_host_that_is_none() {
    let got = run(&["serve", "--host", "no such host"]);
    let error = got.error(2);
    assert!(error.starts_with("--host: `no such host`"), "{error}");
    let got = run(&["serve", "bert-as-service", "-host", "localhost:5555"]);
    assert!(got.error(2).starts_with("-host: "), "{}", got.err);
}
