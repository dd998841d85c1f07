//! `embed`: the shape of what comes out, by option.

use serde_json::{Value, json};

use crate::calls::{flat, json, length, run, shape};

fn vectors(words: &[&str]) -> Value {
    json(&[&["embed", "-q"], words].concat())["results"][0]["vectors"].clone()
}

#[test]
fn a_text_is_a_unit_vector_of_384() {
    let got = run(&["embed", "Good morning", "Bonjour"]);
    let all = got.json();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    // The order is that of docs and outside checks.
    assert_eq!(
        keys(&all),
        [
            "model",
            "device",
            "dtype",
            "layers",
            "combine",
            "pool",
            "width",
            "truncated",
            "tokens_lost",
            "results"
        ]
    );
    assert_eq!(all["model"], "bundled:all-MiniLM-L6-v2");
    assert_eq!(all["dtype"], "f32");
    assert_eq!(all["layers"], json!([6]));
    assert_eq!((&all["combine"], &all["pool"]), (&json!("stack"), &json!("model")));
    assert_eq!((&all["width"], &all["truncated"]), (&json!(384), &json!(0)));
    let results = all["results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    for (i, result) in results.iter().enumerate() {
        assert_eq!(keys(result), ["index", "text_tokens", "vectors"]);
        assert_eq!(result["index"], i);
        assert_eq!(shape(&result["vectors"]), [384]);
        assert!((length(&flat(&result["vectors"])) - 1.0).abs() < 1e-6);
    }
    assert_eq!(results[0]["text_tokens"], 4);
    // The device is said once, and nothing else.
    let device = format!("device: {}", all["device"].as_str().unwrap());
    assert_eq!(got.notes(), [device]);
    assert_eq!(run(&["embed", "Good morning", "-q"]).err, "");
}

#[test]
fn tokens_of_all_layers_nest() {
    let all = json(&["embed", "--layers", "all", "-p", "tokens", "Good morning!"]);
    assert_eq!(all["layers"], json!([0, 1, 2, 3, 4, 5, 6]));
    let result = &all["results"][0];
    assert_eq!(shape(&result["vectors"]), [7, 5, 384]);
    let tokens = result["tokens"].as_array().unwrap();
    let text: Vec<&str> = tokens.iter().map(|t| t["text"].as_str().unwrap()).collect();
    assert_eq!(text, ["[CLS]", "good", "morning", "!", "[SEP]"]);
    let span = |t: &Value| (t["start"].as_u64().unwrap(), t["end"].as_u64().unwrap());
    assert_eq!(span(&tokens[2]), (5, 12));
    assert_eq!((&tokens[0]["word"], &tokens[2]["word"]), (&Value::Null, &json!(1)));

    let words = json(&["embed", "-p", "words:first-last", "Good morning!"]);
    assert_eq!(words["width"], 768);
    assert_eq!(shape(&words["results"][0]["vectors"]), [3, 768]);
    assert_eq!(words["results"][0]["words"][1], json!({"text": "morning", "start": 5, "end": 12}));
}

#[test]
fn layers_are_named_from_either_end() {
    let all = vectors(&["-l", "all", "-p", "cls", "a text"]);
    for (words, want) in [
        (vec!["-l", "-1"], json!([6])),
        (vec!["-l", "-4..-1"], json!([3, 4, 5, 6])),
        (vec!["--layers=0,6,-2"], json!([0, 6, 5])),
        (vec!["-l", "blocks"], json!([1, 2, 3, 4, 5, 6])),
    ] {
        let got = json(&[&["embed", "-p", "cls", "a text"][..], &words].concat());
        assert_eq!(got["layers"], want, "{words:?}");
        let layers = want.as_array().unwrap();
        let picked: Vec<Value> =
            layers.iter().map(|l| all[l.as_u64().unwrap() as usize].clone()).collect();
        let got = flat(&got["results"][0]["vectors"]);
        let want = flat(&Value::Array(picked));
        assert!(got.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-6), "{words:?}");
    }
    assert_eq!(shape(&vectors(&["-l", "0,6", "--combine", "concat", "x"])), [768]);
    assert_eq!(shape(&vectors(&["-l", "0,6", "--combine", "weighted=1,3", "x"])), [384]);
}

#[test]
fn routes_agree() {
    let of = |route| flat(&vectors(&["--route", route, "-l", "all", "-p", "mean", "a text"]));
    let (stream, fold) = (of("stream"), of("fold"));
    let apart = stream.iter().zip(&fold).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(apart < 1e-6, "{apart}");
}

#[test]
fn normalize_and_dims() {
    let plain = flat(&vectors(&["--normalize=false", "a text"]));
    assert!((length(&plain) - 1.0).abs() > 0.1);
    // `--normalize` takes no text for its value.
    let unit = flat(&vectors(&["-l", "3", "--normalize", "a text"]));
    assert!((length(&unit) - 1.0).abs() < 1e-6);

    let (all, cut) = (flat(&vectors(&["a text"])), flat(&vectors(&["--dims", "100", "a text"])));
    assert_eq!(cut.len(), 100);
    let scale = length(&all[..100]);
    assert!(all.iter().zip(&cut).all(|(a, b)| (a / scale - b).abs() < 1e-6));
}

#[test]
fn sites_are_named_and_read_in_blocks_alone() {
    let heads = json(&["embed", "-q", "-l", "all", "--site", "z", "-p", "mean", "a text"]);
    assert_eq!((&heads["site"], &heads["heads"]), (&json!("z"), &json!(12)));
    assert_eq!((&heads["head_dim"], &heads["layers"]), (&json!(32), &json!([1, 2, 3, 4, 5, 6])));
    let neurons = vectors(&["--site", "mlp-act", "a text"]);
    assert_eq!(flat(&neurons).len(), 1536);
    // A state says what it said before there were sites.
    let state = json(&["embed", "-q", "a text"]);
    assert!(["site", "heads", "head_dim", "final_norm"].iter().all(|key| state[key].is_null()));
    let got = run(&["embed", "-q", "--site", "attn_out", "-l", "0..2", "a text"]);
    assert_eq!(got.code, Some(2));
    assert!(got.err.contains("site `attn_out` does not exist at layer 0"), "{}", got.err);
}

#[test]
fn every_precision() {
    let of = |precision| {
        let all = json(&["embed", "-q", "--precision", precision, "a text", "another", "third"]);
        let first = flat(&all["results"][0]["vectors"]);
        (all["width"].as_u64().unwrap(), first)
    };
    let (width, exact) = of("f32");
    assert_eq!(width, 384);
    let (width, half) = of("f16");
    assert_eq!(width, 384);
    assert!(exact.iter().zip(&half).all(|(a, b)| (a - b).abs() < 1e-3));
    let (width, int8) = of("int8");
    assert_eq!((width, int8.len()), (384, 384));
    assert!(int8.iter().all(|x| x.fract() == 0.0 && (-128.0..=127.0).contains(x)));
    let (width, bits) = of("ubinary");
    assert_eq!((width, bits.len()), (48, 48));
    for (byte, eight) in bits.iter().zip(exact.chunks(8)) {
        let want = eight.iter().fold(0, |byte, &x| byte << 1 | i32::from(x > 0.0));
        assert_eq!(*byte, f64::from(want));
    }
}

#[test]
fn a_prompt_is_text_before_the_text() {
    let prompted = vectors(&["--prompt", "query: ", "a text"]);
    assert_eq!(prompted, vectors(&["query: a text"]));
    assert_ne!(prompted, vectors(&["a text"]));
    assert_eq!(vectors(&["--prompt", "", "a text"]), vectors(&["a text"]));
}

#[test]
fn cut_texts_are_told_of() {
    let long = "word ".repeat(300);
    let got = run(&["embed", &long, "short"]);
    let all = got.json();
    assert_eq!((&all["truncated"], &all["tokens_lost"]), (&json!(1), &json!(46)));
    assert_eq!(all["results"][0]["text_tokens"], 256);
    assert_eq!(got.notes()[1], "1 of 2 texts was cut to 256 tokens: 46 tokens are lost");

    let got = run(&["embed", "--max-tokens", "4", "-q", "one two three"]);
    assert_eq!(got.json()["tokens_lost"], 1);
    assert_eq!(got.err, "");
}

#[test]
fn a_plan_is_printed_and_not_run() {
    let got = run(&["embed", "--plan", "Good morning", "-l", "2"]);
    let text = got.text();
    assert!(text.starts_with("recording: 1 texts, 4 tokens\n"), "{text}");
    assert!(text.contains("block 2 down") && !text.contains("block 3"), "{text}");
    let total = text.lines().last().unwrap();
    assert!(total.starts_with("total: 1 texts, 4 tokens, 1 batches, "), "{total}");
    assert!(total.ends_with(" flops"), "{total}");
}

#[test]
fn a_batch_size_changes_no_bit() {
    let of = |n| vectors(&["--batch-tokens", n, "a text", "a somewhat longer text"]);
    assert_eq!(of("1"), of("8192"));
}
