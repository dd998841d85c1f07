//! Tokenizer files made to do harm: each is refused by name, without a panic, before a text is read.

use std::collections::HashMap;
use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use everylayer::model::bytes::Bytes;
use everylayer::text::{Overflow, Tokenizer};
use serde_json::{Value, json};

/// A `tokenizer.json` of whole words.
fn plain() -> Value {
    json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "decoder": null,
        "added_tokens": [], "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null,
        "model": {"type": "WordLevel", "vocab": {"<unk>": 0, "a": 1, "b": 7}, "unk_token": "<unk>"},
    })
}

/// A template of a text and a pair with these special tokens.
fn template(single: &Value, pair: &Value, special: &Value) -> Value {
    json!({
        "type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": special,
    })
}

fn token(content: &str, normalized: bool, rstrip: bool) -> Value {
    json!({
        "id": 9, "content": content, "single_word": false, "lstrip": false, "rstrip": rstrip,
        "normalized": normalized, "special": false,
    })
}

/// The part of `tokenizer.json` that is changed, what it becomes, and words of the error.
fn cases() -> Vec<(&'static str, Value, &'static str)> {
    let (a, b) = (
        json!({"Sequence": {"id": "A", "type_id": 0}}),
        json!({"Sequence": {"id": "B", "type_id": 1}}),
    );
    let s = json!({"SpecialToken": {"id": "s", "type_id": 0}});
    let pair = json!([a, b]);
    let of = |ids: Value, tokens: Value| json!({"s": {"id": "s", "ids": ids, "tokens": tokens}});
    let good = of(json!([1]), json!(["a"]));
    let nested = (0..40).fold(
        json!({"type": "NFC"}),
        |inner, _| json!({"type": "Sequence", "normalizers": [inner]}),
    );
    let grows = json!({"type": "Replace", "pattern": {"String": "a"}, "content": "a".repeat(1000)});
    let splits = |pattern: &str| {
        json!({
            "type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false,
        })
    };
    let piece = |limit: Value| {
        json!({
            "type": "WordPiece", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]",
            "continuing_subword_prefix": "##", "max_input_chars_per_word": limit,
        })
    };
    let pairs = |prefix: &str, merges: Value| {
        json!({
            "type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": merges,
            "continuing_subword_prefix": prefix,
        })
    };
    // A trie of 2^31 bytes, of which there is none: 0xffffff7f in base64.
    let map = |text: &str| json!({"type": "Precompiled", "precompiled_charsmap": text});
    vec![
        ("post_processor", template(&json!([b]), &pair, &json!({})), "0 of the first text and 1"),
        ("post_processor", template(&json!([a, a]), &pair, &json!({})), "2 of the first text"),
        ("post_processor", template(&json!([a]), &json!([a]), &json!({})), "`pair`"),
        ("post_processor", template(&json!([a, s]), &pair, &json!({})), "`special_tokens` lacks"),
        (
            "post_processor",
            template(&json!([a, s]), &pair, &of(json!([1, 2]), json!(["a"]))),
            "2 ids and 1 tokens",
        ),
        (
            "post_processor",
            template(&json!([a, s]), &pair, &of(json!([u32::MAX]), json!(["a"]))),
            "has the id 4294967295",
        ),
        (
            "post_processor",
            template(&json!(vec![s.clone(); 1000]), &pair, &good),
            "more than 64 parts",
        ),
        (
            "post_processor",
            json!({"type": "Sequence", "processors": [
                template(&json!([a]), &pair, &json!({})), template(&json!([a]), &pair, &json!({})),
            ]}),
            "twice",
        ),
        (
            "post_processor",
            json!({"type": "BertProcessing", "sep": ["a", u32::MAX], "cls": ["a", 1]}),
            "`sep` is",
        ),
        ("normalizer", nested, "nested more than 4 deep"),
        ("normalizer", map("////fw=="), "precompiled_charsmap: it ends in its trie"),
        ("normalizer", map("AAA="), "it ends in its size"),
        ("normalizer", map("a%"), "not in base64"),
        (
            "normalizer",
            json!({"type": "Sequence", "normalizers": [grows.clone(), grows]}),
            "times as long",
        ),
        (
            "normalizer",
            json!({"type": "Replace", "pattern": {"String": ""}, "content": "a"}),
            "`pattern` is empty",
        ),
        ("normalizer", json!({"type": "Prepend", "prepend": "a".repeat(1 << 20)}), "`prepend` has"),
        ("pre_tokenizer", splits("(?=a)((a{100}){100}){100}"), "repeats a part"),
        ("pre_tokenizer", splits(&"a|".repeat(5000)), "more than 2000 bytes"),
        ("pre_tokenizer", json!({"type": "FixedLength", "length": 0}), "`length` is 0"),
        ("model", piece(json!(1_000_000_000)), "`max_input_chars_per_word` is 1000000000"),
        ("model", piece(json!(-1)), "`max_input_chars_per_word` is -1"),
        (
            "model",
            json!({"type": "WordLevel", "vocab": {"a": u32::MAX}, "unk_token": "a"}),
            "the id 4294967295",
        ),
        ("model", pairs("", json!(["a b", "ab ab"])), "merge 1 makes no piece"),
        ("model", pairs("##", json!(["a b"])), "merge 0 makes no piece"),
        ("model", pairs(&"#".repeat(5000), json!([])), "`continuing_subword_prefix` has 5000"),
        ("added_tokens", json!([token("    ", true, false)]), "empty after the normalizer"),
        (
            "added_tokens",
            json!([token("<x>", false, true), token("  ", false, false)]),
            "take the space",
        ),
        ("added_tokens", json!([token(&"x".repeat(2000), false, false)]), "2000 bytes"),
    ]
}

#[test]
fn each_is_refused_by_name_and_nothing_panics() {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        usual(info);
    }));
    let mut wrong = Vec::new();
    for (part, value, said) in cases() {
        let mut json = plain();
        if part == "added_tokens" && said.starts_with("empty after") {
            json["normalizer"] = json!({"type": "Strip", "strip_left": true, "strip_right": true});
        }
        json[part] = value;
        let files = HashMap::from([("tokenizer.json".to_owned(), json.to_string().into_bytes())]);
        let begun = Instant::now();
        match Tokenizer::from_source(&Bytes::new("toy", files)) {
            Ok(read) => {
                let made = read.encode(&"a b".into(), 100, Overflow::Truncate).map(|t| t.ids);
                wrong.push(format!("{part}, {said:?}: read, and made {made:?}"));
            }
            Err(e) if !e.to_string().contains(said) => wrong.push(format!("{part}, {said:?}: {e}")),
            Err(_) => {}
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "{part}: {said}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(PANICS.load(Ordering::Relaxed), 0);
}
