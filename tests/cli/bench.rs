//! `bench`: the shape of its report, and that its numbers hang together. How fast anything is, no
//! test says.

use serde_json::{Value, json};

use crate::calls::{file, json, run};

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

fn number(object: &Value, key: &str) -> f64 {
    object[key].as_f64().unwrap_or_else(|| panic!("{key}: {}", object[key]))
}

const KERNEL: [&str; 7] = ["name", "variant", "calls", "ms", "gflops", "gbps", "share_of_ceiling"];

/// One text of 16 tokens on `device`, every number held against the others.
fn measured(device: &str) -> Value {
    let words = ["--device", device, "--batch", "1", "--tokens", "16", "--runs", "1", "--json"];
    let got = run(&[&["bench"][..], &words].concat());
    let all = got.json();
    assert_eq!(keys(&all), ["device", "dtype", "rows", "ceilings", "kernels", "counts"]);
    assert_eq!(all["dtype"], "f32");
    assert_eq!(got.notes(), [""; 0]);

    let rows = all["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    let times = ["ms_min", "ms_median", "ms_max", "tokens_per_s"];
    assert_eq!(keys(row), [&["batch", "tokens", "real_tokens"][..], &times].concat());
    assert_eq!(
        (&row["batch"], &row["tokens"], &row["real_tokens"]),
        (&json!(1), &json!(16), &json!(16))
    );
    let [least, middle, most, speed] = times.map(|key| number(row, key));
    assert!(0.0 < least && least <= middle && middle <= most, "{row}");
    assert!((speed * middle / 16e3 - 1.0).abs() < 1e-3, "{row}");

    let ceilings = &all["ceilings"];
    assert_eq!(keys(ceilings), ["fma_gflops", "copy_gbps"]);
    let (flops, bytes) = (number(ceilings, "fma_gflops"), number(ceilings, "copy_gbps"));
    assert!(flops > 0.5 && bytes > 0.1, "{ceilings}");

    let (mut calls, kernels) = (0, all["kernels"].as_array().unwrap());
    for row in kernels {
        assert_eq!(keys(row), KERNEL);
        let (name, variant) = (row["name"].as_str().unwrap(), row["variant"].as_str().unwrap());
        assert!(variant.starts_with(name), "{row}");
        calls += row["calls"].as_u64().unwrap();
        let product = ["matmul", "attention"].contains(&name);
        assert_eq!(number(row, "gflops") > 0.0, product, "{row}");
        assert!(number(row, "ms") > 0.0, "{row}");
        let share = (number(row, "gflops") / flops).max(number(row, "gbps") / bytes);
        let given = number(row, "share_of_ceiling");
        assert!((share - given).abs() < 0.01 + 0.05 * given, "{row}: {share}");
    }
    let names: Vec<&Value> = kernels.iter().map(|row| &row["name"]).collect();
    for name in ["embed", "matmul", "attention", "norm", "pool"] {
        assert!(names.contains(&&json!(name)), "{name}");
    }

    let counts = &all["counts"];
    let taken = ["dispatches", "submits", "waits", "bytes_up", "bytes_down"];
    assert_eq!(keys(counts), [&taken[..], &["planned_bytes", "peak_bytes"]].concat());
    assert_eq!(counts["dispatches"], calls);
    // One vector, a bit a token, and a word for each of seven states.
    assert_eq!(counts["bytes_down"], 384 * 4 + 4 + 7 * 4);
    let (planned, peak) = (number(counts, "planned_bytes"), number(counts, "peak_bytes"));
    assert!(planned > 4.0 * 22e6, "{counts}");
    assert!((planned..1.1 * planned).contains(&peak), "{counts}");
    all
}

#[test]
fn the_cpu_is_measured() {
    let all = measured("cpu");
    assert!(all["device"].as_str().unwrap().starts_with("CPU "));
    assert_eq!((&all["counts"]["submits"], &all["counts"]["waits"]), (&json!(1), &json!(0)));
}

#[cfg(feature = "gpu")]
#[test]
fn a_gpu_is_measured() {
    if crate::doctor::gpu_missing() {
        return;
    }
    let all = measured("gpu");
    assert_eq!((&all["counts"]["submits"], &all["counts"]["waits"]), (&json!(1), &json!(1)));
}

#[test]
fn people_get_tables() {
    let words =
        ["bench", "--batch", "1,2", "--tokens", "2,5", "--runs", "2", "-l", "all", "-p", "cls"];
    let got = run(&words);
    assert_eq!(got.notes(), [""; 0]);
    for part in ["tokens/s", "GFLOP/s", "of ceiling", "attention.d32", "ceilings", "dispatches "] {
        assert!(got.text().contains(part), "{part}: {}", got.text());
    }
}

fn planned(words: &[&str]) -> Value {
    json(&[&["bench", "--plan", "--json"][..], words].concat())
}

/// batch, tokens, real_tokens of each row.
fn sizes(all: &Value) -> Vec<[u64; 3]> {
    let rows = all["rows"].as_array().unwrap().iter();
    rows.map(|row| ["batch", "tokens", "real_tokens"].map(|key| row[key].as_u64().unwrap()))
        .collect()
}

#[test]
fn a_plan_runs_nothing() {
    let all = planned(&["--batch", "1,3", "--tokens", "2,17", "-l", "all", "-p", "tokens"]);
    assert_eq!(sizes(&all), [[1, 2, 2], [1, 17, 17], [3, 2, 6], [3, 17, 51]]);
    assert_eq!((&all["ceilings"], &all["rows"][0]["tokens_per_s"]), (&Value::Null, &Value::Null));
    let counts = &all["counts"];
    assert_eq!((&counts["waits"], &counts["peak_bytes"]), (&Value::Null, &Value::Null));
    assert_eq!(counts["bytes_down"], 7 * 2 * 384 * 4 + 4 + 7 * 4);
    let calls = all["kernels"].as_array().unwrap().iter().map(|row| {
        assert_eq!((keys(row), &row["ms"]), (KERNEL.to_vec(), &Value::Null));
        row["calls"].as_u64().unwrap()
    });
    assert_eq!(counts["dispatches"], calls.sum::<u64>());
    let text = run(&["bench", "--plan"]);
    assert!(text.text().contains("GFLOP"), "{}", text.text());
}

#[test]
fn rows_where_none_is_named() {
    assert_eq!(sizes(&planned(&[])), [[8, 128, 1024], [32, 256, 4224]]);
    assert_eq!(sizes(&planned(&["--tokens", "512"])), [[8, 512, 4096]]);
    assert_eq!(sizes(&planned(&["--batch", "2"])), [[2, 128, 256]]);
    // A model with another vocabulary and 32 positions.
    let tiny = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/checkpoints/tiny-bf16");
    let rows = sizes(&planned(&["-m", tiny]));
    assert_eq!(rows, [[8, 32, 256], [32, 32, 8 + 16 + 24 + 29 * 32]]);
}

#[test]
fn texts_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let long = "word ".repeat(300);
    let texts = file(folder.path(), "x.txt", format!("one\ntwo words\n{long}\n"));
    let got = run(&["bench", "--texts", &texts, "--plan", "--json"]);
    assert_eq!(sizes(&got.json()), [[3, 256, 3 + 4 + 256]]);
    assert_eq!(got.notes(), ["1 of 3 texts was cut to 256 tokens: 46 tokens are lost"]);
    assert_eq!(run(&["bench", "--texts", &texts, "--plan", "-q"]).err, "");
}

#[test]
fn calls_that_fail() {
    let folder = tempfile::tempdir().unwrap();
    let empty = file(folder.path(), "empty.txt", "");
    for (words, code, parts) in [
        (&["--batch", "0"][..], 2, &["--batch: ", "`0`"][..]),
        (&["--batch", "1,x"], 2, &["--batch: ", "`x`"]),
        (&["--runs", "0"], 2, &["--runs: ", "`0`"]),
        (&["--tokens", "513"], 2, &["513", "512 positions"]),
        (&["--tokens", "1"], 2, &["--tokens 1", "at least 2"]),
        (&["--texts", "x.txt", "--batch", "2"], 2, &["--texts", "--batch"]),
        (&["--texts", "/nonexistent.txt"], 1, &["/nonexistent.txt"]),
        (&["--texts", &empty], 1, &["has no texts"]),
        (&["-l", "9"], 2, &["L = 6"]),
        (&["--device", "no such device"], 1, &["no such device"]),
    ] {
        let got = run(&[&["bench"][..], words].concat());
        let error = got.error(code);
        for part in parts {
            assert!(error.contains(part), "{words:?}: {error}");
        }
    }
}
