//! Settings beside a vocabulary, held to Transformers 4.57 and 5.23
//! (`tests/fixtures/make_tokenizer_settings.py`).

mod common;

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use everylayer::encoder::Preprocessor;
use everylayer::model::bytes::Bytes;
use everylayer::text::{Overflow, Text, Tokenizer, Tokens};
use everylayer::{Capture, Device, Encoder, ErrorKind, LoadOptions};
use serde_json::{Value, json};

static SETTINGS: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("fixtures/tokenizers/settings.json")).unwrap()
});
const CLASSES: &str = include_str!("fixtures/tokenizers/classes.json");

/// The folder of a case: what is not a JSON file of its own is built from the shared parts.
fn folder(case: &Value) -> Bytes {
    let fixture = &*SETTINGS;
    let files = case["files"].as_object().unwrap().iter().map(|(name, value)| {
        let text = match name.as_str() {
            "vocab.txt" => {
                let words = fixture["words"].as_array().unwrap().iter();
                words.map(|word| format!("{}\n", word.as_str().unwrap())).collect()
            }
            "tokenizer.json" => {
                let mut json = fixture["bases"][value["base"].as_str().unwrap()].clone();
                for (key, changed) in value["changes"].as_object().unwrap() {
                    json[key] = changed.clone();
                }
                json.to_string()
            }
            _ => value.to_string(),
        };
        (name.clone(), text.into_bytes())
    });
    Bytes::new("toy", files.collect::<HashMap<_, _>>())
}

/// In the words of the fixture: ids, spans, types (none where all are 0).
fn answer(tokens: &Tokens) -> Value {
    let typed = tokens.types.iter().any(|&t| t != 0);
    json!([tokens.ids, tokens.spans, if typed { tokens.types.clone() } else { Vec::new() }])
}

#[test]
fn settings_hold_as_in_transformers() {
    let fixture = &*SETTINGS;
    let texts: Vec<&str> =
        fixture["texts"].as_array().unwrap().iter().map(|t| t.as_str().unwrap()).collect();
    let pair = (fixture["pair"][0].as_str().unwrap(), fixture["pair"][1].as_str().unwrap());
    let whole = texts.iter().map(|&text| (Text::from(text), usize::MAX));
    let cut = [(Text::from(texts[1]), 7), (Text::from(pair), usize::MAX), (Text::from(pair), 9)];
    let asked: Vec<(Text<'_>, usize)> = whole.chain(cut).collect();
    let mut wrong = Vec::new();
    let cases = fixture["cases"].as_array().unwrap();
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let tokenizer = match Tokenizer::from_source(&folder(case)) {
            Ok(tokenizer) => tokenizer,
            Err(e) => {
                wrong.push(format!("{name}: {e}"));
                continue;
            }
        };
        for (i, (text, limit)) in asked.iter().enumerate() {
            let tokens = tokenizer.encode(text, *limit, Overflow::Truncate).unwrap();
            let (got, want) = (answer(&tokens), &case["answer"][i]);
            if got != *want {
                wrong.push(format!("{name}: {text:?} at {limit}\n want {want}\n got  {got}"));
            }
        }
    }
    assert!(cases.len() > 200);
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

/// A folder of BERT with this `tokenizer_config.json` and `config.json`.
fn bert(config: &Value, model: &Value) -> Bytes {
    let case = json!({"files": {
        "tokenizer.json": {"base": "bert", "changes": {}}, "tokenizer_config.json": config,
        "config.json": model,
    }});
    folder(&case)
}

#[test]
fn every_class_of_transformers_is_computed_or_refused_by_name() {
    let classes: BTreeMap<String, BTreeMap<String, String>> =
        serde_json::from_str(CLASSES).unwrap();
    let fast = |name: &str| {
        let fast = |name: &str| classes.values().any(|c| c.get(name).is_some_and(|k| k == "fast"));
        fast(name) || fast(&format!("{name}Fast"))
    };
    let mut refused = 0;
    for name in classes.values().flat_map(BTreeMap::keys) {
        let configs = [
            (json!({"tokenizer_class": name}), json!({"model_type": "bert"})),
            (json!({}), json!({"model_type": "bert", "tokenizer_class": name})),
        ];
        for (config, model) in configs {
            match Tokenizer::from_source(&bert(&config, &model)) {
                Ok(_) => assert!(fast(name), "{name} is taken for a fast tokenizer"),
                Err(e) => {
                    assert_eq!(e.kind(), ErrorKind::Unsupported, "{e}");
                    assert!(e.to_string().contains(&format!("{name:?}, which is not supp")), "{e}");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 100);
    let e = Tokenizer::from_source(&bert(
        &json!({"tokenizer_class": "HouseTokenizer"}),
        &json!({"model_type": "bert"}),
    ));
    assert!(e.unwrap_err().to_string().contains("HouseTokenizer"));
}

#[test]
fn an_unknown_key_is_refused_by_name() {
    let model = json!({"model_type": "bert"});
    let with = |file: &str, change: &dyn Fn(&mut Value)| {
        let mut files: BTreeMap<&str, Value> = BTreeMap::from([
            ("tokenizer.json", json!({"base": "bert", "changes": {}})),
            ("tokenizer_config.json", json!({"tokenizer_class": "BertTokenizer"})),
            ("config.json", model.clone()),
        ]);
        match file {
            "tokenizer.json" => {
                let mut changes = SETTINGS["bases"]["bert"].clone();
                change(&mut changes);
                files.insert(file, json!({"base": "bert", "changes": changes}));
            }
            _ => change(files.entry(file).or_insert(json!({}))),
        }
        Tokenizer::from_source(&folder(&json!({"files": files})))
    };
    type Change = fn(&mut Value);
    let cases: [(&str, Change, &[&str]); 13] = [
        ("tokenizer_config.json", |c| c["swap_letters"] = json!(true), &["swap_letters"]),
        ("tokenizer_config.json", |c| c["word_tokenizer_type"] = json!("mecab"), &["word_tok"]),
        (
            "tokenizer_config.json",
            |c| c["auto_map"] = json!({"AutoTokenizer": ["tokenization_house.House", null]}),
            &["auto_map", "tokenization_house"],
        ),
        (
            "tokenizer_config.json",
            |c| c["fast_tokenizer_files"] = json!(["tokenizer.json", "tokenizer.5.0.0.json"]),
            &["fast_tokenizer_files", "5.0.0"],
        ),
        ("tokenizer_config.json", |c| c["truncation_side"] = json!("top"), &["truncation_side"]),
        ("special_tokens_map.json", |c| c["do_lower_case"] = json!(false), &["do_lower_case"]),
        ("added_tokens.json", |c| c["<new>"] = json!("last"), &["<new>", "last"]),
        ("tokenizer.json", |c| c["after"] = json!({}), &["top level", "after"]),
        ("tokenizer.json", |c| c["normalizer"]["form"] = json!("NFC"), &["BertNormalizer", "form"]),
        (
            "tokenizer.json",
            |c| {
                c["pre_tokenizer"] =
                    json!({"type": "Sequence", "pretokenizers": [{"type": "Digits", "group": 3}]})
            },
            &["pre_tokenizer", "Digits", "group"],
        ),
        ("tokenizer.json", |c| c["model"]["backwards"] = json!(1), &["model", "backwards"]),
        ("tokenizer.json", |c| c["post_processor"]["triple"] = json!([]), &["triple"]),
        ("tokenizer.json", |c| c["added_tokens"][0]["weight"] = json!(1), &["added_tok", "weight"]),
    ];
    for (file, change, parts) in cases {
        let e = with(file, &change).unwrap_err().to_string();
        for part in [&["toy", file], parts].concat() {
            assert!(e.contains(part), "{part:?} is not in {e:?}");
        }
    }
    // What is null is absent, and code of the folder's own for the model is no matter of tokens.
    for key in ["swap_letters", "auto_map", "do_lower_case"] {
        assert!(with("tokenizer_config.json", &|c| c[key] = Value::Null).is_ok());
    }
    let map = |c: &mut Value| c["auto_map"] = json!({"AutoModel": "modeling_house.House"});
    assert!(with("tokenizer_config.json", &map).is_ok());
}

#[test]
fn each_key_has_one_row() {
    let mut seen = BTreeMap::new();
    for (key, of) in everylayer::text::known_keys() {
        assert_eq!(seen.insert(key, of), None, "{key} stands twice");
        assert!(of == "computed" || of.contains(' '), "{key}: {of}");
        // A key without a value of its own changes nothing, wherever it stands.
        let config = json!({"tokenizer_class": "BertTokenizer", key: null});
        let model = json!({"model_type": "bert"});
        assert!(Tokenizer::from_source(&bert(&config, &model)).is_ok(), "{key}");
    }
    assert!(seen.len() > 100);
}

/// A model of one layer whose tokenizer has one token more than its word table has rows.
fn one_token_more() -> Bytes {
    let folder = common::fixtures().join("checkpoints/tiny-d16");
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let mut json: Value = serde_json::from_slice(&read("tokenizer.json")).unwrap();
    let rows = serde_json::from_slice::<Value>(&read("config.json")).unwrap()["vocab_size"].clone();
    json["added_tokens"].as_array_mut().unwrap().push(json!({
        "id": rows, "content": "<new>", "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": true,
    }));
    let names = ["config.json", "model.safetensors", "tokenizer_config.json"];
    let mut files = HashMap::from(names.map(|name| (name.to_owned(), read(name))));
    files.insert("tokenizer.json".to_owned(), json.to_string().into_bytes());
    Bytes::new("toy", files)
}

#[test]
fn a_token_without_a_row_is_refused_where_a_text_has_it() {
    let options = LoadOptions::default().device(Device::Cpu);
    let encoder = Encoder::load_blocking(&one_token_more(), &options).unwrap();
    let rows = encoder.spec().vocab;
    let capture = Capture::default();
    assert_eq!(encoder.embed_blocking(["a", "b"], &capture).unwrap().texts.len(), 2);
    let e = encoder.embed_blocking(["a", "b <new> c"], &capture).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Text);
    for part in ["text 1", "\"<new>\"", &format!("id {rows}"), &format!("{rows} rows")] {
        assert!(e.to_string().contains(part), "{part:?} is not in {e}");
    }
    // Where it is cut off, the text is run.
    let mut short = Capture::default();
    short.max_tokens = Some(3);
    assert!(encoder.embed_blocking(["a <new>"], &short).is_ok());
}

#[test]
fn settings_of_sentence_transformers_count_beside_modules_json_alone() {
    let read = |name: &str| {
        std::fs::read(common::fixtures().join("checkpoints/tiny-d16").join(name)).unwrap()
    };
    let names = ["config.json", "tokenizer.json", "tokenizer_config.json"];
    let mut files = HashMap::from(names.map(|name| (name.to_owned(), read(name))));
    let bare = Preprocessor::open(&Bytes::new("toy", files.clone())).unwrap().max_tokens();
    files.insert("sentence_bert_config.json".to_owned(), br#"{"max_seq_length": 6}"#.to_vec());
    let alone = Preprocessor::open(&Bytes::new("toy", files.clone())).unwrap().max_tokens();
    let modules = json!([
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]);
    files.insert("modules.json".to_owned(), modules.to_string().into_bytes());
    let pooling = br#"{"pooling_mode_mean_tokens": true}"#.to_vec();
    files.insert("1_Pooling/config.json".to_owned(), pooling);
    let beside = Preprocessor::open(&Bytes::new("toy", files)).unwrap().max_tokens();
    assert_eq!((bare, alone, beside), (bare, bare, 6));
    assert!(bare > 6);
}
