//! Every state of every family's checkpoints against Transformers in f32, or against a float64
//! pass where Transformers has no class; and the same bits for a text alone and in the pack. `tests/fixtures/make_families.py` made them.

mod common;

use std::path::{Path, PathBuf};

use common::{Goldens, devices, difference, fixtures};
use everylayer::model::directory::Directory;
use everylayer::schedule::{Class, Vendor};
use everylayer::{Capture, Device, Encoder, Layers, LoadOptions, Pool};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

/// Times the largest magnitude of the state, or 1 where that is smaller.
const STATE: f32 = 5e-5;
/// Rows of XLM-R's word table.
const XLM_ROWS: usize = 250_002;
/// Special tokens, which keep their ids.
const SPECIALS: usize = 5;

/// What is wrong with one folder on one device: all texts in one call, every state.
/// `shift` is what the folder adds to every id that is no special token.
fn failures(folder: &Path, goldens: &Goldens, options: &LoadOptions, shift: usize) -> Vec<String> {
    match compare(folder, goldens, options, shift) {
        Ok(failures) => failures,
        Err(error) => vec![error.to_string()],
    }
}

fn compare(
    folder: &Path,
    goldens: &Goldens,
    options: &LoadOptions,
    shift: usize,
) -> Result<Vec<String>, everylayer::Error> {
    let encoder = Encoder::load_blocking(&Directory::open(folder)?, options)?;
    let mut capture = Capture::default().layers(Layers::All).pool(Pool::Tokens);
    capture.max_tokens = Some(goldens.texts[0].max_tokens);
    let texts: Vec<_> = goldens.texts.iter().map(|g| g.text()).collect();
    let tokens = encoder.tokenize(&texts, &capture)?;
    let got = encoder.embed_blocking(&texts, &capture)?;
    let mut failures = Vec::new();
    for (i, text) in texts.iter().enumerate() {
        let alone = encoder.embed_blocking(std::slice::from_ref(text), &capture)?;
        let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
        if bits(alone.texts[0].values.to_f32()) != bits(got.texts[i].values.to_f32()) {
            failures.push(format!("text {i} has other bits alone than in the pack"));
        }
    }
    if got.layers != (0..=goldens.layers).collect::<Vec<_>>() || got.width != goldens.width {
        return Ok(vec![format!("layers {:?} of width {}", got.layers, got.width)]);
    }
    for (i, golden) in goldens.texts.iter().enumerate() {
        let moved = |&id: &u32| if id < SPECIALS as u32 { id } else { id + shift as u32 };
        let ids: Vec<u32> = golden.ids.iter().map(moved).collect();
        if tokens[i].ids != ids || tokens[i].types != golden.types {
            failures.push(format!("text {}: ids or types differ", golden.name));
            continue;
        }
        let want = goldens.tensor(&format!("{i}.states")).expect("every text has states");
        let ours = got.texts[i].values.to_f32();
        assert_eq!(ours.len(), want.len(), "{}", golden.name);
        let state = golden.ids.len() * goldens.width;
        for (layer, (a, b)) in ours.chunks(state).zip(want.chunks(state)).enumerate() {
            let largest = b.iter().fold(1f32, |m, x| m.max(x.abs()));
            let d = difference(a, b);
            // `difference` passes over a NaN.
            if d > STATE * largest || a.iter().any(|x| !x.is_finite()) {
                let name = &golden.name;
                failures.push(format!("text {name} state {layer}: |d| {d:e} of {largest}"));
            }
        }
    }
    Ok(failures)
}

fn folders() -> Vec<PathBuf> {
    let all = std::fs::read_dir(fixtures().join("families")).unwrap();
    let mut folders: Vec<_> = all.map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}

#[test]
fn every_family_has_the_states_of_its_reference() {
    let folders = folders();
    assert!(folders.len() >= 57, "{} folders", folders.len());
    let mut failed = Vec::new();
    // The kernels of each vendor in turn.
    for (folder, vendor) in folders.iter().zip(Vendor::ALL.into_iter().cycle()) {
        let goldens = Goldens::read(&folder.join("goldens"));
        let name = folder.file_name().unwrap().to_string_lossy();
        for device in devices() {
            let options = LoadOptions::default().device(device.clone());
            let mut runs = vec![("its own", options.clone())];
            if device == Device::Gpu {
                let portable = options.default_limits(true);
                runs.push(("a GPU's", portable.clone().cut_for(Class::Small, vendor)));
                runs.push(("a page's", portable));
            }
            for (whose, options) in runs {
                let found = failures(folder, &goldens, &options, 0);
                let named = |f| format!("{name} on {device:?} with {whose} kernels: {f}");
                failed.extend(found.iter().map(named));
            }
        }
    }
    assert!(failed.is_empty(), "{} failures\n{}", failed.len(), failed.join("\n"));
}

/// Every hook of attention and gates with activations in 16 bits, by a GPU's kernels.
#[test]
fn every_family_stays_near_in_f16() {
    if common::gpu_missing() {
        return;
    }
    let mut failed = Vec::new();
    for (folder, vendor) in folders().iter().zip(Vendor::ALL.into_iter().cycle()) {
        let name = folder.file_name().unwrap().to_string_lossy();
        let goldens = Goldens::read(&folder.join("goldens"));
        let options = LoadOptions::default().device(Device::Gpu).default_limits(true);
        let options = options.dtype(everylayer::Dtype::F16).cut_for(Class::Small, vendor);
        let source = Directory::open(folder).unwrap();
        let encoder = Encoder::load_blocking(&source, &options).unwrap();
        let mut capture = Capture::default().layers(Layers::All).pool(Pool::Tokens);
        capture.max_tokens = Some(goldens.texts[0].max_tokens);
        let texts: Vec<_> = goldens.texts.iter().map(|g| g.text()).collect();
        let recordings = encoder.record(&texts, &capture).unwrap();
        let narrow = recordings.iter().all(|r| r.buffers().iter().any(|b| b.is_narrow()));
        // Experts are chosen by f32 alone.
        assert_eq!(narrow, !name.contains("-moe"), "{name}");
        let got = encoder.embed_blocking(&texts, &capture).unwrap();
        assert_eq!(got.rerun, None, "{name}");
        let least = (0..texts.len()).map(|i| {
            let want = goldens.tensor(&format!("{i}.states")).unwrap();
            common::cosine(&got.texts[i].values.to_f32(), &want, goldens.width)
        });
        let least = least.fold(1.0, f64::min);
        println!("f16: {name}: min cosine {least:.9}");
        if least < 0.9999 {
            failed.push(format!("{name}: cosine {least}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// The checkpoint in `from` with 250,002 words: those that are no special token go to the end of
/// the table, whatever lies between is zero, and the tokenizer gives them their new ids.
fn widen(from: &Path, to: &Path) -> usize {
    let bytes = std::fs::read(from.join("model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let word = |name: &str| name.ends_with("word_embeddings.weight");
    let mut shift = 0;
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = file
        .tensors()
        .into_iter()
        .map(|(name, tensor)| {
            assert_eq!(tensor.dtype(), Dtype::F16, "{name}");
            let values = tensor.data().chunks_exact(2);
            let mut values: Vec<f32> =
                values.map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()).collect();
            let mut shape = tensor.shape().to_vec();
            if word(&name) {
                shift = XLM_ROWS - shape[0];
                let at = SPECIALS * shape[1];
                values.splice(at..at, vec![0.0; shift * shape[1]]);
                shape[0] = XLM_ROWS;
            }
            (name, shape, bytemuck::cast_slice(&values).to_vec())
        })
        .collect();
    let views = tensors.iter().map(|(name, shape, data)| {
        (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), data).unwrap())
    });
    let views: Vec<_> = views.collect();
    safetensors::serialize_to_file(views, None, &to.join("model.safetensors")).unwrap();

    let read = |name: &str| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(from.join(name)).unwrap()).unwrap()
    };
    let write = |name: &str, value: &serde_json::Value| {
        std::fs::write(to.join(name), value.to_string()).unwrap();
    };
    let mut config = read("config.json");
    config["vocab_size"] = XLM_ROWS.into();
    write("config.json", &config);
    write("tokenizer_config.json", &read("tokenizer_config.json"));
    let mut tokenizer = read("tokenizer.json");
    let pieces = tokenizer["model"]["vocab"].as_array_mut().unwrap();
    let unused = (0..shift).map(|i| serde_json::json!([format!("<unused{i}>"), -100.0]));
    pieces.splice(SPECIALS..SPECIALS, unused);
    assert_eq!(pieces.len(), XLM_ROWS);
    write("tokenizer.json", &tokenizer);
    shift
}

#[test]
fn a_table_of_250002_rows_fits_default_limits() {
    let from = fixtures().join("families/xlm-roberta-wide");
    let goldens = Goldens::read(&from.join("goldens"));
    // More than a binding may hold by default, as f32.
    assert!(XLM_ROWS * goldens.width * 4 > 128 << 20);
    let folder = tempfile::tempdir().unwrap();
    let shift = widen(&from, folder.path());
    let mut failed = Vec::new();
    for device in devices() {
        let portable = !matches!(device, Device::Cpu);
        let options = LoadOptions::default().device(device.clone()).default_limits(portable);
        let found = failures(folder.path(), &goldens, &options, shift);
        failed.extend(found.iter().map(|f| format!("{device:?}: {f}")));
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
