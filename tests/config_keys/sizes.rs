//! Every number of every family's `config.json` made absurd: refused or computed, at once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use everylayer::model::bytes::Bytes;
use everylayer::model::load::{self, Model};
use everylayer::{Capture, Device, Encoder, LoadOptions};
use serde_json::{Value, json};

use crate::changed::{Changed, files};
use crate::common::fixtures;

/// What a debug build on a busy machine may take of one config, many times what it does.
const LIMIT: Duration = Duration::from_secs(1);

/// Keys whose other values are computed without another tensor.
const FREE: [&str; 20] = [
    "num_attention_heads",
    "n_heads",
    "n_head",
    "eps",
    "epsilon",
    "rope_theta",
    "global_rope_theta",
    "local_rope_theta",
    "rotary_emb_base",
    "factor",
    "max_position_embeddings",
    "n_positions",
    "local_attention",
    "global_attn_every_n_layers",
    "max_relative_positions",
    "moe_top_k",
    "pad_token_id",
    "position_buckets",
    "num_hidden_layers",
    "num_hidden_groups",
];

fn changed(model: &Bytes, config: String) -> Changed<'_> {
    Changed::new(model, "config.json", config.into_bytes())
}

fn read(folder: &Path) -> (Bytes, Value) {
    let files = files(folder);
    let config = serde_json::from_slice(&files["config.json"]).unwrap();
    (Bytes::new("whole", files), config)
}

/// The places of all numbers in `value`, as JSON pointers.
fn numbers(value: &Value, at: String, found: &mut Vec<String>) {
    match value {
        Value::Number(_) => found.push(at),
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| numbers(value, format!("{at}/{key}"), found));
        }
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.for_each(|(i, value)| numbers(value, format!("{at}/{i}"), found));
        }
        _ => {}
    }
}

fn absurd() -> Vec<Value> {
    let mut values: Vec<Value> =
        [0, 1, 2, -1, 1000, 1 << 20, 1_000_000_000, 1 << 31, 1 << 53, i64::MAX, i64::MIN]
            .map(Value::from)
            .into();
    values.push(u64::MAX.into());
    values.extend([1e30, 1e-30, 1e308, -1e308, 5e-324, 0.5, 1.5].map(Value::from));
    values.extend(["NaN", "Infinity", "", "12"].map(Value::from));
    values.extend([json!([]), json!([1]), json!({}), json!({"a": 1}), json!(true), json!(null)]);
    values
}

/// What is wrong with the answer to one config.
fn fault(changed: &Changed<'_>, pointer: &str, was: &Model) -> Option<String> {
    let begun = Instant::now();
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let _ = load::positions(changed);
        Model::open(changed)
    }));
    let took = begun.elapsed();
    if took > LIMIT {
        return Some(format!("took {took:?}"));
    }
    let model = match opened {
        Err(_) => return Some("panics".into()),
        Ok(Ok(model)) => model,
        Ok(Err(error)) => {
            let said = error.to_string();
            return (said.len() > 1000).then(|| format!("says {} characters", said.len()));
        }
    };
    if model.spec == was.spec {
        return None;
    }
    let key = pointer.rsplit('/').next().unwrap_or_default();
    if !FREE.iter().any(|free| key == *free || key.ends_with(&format!("_{free}"))) {
        return Some("changes what is computed and is not refused".into());
    }
    let run = catch_unwind(AssertUnwindSafe(|| {
        let options = LoadOptions::default().device(Device::Cpu);
        let encoder = Encoder::load_blocking(changed, &options)?;
        encoder.embed_blocking(["a b c d"], &Capture::default())
    }));
    match run {
        Err(_) => Some("panics when it runs".into()),
        Ok(Err(_)) => None,
        Ok(Ok(got)) => {
            let values = got.texts[0].values.to_f32();
            (!values.iter().all(|x| x.is_finite())).then(|| "gives NaN or infinity".into())
        }
    }
}

#[test]
fn absurd_numbers_are_refused_at_once_or_computed() {
    let (mut cases, mut faults) = (0, Vec::new());
    let mut folders = vec![fixtures().join("checkpoints/tiny-d16")];
    let families = std::fs::read_dir(fixtures().join("families")).unwrap();
    folders.extend(families.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()));
    for folder in folders {
        let (model, config) = read(&folder);
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let was = Model::open(&model).unwrap();
        let mut pointers = Vec::new();
        numbers(&config, String::new(), &mut pointers);
        for pointer in &pointers {
            for value in absurd() {
                let mut config = config.clone();
                *config.pointer_mut(pointer).unwrap() = value.clone();
                let fault = fault(&changed(&model, config.to_string()), pointer, &was);
                faults.extend(fault.map(|fault| format!("{name}: {pointer} is {value}: {fault}")));
                cases += 1;
            }
        }
        // As Python writes it.
        let raw = config.to_string().replacen(':', ":NaN,\"x\":", 1);
        let error = Model::open(&changed(&model, raw)).unwrap_err().to_string();
        assert!(error.contains("config.json: line 1"), "{error}");
    }
    println!("{cases} configs");
    assert!(cases > 10_000, "{cases} configs");
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn a_count_of_layers_is_held_against_the_tensors() {
    let folder = fixtures().join("checkpoints/tiny-d16");
    let (model, config) = read(&folder);
    let mut more = config.clone();
    let layers = config["num_hidden_layers"].as_u64().unwrap();
    more["num_hidden_layers"] = json!(layers + 1);
    let error = Model::open(&changed(&model, more.to_string())).unwrap_err().to_string();
    let want = format!(
        "config.json: `num_hidden_layers` is {}, and the checkpoint has tensors of {layers} layers",
        layers + 1
    );
    assert!(error.ends_with(&want), "{error}");
    for (key, value) in [("num_hidden_layers", 1_000_000_000), ("hidden_size", 1_i64 << 31)] {
        let mut absurd = config.clone();
        absurd[key] = json!(value);
        let error = Model::open(&changed(&model, absurd.to_string())).unwrap_err().to_string();
        assert!(
            error.contains(&format!("config.json: `{key}` is {value}, the limit is ")),
            "{error}"
        );
    }
}
