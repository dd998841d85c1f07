//! Pipelines of sentence-transformers: vectors equal to `SentenceTransformer(dir).encode`.
//!
//! `tests/fixtures/make_pipelines.py` writes the repositories and the vectors.

mod common;

use common::{devices, difference, fixtures, load};
use everylayer::{Capture, Route};
use serde::Deserialize;

#[derive(Deserialize)]
struct Goldens {
    texts: Vec<String>,
    calls: Vec<Call>,
}

/// One call of `encode`.
#[derive(Deserialize)]
struct Call {
    prompt: Option<String>,
    prompt_name: Option<String>,
    vectors: Vec<Vec<f32>>,
}

#[test]
fn vectors_are_those_of_sentence_transformers() {
    let mut folders: Vec<_> = std::fs::read_dir(fixtures().join("pipelines"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    assert!(folders.len() >= 30, "the fixtures are incomplete: {}", folders.len());
    let mut failed = Vec::new();
    let mut worst = 0f32;
    for folder in &folders {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let goldens = std::fs::read(folder.join("goldens.json")).unwrap();
        let goldens: Goldens = serde_json::from_slice(&goldens).unwrap();
        for device in devices() {
            let encoder = load(folder, device.clone());
            for (route, (i, call)) in [Route::Stream, Route::Fold]
                .into_iter()
                .flat_map(|route| goldens.calls.iter().enumerate().map(move |call| (route, call)))
            {
                let mut capture = Capture::default().route(route);
                let named =
                    call.prompt_name.as_ref().map(|n| encoder.pipeline().prompts[n].clone());
                if let Some(prompt) = call.prompt.clone().or(named) {
                    capture = capture.prompt(prompt);
                }
                let got = encoder.embed_blocking(&goldens.texts, &capture).unwrap().to_vec();
                let want = call.vectors.concat();
                let off = if got.len() == want.len() { difference(&got, &want) } else { f32::NAN };
                worst = worst.max(off);
                if off.is_nan() || off > 1e-5 {
                    failed.push(format!("{name} on {device:?}, {route}, call {i}: off by {off}"));
                }
            }
        }
    }
    println!("{} pipelines, the largest difference is {worst:e}", folders.len());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
