//! `tokenize`, `info`, `completions`, and help.

use serde_json::{Value, json};

use crate::calls::{json, pipe, run};

#[test]
fn tokens_with_spans_and_words() {
    let all = json(&["tokenize", "Unaffable é!", "x"]);
    assert_eq!(all["model"], "bundled:all-MiniLM-L6-v2");
    assert_eq!((&all["max_tokens"], &all["truncated"]), (&json!(256), &json!(0)));
    let result = &all["results"][0];
    let tokens = result["tokens"].as_array().unwrap();
    let text: Vec<&str> = tokens.iter().map(|t| t["text"].as_str().unwrap()).collect();
    assert_eq!(text, ["[CLS]", "una", "##ffa", "##ble", "e", "!", "[SEP]"]);
    assert_eq!(result["ids"].as_array().unwrap().len(), 7);
    assert_eq!(result["ids"][1], tokens[1]["id"]);
    assert_eq!(result["words"][1], json!({"text": "é", "start": 10, "end": 11}));
    assert_eq!(all["results"][1]["index"], 1);

    let got = run(&["tokenize", "--max-tokens", "4", "--prompt", "a ", "b c"]);
    let all = got.json();
    assert_eq!((&all["tokens_lost"], &all["results"][0]["tokens_lost"]), (&json!(1), &json!(1)));
    assert_eq!(got.notes(), ["1 of 1 texts was cut to 4 tokens: 1 token is lost"]);
    let lines = pipe(&["tokenize"], b"one\ntwo\n").lines();
    assert_eq!(lines[1]["tokens"][1]["text"], "two");
}

#[test]
fn embedding_sees_the_tokens_that_are_shown() {
    let shown = json(&["tokenize", "Unaffable é!"]);
    let embedded = json(&["embed", "-p", "tokens", "Unaffable é!"]);
    assert_eq!(shown["results"][0]["tokens"], embedded["results"][0]["tokens"]);
}

#[test]
fn info_knows_the_model() {
    let all = json(&["info", "--json"]);
    let model = &all["model"];
    for (key, want) in [
        ("family", json!("bert")),
        ("layers", json!(6)),
        ("states", json!(7)),
        ("width", json!(384)),
        ("heads", json!(12)),
        ("head_dim", json!(32)),
        ("inner", json!(1536)),
        ("vocab", json!(30522)),
        ("positions", json!(512)),
        // sum(p.numel() for p in AutoModel.from_pretrained(..).parameters())
        ("parameters", json!(22_713_216)),
        ("max_tokens", json!(256)),
        ("pipeline", json!(["Transformer: at most 256 tokens", "Pooling: mean", "Normalize"])),
    ] {
        assert_eq!(model[key], want, "{key}");
    }
    let memory = &all["memory"];
    assert!(memory["weight_bytes"].as_u64().unwrap() >= 4 * 22_713_216);
    let plans = memory["plans"].as_array().unwrap();
    let tokens: Vec<&Value> = plans.iter().map(|plan| &plan["tokens"]).collect();
    assert_eq!(tokens, [256, 8192, 256, 8192]);
    let bytes = |i: usize| plans[i]["bytes_to_host"].as_u64().unwrap();
    // Seven states of 256 tokens, the status words beside them.
    assert!((7 * 256 * 384 * 4..7 * 256 * 384 * 4 + 100).contains(&bytes(2)), "{}", bytes(2));

    let half = json(&["info", "--json", "--dtype", "f16", "--batch-tokens", "512"]);
    assert_eq!(half["memory"]["dtype"], "f16");
    assert_eq!(half["memory"]["plans"][1]["texts"], 2);
    let text = run(&["info"]);
    for part in ["adapters", "model bundled:all-MiniLM-L6-v2", "6 (states 0..6)", "weights"] {
        assert!(text.text().contains(part), "{part}");
    }
}

#[test]
fn help_teaches() {
    for words in [
        &["--help"][..],
        &["embed", "--help"],
        &["tokenize", "-h"],
        &["info", "-h"],
        &["bench", "-h"],
        &["completions", "-h"],
        &["licenses", "-h"],
        #[cfg(feature = "gpu")]
        &["wgsl", "-h"],
    ] {
        let got = run(words);
        assert!(got.text().contains("\nExamples:\n  everylayer "), "{words:?}");
        assert_eq!(got.err, "");
    }
    assert!(run(&["embed", "--help"]).text().contains("[default: bundled]"));
    assert_eq!(run(&["--version"]).text(), concat!("everylayer ", env!("CARGO_PKG_VERSION"), "\n"));
}

/// The examples of the help are calls that clap takes; those without a pipe or a file are run.
#[test]
fn examples_of_the_help_run() {
    for words in [
        &["embed", "Good morning", "Bonjour"][..],
        &["embed", "--layers", "all", "--pool", "tokens", "Hi"],
        &["embed", "-l", "-4..-1", "--combine", "concat", "-p", "cls", "Good morning"],
        &["embed", "-l", "all", "-p", "words", "Good morning"],
        &["embed", "--plan", "Good morning"],
        &["tokenize", "Unbelievable!"],
        &["bench", "--plan", "--batch", "32", "--tokens", "256"],
    ] {
        run(words).text();
    }
}

#[cfg(feature = "gpu")]
#[test]
fn kernels_are_printed() {
    let names = run(&["wgsl"]).text().to_owned();
    assert!(names.lines().count() > 300, "{names}");
    for name in ["attention.d64", "matmul.64x64+gelu", "norm.shared.x1", "pool.mean"] {
        assert!(names.lines().any(|line| line == name), "{name}");
        let text = run(&["wgsl", name]).text().to_owned();
        assert!(text.starts_with(&format!("// {name}\n")), "{name}");
        assert!(text.contains("@compute") && !text.contains("//:"), "{name}");
    }
    // A head_dim that is not listed.
    assert!(run(&["wgsl", "attention.d20"]).text().contains("const HEAD_DIM4: u32 = 5u;"));
    let got = run(&["wgsl", "matmul.huge"]);
    assert_eq!(got.code, Some(2));
    assert!(got.err.contains("no kernel is called `matmul.huge`"), "{}", got.err);
}

#[test]
fn licences_of_all_that_is_linked_are_shown() {
    let text = run(&["licenses"]).text().to_owned();
    for part in
        ["Apache License", "all-MiniLM-L6-v2", "tokenizers 0.", "wgpu 3", "Permission is hereby"]
    {
        assert!(text.contains(part), "{part}");
    }
}

#[test]
fn completions_of_every_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let got = run(&["completions", shell]);
        assert!(got.text().contains("max-tokens"), "{shell}");
    }
}
