//! Every key of `config.json` that a family reads, absent and null, against what Transformers 5.23
//! and 4.57 make of it. `tests/fixtures/make_config_keys.py` made the table.

#[path = "fuzz/changed.rs"]
mod changed;
mod common;
#[path = "config_keys/sizes.rs"]
mod sizes;

use changed::files;
use common::{Goldens, difference, fixtures};
use everylayer::model::bytes::Bytes;
use everylayer::{Capture, Device, Encoder, Layers, LoadOptions, Pool};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Times the largest magnitude of the numbers, or 1 where that is smaller.
const STATE: f32 = 5e-5;

#[derive(Deserialize)]
struct Table {
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    folder: String,
    text: usize,
    key: String,
    form: String,
    set: Map<String, Value>,
    drop: Vec<String>,
    new: Outcome,
    old: Option<Outcome>,
}

/// The first and last numbers of the last state, or an error.
#[derive(Deserialize)]
#[serde(untagged)]
enum Outcome {
    State(Vec<f32>),
    Failed(Value),
}

impl Outcome {
    fn state(&self) -> Option<&[f32]> {
        match self {
            Self::State(numbers) => Some(numbers),
            Self::Failed(error) => {
                assert!(error.is_string(), "{error} is neither numbers nor an error");
                None
            }
        }
    }
}

/// The files of a fixture with a changed `config.json`.
fn model(row: &Row) -> Bytes {
    let mut files = files(&fixtures().join(&row.folder));
    let mut config: Map<String, Value> = serde_json::from_slice(&files["config.json"]).unwrap();
    config.extend(row.set.clone());
    config.retain(|key, _| !row.drop.contains(key));
    files.insert("config.json".into(), serde_json::to_vec(&config).unwrap());
    Bytes::new("changed", files)
}

fn ours(row: &Row) -> Result<Vec<f32>, everylayer::Error> {
    let options = LoadOptions::default().device(Device::Cpu);
    let encoder = Encoder::load_blocking(&model(row), &options)?;
    let goldens = Goldens::read(&fixtures().join(&row.folder).join("goldens"));
    let text = goldens.texts[row.text].text();
    let capture = Capture::default().layers(Layers::Last).pool(Pool::Tokens);
    let got = encoder.embed_blocking(&[text], &capture)?;
    let state = got.texts[0].values.to_f32();
    let last = state.len() - 2;
    Ok([&state[..2], &state[last..]].concat())
}

/// Forms that Transformers computes and this refuses by name.
const UNSUPPORTED: [&str; 5] = ["quick_gelu", "mish", "relu2", "gelu_10", "linear"];

/// What is wrong with a row: the same numbers as Transformers where its versions agree or one of
/// them alone has any, and a refusal where both fail or they differ. What one of them refuses may
/// be refused by name.
fn fault(row: &Row) -> Option<String> {
    let near = |a: &[f32], b: &[f32]| {
        let largest = b.iter().fold(1f32, |m, x| m.max(x.abs()));
        difference(a, b) <= STATE * largest
    };
    let (new, old) = (row.new.state(), row.old.as_ref().and_then(Outcome::state));
    let disputed = matches!((new, old), (Some(new), Some(old)) if !near(new, old));
    match (ours(row), new.or(old).filter(|_| !disputed)) {
        (Ok(got), Some(want)) if near(&got, want) => None,
        (Ok(got), want) => Some(format!("{got:?}, expected {want:?}")),
        (Err(error), Some(_)) => {
            let said = error.to_string();
            // Tensors that the changed model has no place for are refused, where Transformers
            // passes over them.
            let left_out = said.contains("which is not part of");
            let unsupported = UNSUPPORTED.iter().any(|name| row.form.contains(name));
            let refused = unsupported || new.is_none();
            let named = said.contains(&format!("`{}", row.key));
            (!(left_out || refused && named)).then_some(said)
        }
        (Err(_), None) => None,
    }
}

#[test]
fn absent_and_null_keys_are_those_of_transformers() {
    let text = std::fs::read_to_string(fixtures().join("config_keys.json")).unwrap();
    let table: Table = serde_json::from_str(&text).unwrap();
    assert!(table.rows.len() > 350, "{} rows", table.rows.len());
    let faults: Vec<_> = table
        .rows
        .iter()
        .filter_map(|row| {
            let fault = fault(row)?;
            Some(format!("{}: `{}` {}: {fault}", row.folder, row.key, row.form))
        })
        .collect();
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}
