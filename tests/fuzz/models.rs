//! The files that say what a model is: its config, its tokenizer, its modules, an adapter.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use everylayer::model::bytes::Bytes;
use everylayer::model::load::{self, Model};
use everylayer::text::{Overflow, Text, Tokenizer};
use everylayer::{Capture, Device, Encoder, LoadOptions};
use serde_json::Value;

use super::changed::{Changed, files};
use super::harness::fuzz;
use super::mutate;
use super::rng::Rng;
use super::weights::fixtures;

/// Words that a file of a model may have where another one stands.
const WORDS: [&str; 24] = [
    "",
    "a",
    "-1",
    "NaN",
    "[UNK]",
    "<s>",
    "model.safetensors",
    "../../etc/passwd",
    "1_Pooling",
    "sentence_transformers.models.Pooling",
    "sentence_transformers.models.Dense",
    "torch.nn.modules.activation.Tanh",
    "weight",
    "(",
    "(a+)+$",
    "\\p{L}",
    "F32",
    "F8_E4M3",
    "BertTokenizer",
    "$A",
    "\u{0}\u{1}\u{7f}",
    "\u{202e}\u{feff}\u{10ffff}",
    "ﷺ가각e\u{301}",
    "▁Ġ##",
];

/// A model and the names and bytes of those of its files that are changed.
struct Seed {
    model: Bytes,
    changed: Vec<(String, Vec<u8>)>,
}

impl Seed {
    fn new(files: HashMap<String, Vec<u8>>, is_changed: impl Fn(&str) -> bool) -> Self {
        let mut changed: Vec<_> = files
            .iter()
            .filter(|(name, _)| is_changed(name))
            .map(|(n, b)| (n.clone(), b.clone()))
            .collect();
        changed.sort();
        Self { model: Bytes::new("whole", files), changed }
    }

    /// The model with one of the files damaged.
    fn damaged(&self, rng: &mut Rng) -> Changed<'_> {
        let (name, bytes) = rng.pick(&self.changed);
        let bytes = match name.ends_with(".json") {
            true => mutate::json(rng, bytes, &WORDS),
            false => mutate::bytes(rng, bytes.clone()),
        };
        Changed::new(&self.model, name, bytes)
    }
}

fn folders(at: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(fixtures().join(at)).unwrap();
    let mut all: Vec<_> = entries.map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect();
    all.sort();
    all
}

#[test]
fn config() {
    let seeds = folders("families").into_iter().chain(folders("checkpoints"));
    let seeds: Vec<_> = seeds.map(|f| Seed::new(files(&f), |name| name == "config.json")).collect();
    fuzz("config", |rng| {
        let source = rng.pick(&seeds).damaged(rng);
        let _ = load::positions(&source);
        let _ = Model::open(&source);
    });
}

const TEXTS: [&str; 4] = [
    "The River été 東京 is big.",
    "[CLS] a<mask>b </s> [unused1]  \u{0}\u{202e}e\u{301}\u{1F469}\u{200d}\u{1F4BB}",
    "",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!",
];

fn tokenize(tokenizer: &Tokenizer) {
    for text in TEXTS {
        let text = Text::from(text);
        for tokens in
            [tokenizer.encode_whole(&text), tokenizer.encode(&text, 8, Overflow::Truncate)]
        {
            let Ok(tokens) = tokens else { continue };
            assert_eq!(tokens.ids.len(), tokens.spans.len());
            let _ = tokenizer.decode(&tokens.ids, true);
        }
    }
    let pair = Text::from(("a b", "c"));
    let _ = tokenizer.encode_whole(&pair);
}

/// Whether a file is one of the tokenizer's.
fn of_tokenizer(name: &str) -> bool {
    let names = ["token", "vocab", "merges", "spiece", "spm", "sentencepiece", "special", "added"];
    names.iter().any(|part| name.starts_with(part))
}

#[test]
fn tokenizer() {
    let of = |folder: &str| Seed::new(files(&fixtures().join(folder)), of_tokenizer);
    let mut seeds: Vec<Seed> = [
        "pipelines/mean",
        "families/albert-head",
        "families/jina_embeddings_v3-a",
        "families/modernbert-a",
        "families/roberta-a",
        "families/mpnet-a",
        "families/deberta-v2-a",
    ]
    .map(of)
    .into();
    // Vocabularies without tokenizer.json, as the tests of those have them.
    let place = fixtures().join("vocabularies");
    let goldens = std::fs::read(place.join("goldens.json")).unwrap();
    let goldens: Value = serde_json::from_slice(&goldens).unwrap();
    for kind in goldens["kinds"].as_object().unwrap().values() {
        let files = kind["files"].as_object().unwrap().iter().map(|(name, file)| {
            let bytes = match file {
                Value::String(file) => std::fs::read(place.join(file)).unwrap(),
                json => json.to_string().into_bytes(),
            };
            (name.clone(), bytes)
        });
        seeds.push(Seed::new(files.collect(), |_| true));
    }
    fuzz("tokenizer", |rng| {
        let source = rng.pick(&seeds).damaged(rng);
        if let Ok(tokenizer) = Tokenizer::from_source(&source) {
            tokenize(&tokenizer);
        }
    });
}

/// Opens a model and runs a text through it.
fn run(source: &Changed<'_>) {
    let options = LoadOptions::default().device(Device::Cpu);
    if let Ok(encoder) = Encoder::load_blocking(source, &options) {
        let _ = encoder.embed_blocking(["the river is big"], &Capture::default());
    }
}

#[test]
fn pipeline() {
    let is_json = |name: &str| name.ends_with(".json") && !name.contains("tokenizer");
    let is_weights = |name: &str| name.contains('/') && name.ends_with(".safetensors");
    let seeds: Vec<_> = folders("pipelines")
        .iter()
        .map(|folder| Seed::new(files(folder), |name| is_json(name) || is_weights(name)))
        .collect();
    fuzz("pipeline", |rng| run(&rng.pick(&seeds).damaged(rng)));
}

#[test]
fn adapter() {
    let seeds: Vec<_> = folders("adapters").iter().map(|folder| beside(folder)).collect();
    fuzz("adapter", |rng| run(&rng.pick(&seeds).damaged(rng)));
}

/// An adapter with its base.
fn beside(folder: &Path) -> Seed {
    let mut adapter = files(folder);
    let base: Value = serde_json::from_slice(&adapter.remove("base.json").unwrap()).unwrap();
    let mut all = files(&fixtures().join(base["base"].as_str().unwrap()));
    all.extend(adapter);
    Seed::new(all, |name| name.starts_with("adapter"))
}
