//! LoRA adapters beside a model's weights, against peft's merge in Transformers; what is refused of
//! them. `tests/fixtures/make_adapters.py` made the adapters and the states.

mod common;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use common::{Goldens, devices, difference, fixtures};
use everylayer::model::bytes::Bytes;
use everylayer::{Capture, Device, Encoder, ErrorKind, Layers, LoadOptions, Pool};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::Deserialize;
use serde_json::{Value, json};

/// Times the largest magnitude of the state, or 1 where that is smaller.
const STATE: f32 = 5e-5;
const WEIGHTS: &str = "adapter_model.safetensors";
const CONFIG: &str = "adapter_config.json";

type Files = HashMap<String, Vec<u8>>;

#[derive(Deserialize)]
struct Base {
    base: String,
    texts: Vec<usize>,
}

fn read_into(files: &mut Files, folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_file() && !name.starts_with("goldens") && !name.starts_with("states") {
            files.insert(name, std::fs::read(&path).unwrap());
        }
    }
}

/// The adapter `name` with its base: all files in one folder, and what the goldens are of.
fn beside(name: &str) -> (Files, Base) {
    let folder = fixtures().join("adapters").join(name);
    let text = std::fs::read_to_string(folder.join("base.json")).unwrap();
    let base: Base = serde_json::from_str(&text).unwrap();
    let mut files = Files::new();
    read_into(&mut files, &fixtures().join(&base.base));
    read_into(&mut files, &folder);
    (files, base)
}

fn load(files: Files, device: Device) -> Result<Encoder, everylayer::Error> {
    Encoder::load_blocking(&Bytes::new("adapted", files), &LoadOptions::default().device(device))
}

fn failures(name: &str, device: &Device) -> Vec<String> {
    let (files, base) = beside(name);
    let encoder = match load(files, device.clone()) {
        Ok(encoder) => encoder,
        Err(error) => return vec![error.to_string()],
    };
    let goldens = Goldens::read(&fixtures().join(&base.base).join("goldens"));
    let states = std::fs::read(fixtures().join("adapters").join(name).join("states.safetensors"));
    let states = states.unwrap();
    let states = SafeTensors::deserialize(&states).unwrap();
    let texts: Vec<_> = base.texts.iter().map(|i| goldens.texts[*i].text()).collect();
    let mut capture = Capture::default().layers(Layers::All).pool(Pool::Tokens);
    capture.max_tokens = Some(goldens.texts[0].max_tokens);
    let got = encoder.embed_blocking(&texts, &capture).unwrap();
    let mut failures = Vec::new();
    for (i, text) in texts.iter().enumerate() {
        let ours = got.texts[i].values.to_f32();
        let alone = encoder.embed_blocking(std::slice::from_ref(text), &capture).unwrap();
        let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        if bits(&ours) != bits(&alone.texts[0].values.to_f32()) {
            failures.push(format!("text {i} has other bits alone than in the batch"));
        }
        let want = states.tensor(&i.to_string()).unwrap();
        let (layers, state) = (want.shape()[0], want.shape()[1] * want.shape()[2]);
        let want: Vec<f32> = bytemuck::pod_collect_to_vec(want.data());
        assert_eq!(ours.len(), layers * state, "{name}: text {i}");
        for (layer, (a, b)) in ours.chunks(state).zip(want.chunks(state)).enumerate() {
            let largest = b.iter().fold(1f32, |m, x| m.max(x.abs()));
            let off = difference(a, b);
            if off > STATE * largest || a.iter().any(|x| !x.is_finite()) {
                failures.push(format!("text {i} state {layer}: |d| {off:e} of {largest}"));
            }
        }
    }
    failures
}

#[test]
fn an_adapter_beside_the_weights_is_merged_as_peft_merges_it() {
    let all = std::fs::read_dir(fixtures().join("adapters")).unwrap();
    let mut names: Vec<_> =
        all.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    assert!(names.len() >= 18, "{names:?}");
    let mut failed = Vec::new();
    for name in &names {
        for device in devices() {
            let found = failures(name, &device);
            failed.extend(found.into_iter().map(|f| format!("{name} on {device:?}: {f}")));
        }
    }
    assert!(failed.is_empty(), "{} failures\n{}", failed.len(), failed.join("\n"));
}

/// The vectors of a text through the adapter `bert` with other settings.
fn with_settings(settings: Value) -> Result<Vec<f32>, everylayer::Error> {
    let (mut files, _) = beside("bert");
    let mut config: Value = serde_json::from_slice(&files[CONFIG]).unwrap();
    config.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    files.insert(CONFIG.into(), serde_json::to_vec(&config).unwrap());
    vectors(files)
}

fn vectors(files: Files) -> Result<Vec<f32>, everylayer::Error> {
    let encoder = load(files, Device::Cpu)?;
    let got = encoder.embed_blocking(["The river bank"], &Capture::default())?;
    Ok(got.texts[0].values.to_f32())
}

#[test]
fn a_setting_is_computed_harmless_or_refused_by_name() {
    let plain = with_settings(json!({})).unwrap();
    let harmless = [
        json!({"fan_in_fan_out": true, "lora_dropout": 0.5, "inference_mode": false}),
        json!({"task_type": "TOKEN_CLS", "peft_version": "9", "auto_mapping": {"a": "b"}}),
        json!({"init_lora_weights": "gaussian", "eva_config": {"rho": 2.0}, "bias": "all"}),
        json!({"a_later_setting": null, "another": false, "a_list": [], "an_object": {}}),
        json!({"layers_to_transform": [], "layers_pattern": null, "rank_pattern": null}),
        json!({"target_modules": null}),
        json!({"target_modules": ".*attention.*(query|value)"}),
        json!({"modules_to_save": ["classifier"], "exclude_modules": "pooler.*"}),
    ];
    for settings in harmless {
        assert_eq!(with_settings(settings.clone()).unwrap(), plain, "{settings}");
    }
    let computed = [
        json!({"lora_alpha": 32}),
        json!({"use_rslora": true}),
        json!({"alpha_pattern": {"layer\\.0\\..*query": 64}}),
    ];
    for settings in computed {
        assert_ne!(with_settings(settings.clone()).unwrap(), plain, "{settings}");
    }
    let refused = [
        (json!({"peft_type": "IA3"}), "`peft_type` is \"IA3\""),
        (json!({"peft_type": null}), "`peft_type` is null"),
        (json!({"use_dora": true}), "`use_dora`"),
        (json!({"lora_bias": true}), "`lora_bias`"),
        (json!({"init_lora_weights": "pissa_niter_4"}), "`init_lora_weights`"),
        (json!({"trainable_token_indices": [1]}), "`trainable_token_indices`"),
        (json!({"target_parameters": ["a.b"]}), "`target_parameters`"),
        (json!({"layer_replication": [[0, 1], [0, 2]]}), "`layer_replication`"),
        (json!({"alora_invocation_tokens": [1, 2]}), "`alora_invocation_tokens`"),
        (json!({"use_qalora": true}), "`use_qalora`"),
        (json!({"megatron_config": {"a": 1}}), "`megatron_config`"),
        (json!({"a_later_setting": 3}), "`a_later_setting` is 3"),
        (json!({"r": 3}), "has shape [64, 2], the config asks for [64, 3]"),
        (json!({"r": 0}), "`r` is 0"),
        (json!({"lora_alpha": "8"}), "`lora_alpha` is \"8\""),
        (json!({"rank_pattern": {"query": -1}}), "`rank_pattern.query`"),
        (json!({"target_modules": ["query"]}), "self.value`, which `target_modules`"),
        (
            json!({"target_modules": ["query", "value", "key"]}),
            "self.key`, which the adapter has no",
        ),
        (json!({"target_modules": "all-linear"}), "which the adapter has no tensors for"),
        (json!({"target_modules": "(query"}), "regular expression \"(query\""),
        (json!({"layers_to_transform": [0]}), "`target_modules`"),
        (json!({"exclude_modules": ["query"]}), "`target_modules`"),
    ];
    for (settings, said) in refused {
        let error = with_settings(settings.clone()).unwrap_err().to_string();
        assert!(error.contains(said), "{settings}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// What is said of the adapter `bert` whose tensors were changed by `change`.
fn with_tensors(change: impl FnOnce(&mut Tensors)) -> String {
    let files = beside("bert").0;
    said_of(files, change)
}

fn said_of(mut files: Files, change: impl FnOnce(&mut Tensors)) -> String {
    let stored = files[WEIGHTS].clone();
    let stored = SafeTensors::deserialize(&stored).unwrap();
    let mut tensors: Tensors = stored
        .tensors()
        .into_iter()
        .map(|(name, t)| (name, (t.shape().to_vec(), bytemuck::pod_collect_to_vec(t.data()))))
        .collect();
    change(&mut tensors);
    let views = tensors.iter().map(|(name, (shape, values))| {
        let bytes = bytemuck::cast_slice(values);
        (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    files.insert(WEIGHTS.into(), safetensors::serialize(views, None).unwrap());
    vectors(files).map_or_else(|error| error.to_string(), |_| "nothing".into())
}

#[test]
fn a_tensor_has_its_place_or_is_refused_by_name() {
    let query = "base_model.model.encoder.layer.0.attention.self.query";
    let added = |name: &str| {
        let name = name.to_owned();
        with_tensors(move |tensors| drop(tensors.insert(name, (vec![2], vec![0.5, 0.5]))))
    };
    for (name, said) in [
        (format!("{query}.lora_C.weight"), "lora_C.weight`, which is not supported"),
        (format!("{query}.lora_A.default.weight"), "lora_A.default.weight`, which is not"),
        (format!("{query}.lora_magnitude_vector"), "do not agree"),
        ("base_model.model.encoder.layer.9.output.dense.bias".into(), "layer.9.output.dense.bias`"),
        ("base_model.model.embeddings.word_embeddings.token_adapter.x".into(), "token_adapter.x`"),
        ("base_model.model.encoder.layer.0.output.dense.bias".into(), "dense.bias has shape [2]"),
        ("base_model.model.classifier.bias".into(), "nothing"),
        ("base_model.model.classifier.lora_A.weight".into(), "nothing"),
    ] {
        let error = added(&name);
        assert!(error.contains(said), "{name}: {error}");
    }
    let (mut files, _) = beside("bert");
    let mut config: Value = serde_json::from_slice(&files[CONFIG]).unwrap();
    config["target_modules"] = Value::Null;
    files.insert(CONFIG.into(), serde_json::to_vec(&config).unwrap());
    let norm = said_of(files, |tensors| {
        for end in ["lora_A.weight", "lora_B.weight"] {
            let name = format!("base_model.model.embeddings.LayerNorm.{end}");
            tensors.insert(name, (vec![2, 1], vec![0.5, 0.5]));
        }
    });
    assert!(norm.contains("LayerNorm`, which is neither a table nor a product"), "{norm}");
    let lost = with_tensors(|tensors| drop(tensors.remove(&format!("{query}.lora_B.weight"))));
    assert!(lost.contains("one of lora_A and lora_B alone"), "{lost}");
    let lost = with_tensors(|tensors| tensors.retain(|name, _| !name.starts_with(query)));
    assert!(lost.contains("layer.0.attention.self.query`, which the adapter has no"), "{lost}");
    let other = with_tensors(|tensors| {
        let moved = |name: &str| name.replace("layer.0.", "layer.7.");
        *tensors = std::mem::take(tensors).into_iter().map(|(n, t)| (moved(&n), t)).collect();
    });
    assert!(other.contains("which the weights do not have"), "{other}");
}

#[test]
fn a_config_without_the_adapters_weights_is_refused() {
    let (mut files, _) = beside("bert");
    files.remove(WEIGHTS);
    let error = vectors(files).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("neither adapter_model.safetensors nor"), "{error}");
}

#[test]
fn an_adapter_alone_is_called_that_with_its_base() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = Files::new();
    read_into(&mut files, &fixtures().join("adapters/bert"));
    let said = |files: &[(&str, &[u8])]| {
        files
            .iter()
            .for_each(|(name, bytes)| std::fs::write(folder.path().join(name), bytes).unwrap());
        let path = folder.path().to_str().unwrap();
        let error = Encoder::open_blocking(path, &LoadOptions::default().device(Device::Cpu));
        error.unwrap_err().to_string()
    };
    let alone = [(CONFIG, &files[CONFIG][..]), (WEIGHTS, &files[WEIGHTS][..])];
    let error = said(&alone);
    assert!(error.contains("an adapter without its weights"), "{error}");
    assert!(error.contains("its base model, \"base\""), "{error}");
    // As sentence-transformers saves it.
    let modules = json!([{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]);
    let error = said(&[("modules.json", modules.to_string().as_bytes())]);
    assert!(error.contains("its base model, \"base\""), "{error}");
}
