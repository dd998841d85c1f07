//! Folders of models as people have them: stand-ins for files, class paths and keys of
//! sentence-transformers, other formats, folders beside the right one. Each is read as
//! sentence-transformers reads it, or told in one sentence that names it.
//!
//! `tests/fixtures/make_pipelines.py` and `make_folders.py` write what is read here.

mod common;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use common::fixtures;
use everylayer::model::bytes::Bytes;
use everylayer::model::directory::Directory;
use everylayer::model::pipeline::{KEYS, Key, Kind};
use everylayer::{Capture, Device, Encoder, ErrorKind, Layers, LoadOptions, Pool};
use serde_json::{Map, Value, json};

type Files = HashMap<String, Vec<u8>>;

/// The files of the pipeline `name` by their paths in it.
fn pipeline(name: &str) -> Files {
    fn add(files: &mut Files, root: &Path, folder: &Path) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => add(files, root, &path),
                false => {
                    let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                    files.insert(name, std::fs::read(&path).unwrap());
                }
            }
        }
    }
    let (mut files, root) = (Files::new(), fixtures().join("pipelines").join(name));
    add(&mut files, &root, &root);
    files.remove("goldens.json");
    files
}

fn load(files: Files) -> Result<Encoder, everylayer::Error> {
    let options = LoadOptions::default().device(Device::Cpu);
    Encoder::load_blocking(&Bytes::new("folder", files), &options)
}

fn refused(files: Files) -> String {
    match load(files) {
        Ok(_) => "it was loaded".to_owned(),
        Err(e) => e.to_string(),
    }
}

/// The JSON file `name` of `files`, changed.
fn change(files: &mut Files, name: &str, change: impl FnOnce(&mut Value)) {
    let mut value = serde_json::from_slice(&files[name]).unwrap();
    change(&mut value);
    files.insert(name.to_owned(), value.to_string().into_bytes());
}

/// The vector of a text.
fn vector(files: Files) -> Vec<f32> {
    let encoder = load(files).unwrap();
    encoder.embed_blocking(["the query"], &Capture::default()).unwrap().to_vec()
}

/// An empty folder for the test called `name`.
fn folder(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("folders").join(name);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// Writes `content` to the file `path` and makes the folders above it.
fn write(path: PathBuf, content: impl AsRef<[u8]>) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

#[test]
fn a_stand_in_is_named_whatever_file_it_stands_for() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 90868376\n";
    let whole = pipeline("dense_tanh");
    assert!(load(whole.clone()).is_ok());
    for name in whole.keys() {
        for (content, part) in [
            (pointer, "git lfs pull"),
            ("", "is empty"),
            ("Entry not found", "answer of the hub"),
            ("<!DOCTYPE html>\n<html><head></head></html>", "page of HTML"),
        ] {
            let mut files = whole.clone();
            files.insert(name.clone(), content.into());
            let said = refused(files);
            assert!(said.contains(part) && said.contains(name), "{name}: {part:?} not in {said}");
        }
    }
    // Files that are read where others are not there.
    let mut shards = whole.clone();
    let weights = shards.remove("model.safetensors").unwrap();
    let tensor = "embeddings.word_embeddings.weight";
    let index = json!({"weight_map": {tensor: "model-00001-of-00001.safetensors"}});
    shards.insert("model.safetensors.index.json".into(), index.to_string().into());
    shards.insert("model-00001-of-00001.safetensors".into(), weights);
    assert!(load(shards.clone()).is_ok());
    shards.insert("model-00001-of-00001.safetensors".into(), pointer.into());
    assert!(refused(shards).contains("git lfs pull"));
    let mut torch = whole;
    torch.remove("model.safetensors");
    torch.insert("pytorch_model.bin".into(), pointer.into());
    assert!(refused(torch).contains("pytorch_model.bin: it is a Git LFS pointer"));
}

#[test]
fn an_index_may_name_what_nobody_needs() {
    let mut files = pipeline("mean");
    let want = vector(files.clone());
    let weights = files.remove("model.safetensors").unwrap();
    files.insert("weights.safetensors".into(), weights);
    let mut index = |tensor: &str| {
        let map = json!({"weight_map": {tensor: "weights.safetensors"}});
        files.insert("model.safetensors.index.json".into(), map.to_string().into());
        files.clone()
    };
    // Nothing has the head; the encoder's tensors are in the shard, whether the index says so or not.
    assert_eq!(vector(index("cls.predictions.decoder.weight")), want);
}

#[test]
fn class_paths_are_those_of_sentence_transformers() {
    let paths = std::fs::read(fixtures().join("folders/classes.json")).unwrap();
    let paths: BTreeMap<String, String> = serde_json::from_slice(&paths).unwrap();
    assert!(paths.len() > 90, "{}", paths.len());
    let with = |i: usize, path: &str| {
        let mut files = pipeline("dropout");
        change(&mut files, "modules.json", |modules| modules[i]["type"] = json!(path));
        files
    };
    let mut failed = Vec::new();
    for (path, name) in &paths {
        let place = ["Transformer", "Pooling", "Dropout"].iter().position(|known| known == name);
        let said = refused(with(place.unwrap_or(2), path));
        let fine = match place {
            Some(_) => said == "it was loaded",
            None => !said.contains("is not one of sentence-transformers"),
        };
        if !fine {
            failed.push(format!("{path}: {said}"));
        }
        // What lies elsewhere under the same name is somebody's own.
        for own in [format!("house.{path}"), format!("house_modules.{name}"), name.clone()] {
            let said = refused(with(place.unwrap_or(2), &own));
            if !said.contains(&format!("the class {own} is not one of sentence-transformers")) {
                failed.push(format!("{own}: {said}"));
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    for (path, part) in [
        ("sentence_transformers.models.StaticEmbedding", "one vector a token, without layers"),
        ("sentence_transformers.models.Router", "name the folder of one"),
        ("sentence_transformers.models.CNN", "no part of a transformer encoder"),
        ("sentence_transformers.models.CLIPModel", "text and image"),
        ("sentence_transformers.sparse_encoder.models.MLMTransformer", "\"SparseEncoder\""),
        ("pylate.models.Dense.Dense", "ColBERT of PyLate"),
    ] {
        let said = refused(with(0, path));
        assert!(said.contains(path) && said.contains(part), "{path}: {part:?} is not in {said}");
    }
}

#[test]
fn a_folder_without_an_encoder_is_called_what_it_is() {
    let module = |class: &str| {
        json!([{"idx": 0, "name": "0", "path": "0_Part",
            "type": format!("sentence_transformers.sentence_transformer.modules.{class}")}])
    };
    for class in ["StaticEmbedding", "Router", "BoW", "WordEmbeddings", "CLIPModel"] {
        let files = Files::from([("modules.json".to_owned(), module(class).to_string().into())]);
        let said = refused(files);
        assert!(said.contains(&format!("modules.{class} is not supported: it ")), "{said}");
    }
}

/// The table `name` of keys: a pipeline, a file of it, and the way to the object that has the keys.
fn place(name: &str) -> (Files, String, &'static [&'static str]) {
    let (fixture, module) = match name {
        "LayerNorm" => ("layer_norm", "_LayerNorm/"),
        "Dropout" => ("dropout", "_Dropout/"),
        "WeightedLayerPooling" => ("layer_mix", "_WeightedLayerPooling/"),
        "Pooling" => ("dense_tanh", "_Pooling/"),
        "Dense" => ("dense_tanh", "_Dense/"),
        "Normalize" => ("dense_tanh", "_Normalize/"),
        _ => ("dense_tanh", ""),
    };
    let files = pipeline(fixture);
    let (file, inner) = name.split_once(": ").unwrap_or((name, ""));
    let path: &[&str] = match (file, inner) {
        ("modules.json", _) => &["1"],
        (_, "model_args") => &["model_args"],
        (_, "config_args") => &["config_args"],
        (_, "tokenizer_args") => &["tokenizer_args"],
        _ => &[],
    };
    let config = |path: &&String| path.contains(module) && path.ends_with("/config.json");
    let file = match module {
        "" => file.to_owned(),
        _ => files.keys().find(config).unwrap().clone(),
    };
    (files, file, path)
}

#[test]
fn every_key_is_computed_harmless_or_refused_by_name() {
    let mut failed = Vec::new();
    for (name, keys) in KEYS {
        let with = |key: &str, value: Value| {
            let (mut files, file, path) = place(name);
            change(&mut files, &file, |all| {
                let object = path.iter().fold(all, |value, step| match step.parse::<usize>() {
                    Ok(i) => &mut value[i],
                    Err(_) => &mut value[*step],
                });
                if object.is_null() {
                    *object = Value::Object(Map::new());
                }
                object[key] = value;
            });
            load(files).err().map(|e| (e.kind(), e.to_string()))
        };
        let mut expect = |key: &str, value: Value, loads: bool| {
            let fine = match with(key, value.clone()) {
                None => loads,
                Some((kind, said)) => {
                    !loads && kind == ErrorKind::Unsupported && said.contains(&format!("`{key}`"))
                }
            };
            if !fine {
                failed.push(format!("{name}: {key} = {value}: {:?}", with(key, value.clone())));
            }
        };
        expect("house_key", json!(1), false);
        for (key, what) in *keys {
            match what {
                Key::Computed => {}
                Key::Harmless(reason) => {
                    assert!(!reason.is_empty());
                    for value in [json!(null), json!(false), json!("some"), json!({"a": 1})] {
                        expect(key, value, true);
                    }
                }
                Key::Only(values, _) => {
                    expect(key, json!(null), true);
                    for value in *values {
                        let value = serde_json::from_str(value).unwrap_or(json!(value));
                        expect(key, value, true);
                    }
                    expect(key, json!("float16"), false);
                }
                Key::Refused(_) => {
                    expect(key, json!(null), true);
                    expect(key, json!({}), true);
                    expect(key, json!(3), false);
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn folders_that_were_made_for_something_else_give_their_states() {
    for (name, kind) in [
        ("cross_encoder", Kind::CrossEncoder),
        ("sparse_encoder", Kind::SparseEncoder),
        ("multi_vector", Kind::MultiVectorEncoder),
    ] {
        let encoder = load(pipeline(name)).unwrap();
        assert_eq!(encoder.pipeline().kind, kind);
        assert!(encoder.pipeline().note().unwrap().starts_with(&kind.to_string()));
        let states = Capture::default().layers(Layers::All).pool(Pool::Tokens);
        let states = encoder.embed_blocking(["the query"], &states).unwrap().to_vec();
        // [CLS] the query [SEP] in the embeddings and three layers; the mean of the last is what
        // sentence-transformers makes of the folder, which `sentence_transformers.rs` holds to it.
        let width = encoder.spec().width;
        assert_eq!(states.len(), 4 * 4 * width);
        let last = &states[3 * 4 * width..];
        let mean: Vec<f32> =
            (0..width).map(|c| last.iter().skip(c).step_by(width).sum::<f32>() / 4.0).collect();
        let vector = encoder.embed_blocking(["the query"], &Capture::default()).unwrap().to_vec();
        assert!(common::difference(&mean, &vector) < 1e-6);
    }
    // As 5.0 to 5.3 wrote it.
    let mut old = pipeline("sparse_encoder");
    let want = vector(old.clone());
    change(&mut old, "modules.json", |modules| {
        modules[0]["type"] = json!("sentence_transformers.sparse_encoder.models.MLMTransformer");
        modules[1]["type"] = json!("sentence_transformers.sparse_encoder.models.SpladePooling");
    });
    old.insert("sentence_bert_config.json".into(), b"{\"max_seq_length\": 20}".to_vec());
    assert_eq!(vector(old), want);
    let mut untold = pipeline("sparse_encoder");
    untold.remove("config_sentence_transformers.json");
    assert!(refused(untold).contains("SparseEncoder"));
}

#[test]
fn settings_are_read_as_sentence_transformers_reads_them() {
    let whole = pipeline("mean");
    let want = vector(whole.clone());
    for (path, part) in [
        ("../1_Pooling", "leaves the model's folder"),
        ("/1_Pooling", "leaves the model's folder"),
        (".\\1_Pooling", "write /"),
        ("C:1_Pooling", "leaves the model's folder"),
    ] {
        let mut files = whole.clone();
        change(&mut files, "modules.json", |modules| modules[1]["path"] = json!(path));
        let said = refused(files);
        assert!(said.contains(part) && said.contains("modules.json"), "{path}: {said}");
    }
    for path in ["1_Pooling/", "./1_Pooling", "1_Pooling/.", ".//1_Pooling//"] {
        let mut files = whole.clone();
        change(&mut files, "modules.json", |modules| modules[1]["path"] = json!(path));
        assert_eq!(vector(files), want, "{path}");
    }
    // Without modules.json none of its files is read.
    let mut plain = whole.clone();
    plain.remove("modules.json");
    plain.insert("sentence_bert_config.json".into(), b"{\"max_seq_length\": 3}".to_vec());
    let prompts = json!({"prompts": {"query": "the "}, "default_prompt_name": "query"});
    plain.insert("config_sentence_transformers.json".into(), prompts.to_string().into());
    assert_eq!(vector(plain), want);
    // An empty file is passed over for one of an older name.
    let mut older = whole.clone();
    older.insert("sentence_bert_config.json".into(), b"{}".to_vec());
    older.insert("sentence_roberta_config.json".into(), b"{\"max_seq_length\": 3}".to_vec());
    assert_eq!(load(older).unwrap().pipeline().max_tokens, Some(3));
    // An activation of one's own, by its last name.
    let mut own = pipeline("dense_tanh");
    change(&mut own, "2_Dense/config.json", |config| {
        config["activation_function"] = json!("torch.house.Tanh");
    });
    assert!(refused(own).contains("torch.house.Tanh"));
}

#[test]
fn other_formats_and_places_are_told_what_to_do() {
    use ErrorKind::{NotFound, Unsupported};
    let root = folder("places");
    let model = fixtures().join("pipelines/mean");
    let copy = |to: &str, names: &[&str]| {
        for name in names {
            write(root.join(to).join(name), std::fs::read(model.join(name)).unwrap());
        }
    };
    const ALL: [&str; 4] =
        ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
    const NO_WEIGHTS: [&str; 3] = ["config.json", "tokenizer.json", "tokenizer_config.json"];
    let text = |path: &str, content: &str| write(root.join(path), content);

    copy("onnx", &NO_WEIGHTS);
    text("onnx/onnx/model.onnx", "x");
    text("onnx-alone/model_quantized.onnx", "x");
    copy("openvino", &NO_WEIGHTS);
    text("openvino/openvino/openvino_model.xml", "x");
    copy("gguf", &NO_WEIGHTS);
    text("gguf/some-Q4_K_M.gguf", "x");
    text("gguf-alone/some-Q4_K_M.gguf", "x");
    copy("named", &NO_WEIGHTS);
    text("named/best.safetensors", "x");
    copy("unindexed", &NO_WEIGHTS);
    text("unindexed/model-00001-of-00002.safetensors", "x");
    copy("weights", &["model.safetensors"]);
    copy("above/checkpoint-500", &ALL);
    text("archive.tar.gz", "x");
    let hub = |model: &str, snapshots: &[&str], main: Option<&str>| {
        for name in snapshots {
            copy(&format!("hub/{model}/snapshots/{name}"), &ALL);
        }
        if let Some(main) = main {
            text(&format!("hub/{model}/refs/main"), main);
        }
    };
    hub("models--a--one", &["c1"], None);
    hub("models--a--main", &["c1", "c2"], Some("c2"));
    hub("models--a--two", &["c1", "c2"], None);
    text("hub/models--a--none/snapshots/c1/README.md", "x");

    let mut failed = Vec::new();
    for (path, kind, parts) in [
        ("onnx", Unsupported, &["onnx/model.onnx", "ONNX", "hf download"][..]),
        ("onnx-alone", Unsupported, &["model_quantized.onnx", "ONNX"]),
        ("openvino", Unsupported, &["openvino_model.xml", "OpenVINO"]),
        ("gguf", Unsupported, &["some-Q4_K_M.gguf", "GGUF"]),
        ("gguf-alone", Unsupported, &["some-Q4_K_M.gguf", "GGUF"]),
        ("gguf/some-Q4_K_M.gguf", Unsupported, &["GGUF"]),
        ("named", NotFound, &["best.safetensors is there", "rename"]),
        ("unindexed", NotFound, &["model.safetensors.index.json", "missing"]),
        ("weights", NotFound, &["model.safetensors", "no config.json"]),
        ("above", NotFound, &["above/checkpoint-500"]),
        (
            "above/checkpoint-500/model.safetensors",
            NotFound,
            &["is a file of a model", "checkpoint-500`"],
        ),
        ("archive.tar.gz", NotFound, &["unpack"]),
        ("hub", NotFound, &["the hub's cache", "4 models", "a/main"]),
        ("hub/models--a--two", NotFound, &["2 snapshots", "snapshots/c1"]),
        ("hub/models--a--none", NotFound, &["no snapshot"]),
        ("nothing", NotFound, &["does not exist"]),
    ] {
        let opened = Directory::open(root.join(path));
        let got = opened.and_then(|source| {
            Encoder::load_blocking(&source, &LoadOptions::default().device(Device::Cpu))
        });
        match got {
            Err(e) if e.kind() == kind && parts.iter().all(|part| e.to_string().contains(part)) => {
            }
            Err(e) => failed.push(format!("{path}: {:?} {e}", e.kind())),
            Ok(_) => failed.push(format!("{path}: it was loaded")),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    for (path, snapshot) in [
        ("hub/models--a--one", "c1"),
        ("hub/models--a--one/snapshots", "c1"),
        ("hub/models--a--main", "c2"),
        ("hub/models--a--main/snapshots", "c2"),
    ] {
        let source = Directory::open(root.join(path)).unwrap();
        assert!(source.root().ends_with(Path::new("snapshots").join(snapshot)), "{path}");
        assert!(
            Encoder::load_blocking(&source, &LoadOptions::default().device(Device::Cpu)).is_ok()
        );
    }
}

#[test]
fn models_that_are_no_encoders_are_called_what_they_are() {
    for (kind, part) in [
        ("gpt2", "a decoder"),
        ("llama", "a decoder"),
        ("t5", "an encoder-decoder"),
        ("clip", "text and image"),
        ("whisper", "an audio or image model"),
        ("longformer", "another family"),
        ("house", "\"house\", which is not supported (supported: bert"),
    ] {
        let mut files = pipeline("mean");
        change(&mut files, "config.json", |config| config["model_type"] = json!(kind));
        let said = refused(files);
        assert!(said.contains(part) && said.contains(kind), "{kind}: {said}");
    }
}
