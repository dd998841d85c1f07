//! Numbers that f16 does not hold: the texts that have them are run again in f32, those beside them
//! keep their bits, and what f32 does not hold either is an error.

mod common;

use std::collections::HashMap;

use common::{devices, fixtures};
use everylayer::embeddings::Rerun;
use everylayer::encoder::{Job, PreparedText};
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
    edited(&|name, i| {
        Some(match name {
            "embeddings.LayerNorm.weight" => 1e38,
            "embeddings.LayerNorm.bias" => 0.0,
            "embeddings.position_embeddings.weight" => 0.0,
            "embeddings.token_type_embeddings.weight" => 0.0,
            "embeddings.word_embeddings.weight" => {
                match (i / WIDTH == loud as usize, i % WIDTH, i % 2) {
                    (true, 0, _) => 1.0005,
                    (true, _, 0) => 1.0004,
                    (_, _, 0) => 1.0,
                    (true, _, _) => 1.0,
                    (false, _, _) => -1.0,
                }
            }
            _ => return None,
        })
    })
}

/// A small model in which the feed-forward layer of block 1 widens the token `loud` to 128,000, which
/// f16 does not hold, and every other token to nothing out of the ordinary.
///
/// Every word is a pattern of ±1, which normalises to itself; that of `loud` is at right angles to that
/// of the others, attention adds nothing, and one row of the first product is 2,000 times it.
fn wide_files(loud: u32) -> Files {
    let half = |i: usize| if i % WIDTH < WIDTH / 2 { 1.0 } else { -1.0 };
    let turns = |i: usize| if i.is_multiple_of(2) { 1.0 } else { -1.0 };
    let block = "encoder.layer.0.";
    edited(&|name, i| {
        Some(match name.strip_prefix(block).unwrap_or(name) {
            "embeddings.LayerNorm.weight" | "attention.output.LayerNorm.weight" => 1.0,
            "embeddings.LayerNorm.bias" | "attention.output.LayerNorm.bias" => 0.0,
            "embeddings.position_embeddings.weight" => 0.0,
            "embeddings.token_type_embeddings.weight" => 0.0,
            "embeddings.word_embeddings.weight" if i / WIDTH == loud as usize => half(i),
            "embeddings.word_embeddings.weight" => turns(i),
            "attention.output.dense.weight" | "attention.output.dense.bias" => 0.0,
            "intermediate.dense.weight" if i < WIDTH => 2000.0 * half(i),
            _ => return None,
        })
    })
}

/// The small model with the numbers that `number(tensor, i)` gives in place of its own.
fn edited(number: &dyn Fn(&str, usize) -> Option<f32>) -> Files {
    let folder = fixtures().join("checkpoints/tiny-d16");
    let names = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
    let mut files: Files =
        names.map(|name| (name.to_owned(), std::fs::read(folder.join(name)).unwrap())).into();
    let file = SafeTensors::deserialize(&files["model.safetensors"]).unwrap();
    let tensors: Vec<(String, Vec<usize>, Vec<f32>)> = file
        .tensors()
        .into_iter()
        .map(|(name, view)| {
            let numbers: Vec<f32> = bytemuck::pod_collect_to_vec(view.data());
            let numbers = numbers.iter().enumerate();
            let numbers = numbers.map(|(i, x)| number(&name, i).unwrap_or(*x)).collect();
            (name, view.shape().to_vec(), numbers)
        })
        .collect();
    let views = tensors.iter().map(|(name, shape, numbers)| {
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
            let rerun = Rerun::new(0, LOUD.to_vec());
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

/// The feed-forward layer of a BERT widens to more than 65,504: as an activation in 16 bits that is
/// found by the normalisation behind it, at its state, and where activations are f32 it is nothing.
#[test]
fn activations_that_overflow_f16_are_run_again_in_f32() {
    let files = wide_files(id("word"));
    let capture = Capture::default().layers(Layers::All).pool(Pool::Tokens);
    let places = devices().into_iter().flat_map(|d| [(d.clone(), false), (d, true)]);
    for (device, portable) in places {
        let narrow = device == Device::Gpu && portable;
        let load = |dtype, batch_tokens| {
            let options = LoadOptions::default().device(device.clone()).default_limits(portable);
            let options = options.dtype(dtype).batch_tokens(batch_tokens);
            Encoder::load_blocking(&Bytes::new("loud", files.clone()), &options).unwrap()
        };
        let exact = load(Dtype::F32, 100).embed_blocking(TEXTS, &capture).unwrap();
        assert_eq!(exact.rerun, None);
        for batch_tokens in [1, 12, 100] {
            let encoder = load(Dtype::F16, batch_tokens);
            let got = encoder.embed_blocking(TEXTS, &capture).unwrap();
            let rerun = narrow.then(|| Rerun::new(1, LOUD.to_vec()));
            assert_eq!(got.rerun, rerun, "{device:?} {portable}, {batch_tokens} tokens a batch");
            for (i, text) in got.texts.iter().enumerate() {
                let alone = encoder.embed_blocking([TEXTS[i]], &capture).unwrap();
                assert_eq!(text.values, alone.texts[0].values, "{device:?} text {i}");
                if narrow && LOUD.contains(&i) {
                    assert_eq!(text.values, exact.texts[i].values, "{device:?} text {i}");
                }
                assert!(text.values.to_f32().iter().all(|x| x.is_finite()), "{device:?} text {i}");
            }
        }
    }
}

/// State 0 is finite in f16 and state 1 is not: what is asked of state 0 has the bits that it has alone.
#[test]
fn an_output_beside_one_that_overflows_has_the_bits_it_has_alone() {
    let files = wide_files(id("word"));
    let captures = ["0", "1", "0..1"].map(|layers| {
        Capture::default().layers(layers.parse::<Layers>().unwrap()).pool(Pool::Mean)
    });
    for device in devices() {
        let options = LoadOptions::default().device(device.clone()).default_limits(true);
        let options = options.dtype(Dtype::F16);
        let encoder = Encoder::load_blocking(&Bytes::new("loud", files.clone()), &options).unwrap();
        for text in TEXTS {
            let tokens = encoder.tokenize([text], &Capture::default()).unwrap().remove(0);
            let said = text;
            let text = PreparedText { tokens, ..PreparedText::default() };
            let run = |captures: &[Capture]| {
                let job = Job { text: &text, windows: None, captures };
                let served = pollster::block_on(encoder.embed_jobs(&[job])).unwrap();
                (served.results.into_iter().next().unwrap().unwrap().unwrap(), served.rerun)
            };
            let (together, rerun) = run(&captures);
            let is_narrow = device == Device::Gpu && said.contains("word");
            assert_eq!(rerun, usize::from(is_narrow), "{device:?} {said}");
            assert_eq!(together.len(), captures.len());
            for (capture, got) in captures.iter().zip(together) {
                let (alone, rerun) = run(std::slice::from_ref(capture));
                assert!(got == alone[0], "{device:?} {said}: {:?}", capture.layers);
                let is_deep = capture.layers != "0".parse().unwrap();
                assert_eq!(rerun, usize::from(is_narrow && is_deep), "{device:?} {said}");
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
