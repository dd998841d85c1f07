//! Models that are broken or ask for what is not computed: each is one sentence that names the
//! field, tensor or module, and never a wrong number.

mod common;

use std::collections::{BTreeMap, HashMap};

use common::{devices, fixtures};
use everylayer::model::bytes::Bytes;
use everylayer::{Capture, Device, Encoder, Error, ErrorKind, Layers, LoadOptions, Pool};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::{Value, json};

const TRANSFORMER: &str = "sentence_transformers.models.Transformer";
const POOLING: &str = "sentence_transformers.models.Pooling";

type Files = HashMap<String, Vec<u8>>;
type Tensors = BTreeMap<String, (Vec<usize>, Vec<u8>)>;

/// The files of a good small model, to be broken.
fn good() -> Files {
    let folder = fixtures().join("checkpoints/tiny-d16");
    ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
        .map(|name| (name.to_owned(), std::fs::read(folder.join(name)).unwrap()))
        .into()
}

/// The same with `config.json` changed.
fn with_config(change: impl Fn(&mut Value)) -> Files {
    let mut files = good();
    let mut config: Value = serde_json::from_slice(&files["config.json"]).unwrap();
    change(&mut config);
    files.insert("config.json".into(), config.to_string().into_bytes());
    files
}

/// The same with the tensors changed.
fn with_tensors(change: impl Fn(&mut Tensors)) -> Files {
    let mut files = good();
    let file = SafeTensors::deserialize(&files["model.safetensors"]).unwrap();
    let mut tensors: Tensors = file
        .tensors()
        .into_iter()
        .map(|(name, view)| {
            let numbers = view.data();
            let data: Vec<u8> = match view.dtype() {
                Dtype::F32 => numbers.to_vec(),
                other => panic!("the fixture has {other:?}"),
            };
            (name, (view.shape().to_vec(), data))
        })
        .collect();
    change(&mut tensors);
    let views: Vec<_> = tensors
        .iter()
        .map(|(name, (shape, data))| {
            (name.clone(), TensorView::new(Dtype::F32, shape.clone(), data).unwrap())
        })
        .collect();
    files.insert("model.safetensors".into(), serialize(views, None).unwrap());
    files
}

fn with_modules(types: &[(&str, &str)]) -> Files {
    let modules: Vec<_> = types
        .iter()
        .enumerate()
        .map(|(i, (path, class))| json!({"idx": i, "name": "m", "path": path, "type": class}))
        .collect();
    let mut files = good();
    files.insert("modules.json".into(), json!(modules).to_string().into_bytes());
    files.insert("1_Pooling/config.json".into(), b"{\"pooling_mode_mean_tokens\": true}".to_vec());
    files
}

fn load(files: Files) -> Result<Encoder, Error> {
    let options = LoadOptions::default().device(Device::Cpu);
    Encoder::load_blocking(&Bytes::new("broken", files), &options)
}

fn nan(tensor: &mut (Vec<usize>, Vec<u8>)) {
    tensor.1[..4].copy_from_slice(&f32::NAN.to_le_bytes());
}

#[test]
fn the_unbroken_model_loads() {
    assert!(load(good()).is_ok());
    assert!(load(with_tensors(|_| {})).is_ok());
    assert!(load(with_modules(&[("", TRANSFORMER), ("1_Pooling", POOLING)])).is_ok());
}

#[test]
fn each_is_refused_with_one_sentence_that_names_it() {
    const WORD: &str = "embeddings.word_embeddings.weight";
    let set = |key: &'static str, value: Value| with_config(move |c| c[key] = value.clone());
    let unset = |key: &'static str| {
        with_config(move |c| {
            c.as_object_mut().unwrap().remove(key);
        })
    };
    let without = |file: &str| {
        let mut files = good();
        files.remove(file);
        files
    };
    use ErrorKind::{Checkpoint, NotFound, Unsupported};
    let cases: Vec<(&str, Files, ErrorKind, &[&str])> = vec![
        ("no config", without("config.json"), NotFound, &["config.json"]),
        ("no weights", without("model.safetensors"), NotFound, &["model.safetensors"]),
        ("no tokenizer", without("tokenizer.json"), NotFound, &["tokenizer.json", "vocab.txt"]),
        (
            "model type",
            set("model_type", json!("llama")),
            Unsupported,
            &["model_type", "llama", "bert"],
        ),
        ("no model type", unset("model_type"), Checkpoint, &["model_type"]),
        (
            "positions",
            set("position_embedding_type", json!("relative_key")),
            Unsupported,
            &["position_embedding_type", "relative_key"],
        ),
        ("decoder", set("is_decoder", json!(true)), Unsupported, &["is_decoder"]),
        (
            "activation",
            set("hidden_act", json!("quick_gelu")),
            Unsupported,
            &["hidden_act", "quick_gelu"],
        ),
        (
            "jina",
            set("feed_forward_type", json!("geglu")),
            Unsupported,
            &["feed_forward_type", "geglu"],
        ),
        (
            "heads",
            set("num_attention_heads", json!(7)),
            Checkpoint,
            &["hidden_size", "num_attention_heads"],
        ),
        ("no heads", unset("num_attention_heads"), Checkpoint, &["num_attention_heads"]),
        ("no layers", set("num_hidden_layers", json!(0)), Checkpoint, &["num_hidden_layers", "0"]),
        ("epsilon", set("layer_norm_eps", json!(-1)), Checkpoint, &["layer_norm_eps", "-1"]),
        (
            "epsilon",
            set("layer_norm_eps", json!(1e-50)),
            Checkpoint,
            &["layer_norm_eps", "rounds to 0"],
        ),
        (
            "epsilon",
            set("layer_norm_eps", json!(1e39)),
            Checkpoint,
            &["layer_norm_eps", "rounds to inf"],
        ),
        (
            "more layers",
            set("num_hidden_layers", json!(9)),
            Checkpoint,
            &["`num_hidden_layers` is 9", "tensors of 2 layers"],
        ),
        ("fewer layers", set("num_hidden_layers", json!(1)), Unsupported, &["encoder.layer.1."]),
        ("vocabulary", set("vocab_size", json!(7)), Checkpoint, &[WORD, "7"]),
        (
            "missing tensor",
            with_tensors(|t| drop(t.remove("encoder.layer.0.output.dense.weight"))),
            Checkpoint,
            &["encoder.layer.0.output.dense.weight"],
        ),
        (
            "wrong shape",
            with_tensors(|t| t.get_mut(WORD).unwrap().0.reverse()),
            Checkpoint,
            &[WORD, "[64, 195]", "[195, 64]"],
        ),
        (
            "left over",
            with_tensors(|t| {
                drop(t.insert("encoder.layer.0.mlp.gate.weight".into(), (vec![1], vec![0; 4])))
            }),
            Unsupported,
            &["encoder.layer.0.mlp.gate.weight"],
        ),
        (
            "smaller word table than tokenizer",
            with_tensors(|t| {
                let (shape, data) = t.get_mut(WORD).unwrap();
                shape[0] = 50;
                data.truncate(50 * 64 * 4);
            }),
            Checkpoint,
            &[WORD],
        ),
        (
            "unknown module",
            with_modules(&[
                ("", TRANSFORMER),
                ("1_Pooling", POOLING),
                ("2", "sentence_transformers.models.CNN"),
            ]),
            Unsupported,
            &["CNN", "modules.json"],
        ),
        (
            "escaping module",
            with_modules(&[("", TRANSFORMER), ("../../etc", POOLING)]),
            Checkpoint,
            &[".."],
        ),
    ];
    let mut failures = Vec::new();
    for (name, files, kind, words) in cases {
        match load(files) {
            Ok(_) => failures.push(format!("{name}: it loads")),
            Err(e) => {
                let text = e.to_string();
                let missing: Vec<_> = words.iter().filter(|w| !text.contains(**w)).collect();
                if e.kind() != kind || !missing.is_empty() || text.contains('\n') {
                    failures.push(format!("{name}: {:?} `{text}` lacks {missing:?}", e.kind()));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_token_without_a_row_refuses_its_text_alone() {
    // Both the config and the table say 50 rows; the tokenizer has 195 ids.
    let mut files = with_tensors(|t| {
        let (shape, data) = t.get_mut("embeddings.word_embeddings.weight").unwrap();
        shape[0] = 50;
        data.truncate(50 * 64 * 4);
    });
    files.insert(
        "config.json".into(),
        with_config(|c| c["vocab_size"] = json!(50))["config.json"].clone(),
    );
    let encoder = load(files).unwrap();
    assert!(encoder.embed_blocking(["a b"], &Capture::default()).is_ok());
    let error = encoder.embed_blocking(["a b", "a word"], &Capture::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Text, "{error}");
    let said = error.to_string();
    assert!(said.contains("text 1: ") && said.contains("\"word\" has the id 175"), "{said}");
    assert!(said.contains("50 rows"), "{said}");
}

#[test]
fn token_types_outside_their_table_are_refused() {
    let mut files = with_tensors(|t| {
        let (shape, data) = t.get_mut("embeddings.token_type_embeddings.weight").unwrap();
        shape[0] = 1;
        data.truncate(64 * 4);
    });
    files.insert(
        "config.json".into(),
        with_config(|c| c["type_vocab_size"] = json!(1))["config.json"].clone(),
    );
    let encoder = load(files).unwrap();
    assert!(encoder.embed_blocking(["the word"], &Capture::default()).is_ok());
    let error = encoder.embed_blocking([("the word", "is")], &Capture::default()).unwrap_err();
    assert!(error.to_string().contains("token type 1"), "{error}");
}

#[test]
fn states_that_do_not_exist_are_refused() {
    let encoder = load(good()).unwrap();
    for layers in ["99", "-9", "3..1", "0,0"] {
        let capture = Capture::default().layers(layers.parse::<Layers>().unwrap());
        let error = encoder.embed_blocking(["a"], &capture).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{layers}: {error}");
    }
    let capture = Capture::default().layers(Layers::All).pool(Pool::Pooler);
    assert_eq!(common::kind(encoder.embed_blocking(["a"], &capture)), Some(ErrorKind::Usage));
    let capture = Capture::default().max_tokens(100_000);
    assert_eq!(common::kind(encoder.embed_blocking(["a"], &capture)), Some(ErrorKind::Usage));
}

#[test]
fn nan_is_found_and_its_state_named() {
    // NaN in a word's row reaches state 0; in a later layer's bias, state 2.
    let places = [
        ("embeddings.position_embeddings.weight", 0),
        ("encoder.layer.1.output.dense.bias", 2),
        ("encoder.layer.0.attention.self.value.bias", 1),
    ];
    for device in devices() {
        for (tensor, state) in places {
            let files = with_tensors(|t| nan(t.get_mut(tensor).unwrap()));
            let options = LoadOptions::default().device(device.clone());
            let encoder = Encoder::load_blocking(&Bytes::new("broken", files), &options).unwrap();
            for capture in [
                Capture::default(),
                Capture::default().layers(Layers::All).pool(Pool::Max),
                Capture::default().layers(Layers::All).pool(Pool::Tokens),
            ] {
                let error = encoder.embed_blocking(["the word"], &capture).unwrap_err();
                let text = error.to_string();
                assert_eq!(error.kind(), ErrorKind::NotFinite, "{tensor} on {device:?}: {text}");
                assert!(text.contains("broken"), "{text}");
                assert!(
                    text.contains(&format!("state {state} ")),
                    "{tensor} on {device:?}: {text}"
                );
            }
        }
    }
}

#[test]
fn a_word_table_beyond_the_binding_limit_works_on_default_limits() {
    // 140 MB in f32, over WebGPU's 128 MiB: gathered on the host, the same numbers as on the CPU.
    let vocab = 550_000;
    let files = || {
        let mut files = with_tensors(|t| {
            let (shape, data) = t.get_mut("embeddings.word_embeddings.weight").unwrap();
            shape[0] = vocab;
            data.resize(vocab * 64 * 4, 0);
        });
        let config = with_config(|c| c["vocab_size"] = json!(vocab));
        files.insert("config.json".into(), config["config.json"].clone());
        files
    };
    if common::gpu_missing() {
        return;
    }
    let capture = Capture::default().layers(Layers::All).pool(Pool::Tokens);
    let run = |device| {
        let options = LoadOptions::default().device(device).default_limits(true);
        let encoder = Encoder::load_blocking(&Bytes::new("large", files()), &options).unwrap();
        let vectors = encoder.embed_blocking(["the word is the word", "a b"], &capture).unwrap();
        (encoder.weight_bytes(), vectors.to_vec())
    };
    let (on_gpu, gpu) = run(Device::Gpu);
    let (_, cpu) = run(Device::Cpu);
    assert!(on_gpu < 64 << 20, "the table is not on the device: {on_gpu} bytes");
    assert!(common::difference(&gpu, &cpu) <= 5e-5);
}

#[cfg(feature = "gpu")]
#[test]
fn a_lost_device_is_an_error_and_not_a_hang() {
    use std::sync::Arc;

    use everylayer::execute::Execute;
    use everylayer::gpu::GpuExecutor;
    use everylayer::gpu::device::{Gpu, Pick};
    use everylayer::model::load::Model;
    use everylayer::schedule::{Elem, Exit, record};
    use everylayer::text::pack::PackedBatch;

    if common::gpu_missing() {
        return;
    }
    let model = Model::open(&Bytes::new("lost", good())).unwrap();
    let gpu = Arc::new(pollster::block_on(Gpu::open(&Pick::Any, &Default::default())).unwrap());
    let (layout, weights) = (Arc::clone(&model.layout), model.weights.clone());
    let executor = GpuExecutor::new(Arc::clone(&gpu), layout, weights, Elem::F32).unwrap();
    let batch = PackedBatch {
        ids: vec![2, 3],
        positions: vec![0, 1],
        types: vec![0, 0],
        offsets: vec![0, 2],
        order: vec![0],
        hidden: Vec::new(),
    };
    let exit = Exit::states(vec![0]);
    let recording = record(&model.spec, &model.layout, &batch, &exit, executor.caps()).unwrap();
    let run = || pollster::block_on(executor.run(&recording, &mut |_, _| Ok(())));
    run().unwrap();
    gpu.destroy();
    let error = run().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeviceLost, "{error}");
}

#[cfg(feature = "gpu")]
#[test]
fn a_weight_that_no_binding_holds_is_out_of_memory_and_named() {
    use std::sync::Arc;

    use everylayer::gpu::GpuExecutor;
    use everylayer::gpu::device::{Gpu, Pick};
    use everylayer::model::load::Model;
    use everylayer::schedule::Elem;

    if common::gpu_missing() {
        return;
    }
    let model = Model::open(&Bytes::new("tight", good())).unwrap();
    let gpu = Arc::new(pollster::block_on(Gpu::open(&Pick::Any, &Default::default())).unwrap());
    let (layout, weights) = (Arc::clone(&model.layout), model.weights.clone());
    let executor = GpuExecutor::with_max_binding(gpu, layout, weights, Elem::F32, 1024);
    let error = executor.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
    assert!(error.to_string().contains("position table"), "{error}");
}
