//! The places that models come from: folders, the binary, and what a person may name.
//!
//! The hub has a file of its own, `hub.rs`.

use std::fs;
use std::path::PathBuf;

use everylayer::ErrorKind;
use everylayer::model::checkpoint::Checkpoint;
use everylayer::model::directory::Directory;
use everylayer::model::locate::{is_hub_id, locate};
use everylayer::model::sources::{Source, read_all, read_json};
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
    for none in ["modules.json", "2_Dense/config.json", "config.json/x"] {
        assert!(source.open(none).unwrap().is_none(), "{none}");
    }
    let e = source.open("1_Pooling").unwrap_err();
    assert!(e.to_string().contains("1_Pooling is a folder, not a file"), "{e}");
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
        ("./no/such/folder".to_owned(), "is not a model: give \"bundled\""),
        ("/no/such/folder".to_owned(), "is not a model"),
        (String::new(), "is not a model"),
        ("a/b/c".to_owned(), "is not a model"),
        ("bundled:other".to_owned(), "bundled"),
    ] {
        let Err(e) = locate(&name) else { panic!("{name} is a model") };
        assert_eq!(e.kind(), ErrorKind::NotFound, "{e}");
        assert!(e.to_string().contains(part), "{part:?} is not in {e}");
    }
    let e = Directory::open(empty.join("gone")).unwrap_err();
    assert!(e.to_string().contains("gone does not exist"), "{e}");
}

/// A folder on disk, and the name of every file that was asked of it.
#[cfg(unix)]
struct Asked(Directory, std::sync::Mutex<std::collections::BTreeSet<String>>);

#[cfg(unix)]
impl Source for Asked {
    fn name(&self) -> String {
        self.0.name()
    }

    fn open(
        &self,
        path: &str,
    ) -> everylayer::Result<Option<Box<dyn everylayer::model::sources::Blob>>> {
        self.1.lock().unwrap().insert(path.to_owned());
        self.0.open(path)
    }
}

/// What the loader says of the folder `root`, within the time that opening a FIFO takes for ever.
#[cfg(unix)]
fn loaded(root: &std::path::Path) -> String {
    use everylayer::{Device, Encoder, LoadOptions};
    let (done, answer) = std::sync::mpsc::channel();
    let root = root.display().to_string();
    std::thread::spawn(move || {
        let options = LoadOptions::default().device(Device::Cpu);
        let loaded = Encoder::open_blocking(&root, &options);
        let _ = done.send(loaded.map_or_else(|e| e.to_string(), |_| "it loads".into()));
    });
    let limit = std::time::Duration::from_secs(20);
    answer.recv_timeout(limit).unwrap_or_else(|_| "it hangs".into())
}

/// A FIFO in place of any file that a model may have, those that it lacks among them.
#[cfg(unix)]
#[test]
fn a_fifo_a_device_or_a_folder_is_no_file_of_a_model() {
    use std::os::unix::fs::symlink;
    use std::process::Command;
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let root = folder("fifos");
    for model in ["pipelines/dense_tanh", "pipelines/legacy", "families/albert-a", "adapters/bert"]
    {
        let copy = root.join(model.replace('/', "-"));
        copy_all(&fixtures.join(model), &copy);
        if model == "adapters/bert" {
            let base = fs::read_to_string(copy.join("base.json")).unwrap();
            let base: Value = serde_json::from_str(&base).unwrap();
            copy_all(&fixtures.join(base["base"].as_str().unwrap()), &copy);
        }
        let asked = Asked(Directory::open(&copy).unwrap(), Default::default());
        let options = everylayer::LoadOptions::default().device(everylayer::Device::Cpu);
        everylayer::Encoder::load_blocking(&asked, &options).unwrap();
        let names = asked.1.into_inner().unwrap();
        assert!(names.len() > 5, "{names:?}");
        for (i, name) in names.iter().enumerate() {
            let (place, kept) = (copy.join(name), root.join("kept"));
            let was = place.exists();
            if was {
                fs::rename(&place, &kept).unwrap();
            }
            if let Some(folder) = place.parent() {
                fs::create_dir_all(folder).unwrap();
            }
            let what = ["a FIFO", "a device", "a folder"][i % 3];
            match what {
                "a FIFO" => {
                    assert!(Command::new("mkfifo").arg(&place).status().unwrap().success());
                }
                "a device" => symlink("/dev/zero", &place).unwrap(),
                _ => fs::create_dir(&place).unwrap(),
            }
            let said = loaded(&copy);
            let want = format!("{name} is {what}, not a file");
            assert!(said.contains(&want), "{model}: {want}: {said}");
            let gone = if what == "a folder" { fs::remove_dir } else { fs::remove_file };
            gone(&place).unwrap();
            if was {
                fs::rename(&kept, &place).unwrap();
            }
        }
    }
    // A shard, and what an index names in its stead.
    let copy = root.join("families-albert-a");
    fs::remove_file(copy.join("model.safetensors")).unwrap();
    fs::write(copy.join("model.safetensors.index.json"), r#"{"weight_map": {"a": "shard"}}"#)
        .unwrap();
    assert!(Command::new("mkfifo").arg(copy.join("shard")).status().unwrap().success());
    let said = loaded(&copy);
    assert!(said.contains("shard is a FIFO, not a file"), "{said}");
    for out in ["../shard", "/etc/passwd", "a/../../shard"] {
        let index = format!(r#"{{"weight_map": {{"a": "{out}"}}}}"#);
        fs::write(copy.join("model.safetensors.index.json"), index).unwrap();
        let said = loaded(&copy);
        assert!(said.contains("leaves the model's folder"), "{said}");
    }
    let fifo = root.join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let said = loaded(&fifo);
    assert!(said.contains("fifo is a FIFO: name the folder"), "{said}");
}

/// Copies the files of a folder, and those of its folders.
#[cfg(unix)]
fn copy_all(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy_all(&path, &to),
            false => drop(fs::copy(&path, &to).unwrap()),
        }
    }
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
    use everylayer::model::checkpoint::TensorDtype;
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
    assert_eq!(checkpoint.get(word).unwrap().dtype, TensorDtype::F16);
    let rows = checkpoint.read_rows_f32(word, &[30522, 384], 101..103).unwrap();
    let all = checkpoint.read_f32(word, &[30522, 384]).unwrap();
    assert_eq!(rows, all[101 * 384..103 * 384]);
    assert!(all.iter().all(|x| x.is_finite()) && all.iter().any(|&x| x != 0.0));
}
