//! Every key that Transformers (5.23, 4.57) and sentence-transformers (6.2) read or write in the files
//! of a tokenizer and of a pipeline, held against what is known of it here
//! (`tests/fixtures/make_known_keys.py`).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::LazyLock;

use everylayer::ErrorKind;
use everylayer::model::bytes::Bytes;
use everylayer::model::pipeline::{KEYS, Key};
use everylayer::text::{Tokenizer, known_keys};
use serde_json::{Value, json};

static TABLE: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("fixtures/known_keys.json")).unwrap());

/// Keys that change tokens and are refused by name: what they do.
const REFUSED: &[(&str, &str)] = &[
    ("_spm_precompiled_charsmap", "a normalizer in place of the vocabulary's"),
    ("vocab", "a vocabulary in place of the file's"),
    ("merges", "merges in place of the file's"),
    ("post_processor", "special tokens in place of those in tokenizer.json"),
    ("tokenizer", "a tokenizer in place of the file's"),
    ("tokenizer_object", "a tokenizer in place of the file's"),
    ("__slow_tokenizer", "a tokenizer in place of the file's"),
    ("continuing_subword_prefix", "another spelling of pieces"),
    ("end_of_word_suffix", "another spelling of pieces"),
    ("_json_padding", "what Transformers hands on inside of itself"),
    ("_json_truncation", "what Transformers hands on inside of itself"),
    ("tokenizer_truncation", "the end that is cut off"),
    ("src_lang", "it adds a language code to each text"),
    ("tgt_lang", "it adds a language code to each text"),
    ("gguf_file", "another file of the vocabulary"),
];

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

fn read(tokenizer: &Value, config: &Value) -> everylayer::Result<Tokenizer> {
    let files = [
        ("tokenizer.json", tokenizer),
        ("tokenizer_config.json", config),
        ("config.json", &json!({"model_type": "bert"})),
    ];
    let files = files.map(|(name, value)| (name.to_owned(), value.to_string().into_bytes()));
    Tokenizer::from_source(&Bytes::new("toy", HashMap::from(files)))
}

/// A `tokenizer.json` of two words.
fn plain() -> Value {
    json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "decoder": null,
        "added_tokens": [], "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null,
        "model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1}, "unk_token": "a"},
    })
}

#[test]
fn each_setting_is_computed_harmless_or_refused() {
    let known: BTreeMap<_, _> = known_keys().collect();
    let families = TABLE["tokenizer_config"].as_object().unwrap();
    assert!(families.len() > 16);
    let keys: BTreeSet<&str> = families.values().flat_map(strings).collect();
    let mut unknown = Vec::new();
    for key in keys {
        match known.get(key) {
            Some(of) => assert!(*of == "computed" || of.contains(' '), "{key}: {of}"),
            None if REFUSED.iter().any(|(name, why)| *name == key && !why.is_empty()) => {
                let config = json!({"tokenizer_class": "PreTrainedTokenizerFast", key: "x"});
                let e = read(&plain(), &config).unwrap_err();
                assert_eq!(e.kind(), ErrorKind::Unsupported, "{e}");
                assert!(e.to_string().contains(&format!("`{key}`")), "{e}");
            }
            None => unknown.push(key),
        }
    }
    assert!(unknown.is_empty(), "in no table: {unknown:?}");
}

#[test]
fn each_part_of_tokenizer_json_is_read_as_the_library_writes_it() {
    let config = json!({"tokenizer_class": "PreTrainedTokenizerFast"});
    let mut parts = 0;
    for (key, values) in TABLE["tokenizer"].as_object().unwrap() {
        for value in values.as_array().unwrap() {
            let mut json = plain();
            json[key] = value.clone();
            if let Err(e) = read(&json, &config) {
                panic!("{key}: {value}: {e}");
            }
            parts += 1;
            // One member more is refused by name, where it could change a token.
            let of_tokens =
                !matches!(key.as_str(), "decoder" | "truncation" | "padding" | "version");
            let mut more = value.clone();
            let fields = if key == "added_tokens" { more.get_mut(0) } else { Some(&mut more) };
            let Some(Value::Object(fields)) = fields.filter(|_| of_tokens) else { continue };
            fields.insert("swapped".into(), json!(true));
            json[key] = more;
            let e = read(&json, &config).unwrap_err().to_string();
            assert!(e.contains("tokenizer.json") && e.contains("`swapped`"), "{key}: {e}");
        }
    }
    assert!(parts > 40, "{parts} parts");
}

#[test]
fn each_key_of_a_module_that_is_computed_is_in_its_table() {
    let tables: BTreeMap<&str, _> = KEYS.iter().copied().collect();
    let modules = TABLE["modules"].as_object().unwrap();
    let mut computed = 0;
    for (class, keys) in modules {
        let table = match class.as_str() {
            "Transformer" | "MLMTransformer" => "sentence_bert_config.json",
            class => class,
        };
        // Those without a table are refused by the class, which tests/folders.rs holds.
        let Some(table) = tables.get(table) else { continue };
        computed += 1;
        for key in strings(keys) {
            // Arguments of a call, which are never written.
            if ["model_name_or_path", "backend", "_from_auto_load"].contains(&key) {
                continue;
            }
            let of = table.iter().find(|(name, _)| *name == key);
            let Some((_, of)) = of else { panic!("{class}: `{key}` is in no table") };
            let why = match of {
                Key::Computed => "computed",
                Key::Harmless(why) | Key::Only(_, why) | Key::Refused(why) => why,
                _ => "",
            };
            assert!(!why.is_empty(), "{class}: `{key}` has no reason");
        }
    }
    assert!(computed >= 7, "{computed} modules");
}

#[test]
fn each_fast_tokenizer_of_the_mapping_is_taken_or_refused_by_name() {
    let (mut taken, mut refused) = (0, 0);
    for name in TABLE["classes"].as_object().unwrap().values().flat_map(strings) {
        match read(&plain(), &json!({"tokenizer_class": name})) {
            Ok(_) => taken += 1,
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::Unsupported, "{e}");
                let said = e.to_string();
                assert!(said.contains(&format!("{name:?}, which is not supported: ")), "{said}");
                refused += 1;
            }
        }
    }
    assert!(taken > 60 && refused > 30, "{taken} taken, {refused} refused");
}
