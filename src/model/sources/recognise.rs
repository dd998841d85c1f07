//! What a folder or a file is that holds no model which is read: the one sentence that says so, and
//! what to do. Also the way from a model's folder in the hub's cache to its files.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result, fail};
use crate::model::sources::Source;
use crate::model::sources::directory::{self, FileBlob};

/// The config of a LoRA adapter, beside the files of the model it was trained on.
pub(crate) const ADAPTER_CONFIG: &str = "adapter_config.json";
/// The files of which a model has at least one.
pub(crate) const MODEL_FILES: [&str; 3] = ["config.json", "modules.json", ADAPTER_CONFIG];
/// The largest file that names a commit in the hub's cache.
pub(crate) const MAX_REF: usize = 1024;
/// The most names of a folder that are looked at.
const MAX_NAMES: usize = 1000;

/// Weights in a format that is not read.
struct Foreign {
    format: &'static str,
    /// Files that it has, for sources that cannot be listed.
    files: &'static [&'static str],
    /// How its files end, in any case.
    endings: &'static [&'static str],
    /// The argument of Transformers 4 that reads it.
    flag: Option<&'static str>,
}

const FOREIGN: [Foreign; 6] = [
    Foreign {
        format: "TensorFlow",
        files: &["tf_model.h5", "tf_model.h5.index.json", "model.ckpt.index"],
        endings: &[".h5", ".ckpt.index"],
        flag: Some("from_tf"),
    },
    Foreign {
        format: "Flax",
        files: &["flax_model.msgpack", "flax_model.msgpack.index.json"],
        endings: &[".msgpack"],
        flag: Some("from_flax"),
    },
    Foreign {
        format: "ONNX",
        files: &["onnx/model.onnx", "model.onnx", "onnx/model_quantized.onnx"],
        endings: &[".onnx"],
        flag: None,
    },
    Foreign {
        format: "OpenVINO",
        files: &["openvino/openvino_model.xml", "openvino_model.xml"],
        endings: &["openvino_model.xml", "openvino_model.bin"],
        flag: None,
    },
    Foreign { format: "GGUF", files: &["model.gguf"], endings: &[".gguf", ".ggml"], flag: None },
    Foreign {
        format: "Core ML, LibTorch or TensorFlow Lite",
        files: &["rust_model.ot"],
        endings: &[".mlmodel", ".mlpackage", ".ot", ".tflite", "saved_model.pb"],
        flag: None,
    },
];

/// How files of weights end that are read under the names of [`crate::model::formats::checkpoint`] alone.
const WEIGHTS: [&str; 5] = [".safetensors", ".bin", ".pt", ".pth", ".ckpt"];

impl Foreign {
    fn of(name: &str) -> Option<&'static Self> {
        let name = name.to_ascii_lowercase();
        FOREIGN.iter().find(|format| format.endings.iter().any(|ending| name.ends_with(ending)))
    }

    /// The error for weights in `file`; `model` is how Transformers would find them.
    fn refused(&self, place: &str, file: &str, model: &str) -> Error {
        let format = self.format;
        match self.flag {
            Some(flag) => fail!(
                Unsupported,
                "{place}: the weights are in {file} ({format}), which is not read: convert them to \
                 safetensors, with transformers 4 (`pip install 'transformers<5'`): \
                 AutoModel.from_pretrained({model:?}, {flag}=True).save_pretrained(\"converted\", \
                 safe_serialization=True)"
            ),
            None => fail!(
                Unsupported,
                "{place}: the weights are in {file} ({format}), which is not read: fetch the \
                 model.safetensors of the model that it was made from, with config.json and the \
                 tokenizer's files, as `hf download ORG/NAME` does"
            ),
        }
    }
}

/// The error for a folder of `source` without weights that are read: it names those that are there
/// instead. `place` is the folder, for messages, and `within` gives the path of a file in it.
pub(crate) fn no_weights(
    source: &dyn Source,
    place: &str,
    within: impl Fn(&str) -> String,
) -> Error {
    for format in &FOREIGN {
        for file in format.files {
            match source.has(&within(file)) {
                Ok(true) => return format.refused(place, file, &source.name()),
                Ok(false) => {}
                Err(e) => return e,
            }
        }
    }
    let names = source.list(within("").trim_end_matches('/'));
    no_weights_among(&names, place, &source.name()).unwrap_or_else(|| {
        fail!(
            NotFound,
            "{place}: no weights: neither model.safetensors nor pytorch_model.bin nor an index \
             (model.safetensors.index.json, pytorch_model.bin.index.json) is there"
        )
    })
}

fn no_weights_among(names: &[String], place: &str, model: &str) -> Option<Error> {
    if let Some((name, format)) = names.iter().find_map(|name| Some((name, Foreign::of(name)?))) {
        return Some(format.refused(place, name, model));
    }
    let weights = |name: &&String| WEIGHTS.iter().any(|ending| name.ends_with(ending));
    let name = names.iter().find(weights)?;
    let what = match name.contains("-of-") {
        true => {
            "is one of several files, whose index (model.safetensors.index.json) is missing: \
                 download it too"
        }
        false => {
            "is there, but weights are read from model.safetensors or pytorch_model.bin: \
                  rename it if it holds those of this model"
        }
    };
    Some(fail!(NotFound, "{place}: no weights: {name} {what}"))
}

/// The folder that holds the files of the model at `root`: itself, or a snapshot of the hub's cache.
///
/// # Errors
///
/// `NotFound` or `Unsupported`, saying what `root` is.
pub(crate) fn model_folder(root: PathBuf) -> Result<PathBuf> {
    if root.is_file() {
        return Err(file(&root));
    }
    let shown = root.display();
    if let Ok(found) = std::fs::metadata(&root)
        && !found.is_dir()
    {
        return Err(fail!(
            NotFound,
            "{shown} is {}: name the folder that holds the model (config.json, tokenizer.json, \
             model.safetensors)",
            directory::kind(&found)
        ));
    }
    if !root.is_dir() {
        return Err(fail!(
            NotFound,
            "{shown} does not exist: name a folder that holds a model (config.json, \
             tokenizer.json, model.safetensors)"
        ));
    }
    if is_model(&root) {
        return Ok(root);
    }
    match snapshot(&root)? {
        Some(snapshot) => Ok(snapshot),
        None => Err(folder(&root)),
    }
}

fn is_model(folder: &Path) -> bool {
    // An adapter alone is refused where the model is read, with the name of its base; and so is
    // what has the name of a file and is none.
    MODEL_FILES.into_iter().any(|file| folder.join(file).exists())
}

/// Names in a folder, sorted; those that are not Unicode are left out.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().take(MAX_NAMES);
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}

/// The snapshot of a model's folder in the hub's cache (`models--org--name`), or of the `snapshots`
/// in it: the one of `refs/main`, else the only one. `None` where `root` is neither.
fn snapshot(root: &Path) -> Result<Option<PathBuf>> {
    let (snapshots, main) = match root.ends_with("snapshots") {
        true => (root.to_owned(), root.join("../refs/main")),
        false => (root.join("snapshots"), root.join("refs/main")),
    };
    if !snapshots.is_dir() {
        return Ok(None);
    }
    let all: Vec<String> =
        names(&snapshots).into_iter().filter(|name| is_model(&snapshots.join(name))).collect();
    let main = FileBlob::read_text(main, MAX_REF)?.unwrap_or_default();
    let main = all.iter().find(|name| *name == main.trim());
    match (main, &all[..]) {
        (Some(name), _) | (None, [name]) => Ok(Some(snapshots.join(name))),
        (None, []) => Err(fail!(
            NotFound,
            "{} is a folder of the hub's cache, and no snapshot in it has a config.json: download \
             the model again with `hf download`",
            root.display()
        )),
        (None, several) => Err(fail!(
            NotFound,
            "{} is a folder of the hub's cache with {} snapshots: name one of them ({})",
            root.display(),
            several.len(),
            some(several.iter().map(|name| snapshots.join(name).display().to_string()))
        )),
    }
}

/// The first three of `names`.
fn some(names: impl Iterator<Item = String>) -> String {
    let names: Vec<_> = names.take(4).collect();
    let more = if names.len() > 3 { ", ..." } else { "" };
    format!("{}{more}", names[..names.len().min(3)].join(", "))
}

/// The error for a file in place of a folder.
fn file(path: &Path) -> Error {
    let shown = path.display();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let lower = name.to_lowercase();
    let ends = |endings: &[&str]| endings.iter().any(|ending| lower.ends_with(ending));
    if let Some(format) = Foreign::of(&name) {
        return format.refused(&shown.to_string(), &name, &shown.to_string());
    }
    if ends(&[".zip", ".tar", ".tar.gz", ".tgz", ".tar.zst", ".7z"]) {
        return fail!(NotFound, "{shown} is an archive: unpack it, and name the folder");
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    let of_model = ends(&WEIGHTS) || ends(&[".json", "vocab.txt", ".model"]);
    match of_model && is_model(folder) {
        true => fail!(
            NotFound,
            "{shown} is a file of a model: name its folder, `-m {}`",
            folder.display()
        ),
        false => fail!(
            NotFound,
            "{shown} is a file: name the folder that holds the model (config.json, \
             tokenizer.json, model.safetensors)"
        ),
    }
}

/// The error for a folder that holds no model.
fn folder(root: &Path) -> Error {
    let shown = root.display().to_string();
    let names = names(root);
    let cached: Vec<_> = names.iter().filter_map(|name| name.strip_prefix("models--")).collect();
    if !cached.is_empty() {
        let ids = cached.iter().map(|name| name.replacen("--", "/", 1));
        return fail!(
            NotFound,
            "{shown} is the hub's cache: name one of its {} models ({})",
            cached.len(),
            some(ids)
        );
    }
    let inner: Vec<_> = names.iter().filter(|name| is_model(&root.join(name))).collect();
    if !inner.is_empty() {
        return fail!(
            NotFound,
            "{shown} is not a model directory: the model is in a folder of it, name {}",
            some(inner.iter().map(|name| root.join(name).display().to_string()))
        );
    }
    let formats = ["onnx", "openvino"].map(|folder| self::names(&root.join(folder)));
    for names in [&names, &formats[0], &formats[1]] {
        if let Some((name, format)) = names.iter().find_map(|name| Some((name, Foreign::of(name)?)))
        {
            return format.refused(&shown, name, &shown);
        }
    }
    let weights = |name: &&String| WEIGHTS.iter().any(|ending| name.ends_with(ending));
    match names.iter().find(weights) {
        Some(name) => fail!(
            NotFound,
            "{shown} has weights ({name}) and no config.json, which says what they are: download \
             the whole model, as `hf download ORG/NAME` does"
        ),
        None => fail!(NotFound, "{shown} is not a model directory: it has no config.json"),
    }
}
