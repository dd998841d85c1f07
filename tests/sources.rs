//! The places that models come from: folders, the binary, and what a person may name.
//!
//! The hub has a file of its own, `hub.rs`.

use std::fs;
use std::path::PathBuf;

use everylayer::ErrorKind;
use everylayer::model::checkpoint::Checkpoint;
use everylayer::model::directory::Directory;
use everylayer::model::locate::{is_hub_id, locate};
use everylayer::model::source::{Source, read_all, read_json};
use serde_json::Value;

/// A safetensors file with one value, 7.5, at its very end.
fn sample() -> Vec<u8> {
    let header = r#"{"one": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}}"#;
    let length = (header.len() as u64).to_le_bytes();
    [&length[..], header.as_bytes(), &7.5_f32.to_le_bytes()].concat()
}

/// An empty folder for the test called `name`.
fn folder(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("sources").join(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

#[test]
fn a_directory_is_a_source() {
    let root = folder("directory");
    fs::create_dir(root.join("1_Pooling")).unwrap();
    fs::write(root.join("config.json"), "{\"a\":\n x}").unwrap();
    fs::write(root.join("1_Pooling/config.json"), "{}").unwrap();
    fs::write(root.join("model.safetensors"), sample()).unwrap();
    let source = Directory::open(&root).unwrap();
    assert!(source.has("1_Pooling/config.json").unwrap());
    assert!(!source.has("1_Pooling").unwrap());
    for none in ["modules.json", "1_Pooling", "2_Dense/config.json", "config.json/x"] {
        assert!(source.open(none).unwrap().is_none(), "{none}");
    }
    for bad in ["../x", "/etc/passwd", "a/../b", "", "a//b", "./a", "a\\b", "C:x", "a\0b", "a/"] {
        assert!(source.open(bad).is_err(), "{bad:?}");
        assert!(source.has(bad).is_err(), "{bad:?}");
    }
    let checkpoint = Checkpoint::open(&source).unwrap();
    assert_eq!(checkpoint.read_f32("one", &[]).unwrap(), [7.5]);

    let e = read_json::<Value>(&source, "config.json").unwrap_err();
    assert!(e.to_string().contains("config.json: line 2, column 2"), "{e}");
    assert_eq!(read_json::<Value>(&source, "none.json").unwrap(), None);
    let e = read_all(&source, "model.safetensors", 10).unwrap_err();
    assert!(e.to_string().contains("more than the 10"), "{e}");

    // The file loses its end after the header was read.
    fs::write(root.join("model.safetensors"), &sample()[..70]).unwrap();
    let e = checkpoint.read_f32("one", &[]).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Io);
    assert!(e.to_string().contains("tensor one") && e.to_string().contains("ends"), "{e}");
}

#[test]
fn what_is_no_model_is_said() {
    let empty = folder("empty");
    let lone = empty.join("weights.bin");
    fs::write(&lone, "").unwrap();
    for (name, part) in [
        (empty.display().to_string(), "has weights (weights.bin) and no config.json"),
        (lone.display().to_string(), "is a file"),
        ("./no/such/folder".to_owned(), "is no model: name \"bundled\""),
        ("/no/such/folder".to_owned(), "is no model"),
        (String::new(), "is no model"),
        ("a/b/c".to_owned(), "is no model"),
        ("bundled:other".to_owned(), "bundled"),
    ] {
        let Err(e) = locate(&name) else { panic!("{name} is a model") };
        assert_eq!(e.kind(), ErrorKind::NotFound, "{e}");
        assert!(e.to_string().contains(part), "{part:?} is not in {e}");
    }
    let e = Directory::open(empty.join("gone")).unwrap_err();
    assert!(e.to_string().contains("gone does not exist"), "{e}");
}

#[test]
fn a_folder_is_located() {
    let root = folder("located");
    fs::write(root.join("config.json"), "{}").unwrap();
    let name = root.display().to_string();
    assert_eq!(locate(&name).unwrap().name(), name);
}

#[test]
fn hub_ids_are_told_from_paths() {
    for id in ["a/b", "bert-base-uncased", "a_b/c.d-e", "a/b@main", "a/b@refs/pr/1", "_a/0"] {
        assert!(is_hub_id(id), "{id}");
    }
    for id in [
        "",
        "/a",
        "a/",
        "a/b/c",
        "./a",
        "../a",
        "a/..",
        "~/a",
        "a b",
        "a/b@",
        "a@../x",
        "a/b@x/../y",
        "é/a",
        "a@b@c",
        "a?b",
        "a\\b",
        ".hidden",
    ] {
        assert!(!is_hub_id(id), "{id}");
    }
}

#[cfg(feature = "bundled")]
#[test]
fn the_bundled_model_is_whole() {
    use everylayer::model::checkpoint::Dtype;
    use everylayer::text::{Overflow, Tokenizer};

    let source = locate("bundled").unwrap();
    assert_eq!(source.name(), "bundled:all-MiniLM-L6-v2");
    assert_eq!(locate(&source.name()).unwrap().name(), source.name());
    let config: Value = read_json(&*source, "config.json").unwrap().unwrap();
    for file in ["modules.json", "sentence_bert_config.json", "1_Pooling/config.json"] {
        assert!(read_json::<Value>(&*source, file).unwrap().is_some(), "{file}");
    }
    assert!(source.open("pytorch_model.bin").unwrap().is_none());
    assert!(source.open("../LICENSE").is_err());

    let tokenizer = Tokenizer::from_source(&*source).unwrap();
    assert_eq!(tokenizer.vocab_size() as u64, config["vocab_size"].as_u64().unwrap());
    let tokens = tokenizer.encode(&"Hello, world!".into(), 256, Overflow::Error).unwrap();
    assert_eq!(tokens.ids, [101, 7592, 1010, 2088, 999, 102]);

    let checkpoint = Checkpoint::open(&*source).unwrap();
    let word = "embeddings.word_embeddings.weight";
    assert_eq!(checkpoint.get(word).unwrap().dtype, Dtype::F16);
    let rows = checkpoint.read_rows_f32(word, &[30522, 384], 101..103).unwrap();
    let all = checkpoint.read_f32(word, &[30522, 384]).unwrap();
    assert_eq!(rows, all[101 * 384..103 * 384]);
    assert!(all.iter().all(|x| x.is_finite()) && all.iter().any(|&x| x != 0.0));
}
