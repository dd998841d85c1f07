//! Numbers that f16 does not hold: the texts that have them are run again in f32, those beside them
//! keep their bits, and what f32 does not hold either is an error.

mod common;

use std::collections::{BTreeMap, HashMap};

use common::{devices, fixtures};
use everylayer::embeddings::Rerun;
use everylayer::model::bytes::Bytes;
use everylayer::{Capture, Device, Dtype, Encoder, ErrorKind, Layers, LoadOptions, Pool};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype as Stored, TensorView, serialize};

type Files = HashMap<String, Vec<u8>>;

const WIDTH: usize = 64;

/// A small model in which the state 0 of the token `loud` is infinite where its row is rounded to
/// f16, and finite in f32, as is every other state 0.
///
/// γ is 1e38, of which a normalised number may be 3.4 times. Every word is ±1, and normalises to
/// ±1. The numbers of `loud` are 1, 1.0004 and one 1.0005, which normalise to 1.5 at most; rounded
/// to f16 all are 1 but the last, which normalises to √63.
fn files(loud: u32) -> Files {
    let folder = fixtures().join("checkpoints/tiny-d16");
    let names = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
    let mut files: Files =
        names.map(|name| (name.to_owned(), std::fs::read(folder.join(name)).unwrap())).into();
    let file = SafeTensors::deserialize(&files["model.safetensors"]).unwrap();
    let mut tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)> = file
        .tensors()
        .into_iter()
        .map(|(name, view)| {
            (name, (view.shape().to_vec(), bytemuck::pod_collect_to_vec(view.data())))
        })
        .collect();
    let mut put = |name: &str, number: &dyn Fn(usize) -> f32| {
        let numbers = &mut tensors.get_mut(&format!("embeddings.{name}")).unwrap().1;
        numbers.iter_mut().enumerate().for_each(|(i, x)| *x = number(i));
    };
    put("LayerNorm.weight", &|_| 1e38);
    for zero in ["LayerNorm.bias", "position_embeddings.weight", "token_type_embeddings.weight"] {
        put(zero, &|_| 0.0);
    }
    put("word_embeddings.weight", &|i| match (i / WIDTH == loud as usize, i % WIDTH, i % 2) {
        (true, 0, _) => 1.0005,
        (true, _, 0) => 1.0004,
        (_, _, 0) => 1.0,
        (true, _, _) => 1.0,
        (false, _, _) => -1.0,
    });
    let views = tensors.iter().map(|(name, (shape, numbers))| {
        let bytes = bytemuck::cast_slice(numbers);
        (name.clone(), TensorView::new(Stored::F32, shape.clone(), bytes).unwrap())
    });
    let bytes = serialize(views, None).unwrap();
    files.insert("model.safetensors".into(), bytes);
    files
}

fn load(files: &Files, device: &Device, dtype: Dtype, batch_tokens: usize) -> Encoder {
    let source = Bytes::new("loud", files.clone());
    let options = LoadOptions::default().device(device.clone()).dtype(dtype);
    Encoder::load_blocking(&source, &options.batch_tokens(batch_tokens)).unwrap()
}

/// The id of `word`, one token of the small model.
fn id(word: &str) -> u32 {
    let folder = fixtures().join("checkpoints/tiny-d16");
    let encoder = common::load(&folder, Device::Cpu);
    let tokens = encoder.tokenize([word], &Capture::default()).unwrap().remove(0);
    assert_eq!(tokens.len(), 3, "{:?}", tokens.pieces);
    tokens.ids[1]
}

/// Texts with the loud word and without, their order mixed up by their length.
const TEXTS: [&str; 7] =
    ["a", "the word", "the the a the", "word", "a the", "a a a a the word a the", "the"];
const LOUD: [usize; 3] = [1, 3, 5];

fn state_0() -> Capture {
    Capture::default().layers("0".parse::<Layers>().unwrap()).pool(Pool::Tokens)
}

#[test]
fn texts_that_overflow_f16_are_run_again_in_f32() {
    let files = files(id("word"));
    for device in devices() {
        let exact = load(&files, &device, Dtype::F32, 100);
        let want = exact.embed_blocking(TEXTS, &state_0()).unwrap();
        assert_eq!(want.rerun, None);
        for batch_tokens in [1, 12, 100] {
            let encoder = load(&files, &device, Dtype::F16, batch_tokens);
            let got = encoder.embed_blocking(TEXTS, &state_0()).unwrap();
            let rerun = Rerun { state: 0, texts: LOUD.to_vec() };
            assert_eq!(got.rerun, Some(rerun), "{device:?}, {batch_tokens} tokens a batch");
            assert_eq!(got.texts.len(), TEXTS.len());
            for (i, text) in got.texts.iter().enumerate() {
                let alone = encoder.embed_blocking([TEXTS[i]], &state_0()).unwrap();
                assert_eq!(text.index, i);
                assert_eq!(text.values, alone.texts[0].values, "{device:?} text {i}");
                assert_eq!(alone.rerun.is_some(), LOUD.contains(&i), "{device:?} text {i}");
                if LOUD.contains(&i) {
                    assert_eq!(text.values, want.texts[i].values, "{device:?} text {i}");
                }
            }
        }
    }
}

#[test]
fn what_f32_does_not_hold_either_is_an_error() {
    let word = id("word");
    for device in devices() {
        let mut files = files(word);
        let file = files.get_mut("model.safetensors").unwrap();
        // γ of the embeddings is at the start of no tensor but its own: 1e38 becomes NaN.
        let gamma = 1e38_f32.to_le_bytes();
        let at = file.windows(4).position(|bytes| bytes == gamma).unwrap();
        file[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
        let encoder = load(&files, &device, Dtype::F16, 100);
        let error = encoder.embed_blocking(TEXTS, &state_0()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFinite);
        let text = error.to_string();
        assert!(text.starts_with("loud: state 0 holds NaN or infinity (token "), "{text}");
        assert!(text.contains("overflows f32"), "{text}");
    }
}

#[test]
#[cfg(feature = "cli")]
fn the_command_says_so_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files(id("word")) {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let call = |dtype| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_everylayer"));
        command.args(["embed", "--device", "cpu", "--layers", "0", "--pool", "tokens"]);
        command.args(["--dtype", dtype, "--model"]).arg(folder.path()).args(TEXTS);
        let done = command.output().unwrap();
        let said = String::from_utf8(done.stderr).unwrap();
        assert!(done.status.success(), "{said}");
        said
    };
    let said = call("f16");
    let want = "3 of 7 texts overflowed f16 at state 0 of ";
    assert!(said.contains(want) && said.contains(" and were run again in f32"), "{said}");
    assert!(!call("f32").contains("overflowed"));
}
