//! `attention`: what is printed and written of the weights.

use serde_json::json;

use crate::calls::{flat, json, run, shape};

#[test]
fn weights_nest_by_layer_head_query_and_key() {
    let words = ["attention", "-q", "-l", "2,-1", "--heads", "0,-1", "The bank", "Yes"];
    let all = json(&words);
    assert_eq!((&all["layers"], &all["heads"]), (&json!([2, 6]), &json!([0, 11])));
    assert_eq!(all["reduce"], "full");
    let first = &all["results"][0];
    assert_eq!((&first["text_tokens"], &first["tokens"][1]["text"]), (&json!(4), &json!("the")));
    assert_eq!(shape(&first["attention"]), [2, 2, 4, 4]);
    assert_eq!(shape(&all["results"][1]["attention"]), [2, 2, 3, 3]);
    for row in flat(&first["attention"]).chunks(4) {
        assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-5);
    }
    let top = json(&["attention", "-q", "--reduce", "top:2", "The bank"]);
    assert_eq!(shape(&top["results"][0]["attention"]), [1, 12, 4, 2]);
    assert_eq!(shape(&top["results"][0]["keys"]), [1, 12, 4, 2]);
    assert!(top["results"][0]["tokens_lost"].is_null());
}

#[test]
fn files_hold_what_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let lines = path("lines.txt");
    std::fs::write(&lines, "The bank by the river\nYes\n").unwrap();
    let words = ["attention", "-q", "-l", "all", "--reduce", "entropy", "-i", &lines];
    let printed = run(&[&words[..], &["-f", "jsonl"]].concat());
    let printed: Vec<serde_json::Value> =
        printed.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(printed.len(), 2);
    let file = path("entropy.safetensors");
    let done = run(&[&words[..], &["-o", &file]].concat());
    assert_eq!(done.code, Some(0), "{}", done.err);
    let bytes = std::fs::read(&file).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    for (i, line) in printed.iter().enumerate() {
        let tensor = tensors.tensor(&format!("attention.{i}")).unwrap();
        assert_eq!(tensor.shape(), [6, 12, line["text_tokens"].as_u64().unwrap() as usize]);
        let numbers: Vec<f32> = bytemuck::pod_collect_to_vec(tensor.data());
        let want: Vec<f32> = flat(&line["attention"]).into_iter().map(|x| x as f32).collect();
        assert_eq!(numbers, want);
    }
    // An npy is one array.
    let npy = path("rollout.npy");
    let rollout = ["attention", "-q", "-l", "all", "--reduce", "rollout", "-o", &npy];
    assert_eq!(run(&[&rollout[..], &["Yes"]].concat()).code, Some(0));
    assert!(std::fs::read(&npy).unwrap().starts_with(b"\x93NUMPY"));
    std::fs::remove_file(&npy).unwrap();
    let two = run(&[&rollout[..], &["Yes", "No"]].concat());
    assert_eq!(two.code, Some(2));
    assert!(two.err.contains("an npy is the array of one text"), "{}", two.err);
    assert!(!std::path::Path::new(&npy).exists());
}

#[test]
fn memory_is_said_before_and_bad_words_in_a_sentence() {
    let long = "every river ".repeat(400);
    let got = run(&["attention", "-l", "1", &long]);
    assert_eq!(got.code, Some(0));
    assert!(got.err.contains("attention of the text: 3.0 MiB of results"), "{}", got.err);
    assert!(got.err.contains("1 of 1 texts was cut to 256 tokens"), "{}", got.err);
    for (words, said) in [
        (&["-l", "0"][..], "attention does not exist at layer 0"),
        (&["--heads", "12"], "head 12 is out of range"),
        (&["--reduce", "top:0"], "from 1 to 1024 after `top:`"),
        (&["--reduce", "entrpy"], "did you mean `entropy`?"),
        (&["--overflow", "window"], "which windows do not have"),
        (&["-f", "parquet"], "attention is not written as parquet"),
    ] {
        let got = run(&[&["attention", "-q", "a"], words].concat());
        assert_eq!((got.code, got.out.len()), (Some(2), 0), "{words:?}");
        assert!(got.err.contains(said) && got.err.lines().count() == 1, "{}", got.err);
    }
}
