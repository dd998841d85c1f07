//! A corpus through `embed`: killed and gone on with, in constant memory, in parts, with bad rows,
//! and read back by pandas, Polars and DuckDB.

#![cfg(feature = "cli")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

mod columns;
mod harm;

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/checkpoints/tiny-d16");

fn embed(input: &Path, output: &Path, more: &[&str]) -> Command {
    embed_by(Path::new(MODEL), input, output, more)
}

fn embed_by(model: &Path, input: &Path, output: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_everylayer"));
    command.args(["embed", "-q", "-m"]).arg(model).arg("-i").arg(input).arg("-o").arg(output);
    command.args(more);
    command.env("EVERYLAYER_DEVICE", "cpu").stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn done(mut command: Command) {
    let out = command.output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

fn refused(mut command: Command, code: i32) -> String {
    let out = command.output().unwrap();
    assert_eq!(out.status.code(), Some(code), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stderr).unwrap()
}

/// Rows of a few words, with an id and a title.
fn corpus(path: &Path, rows: usize) {
    let line = |i: usize| {
        let text = format!("{} row {i}", ["a short", "one more", "the"][i % 3]);
        format!("{}\n", json!({"id": i, "title": format!("t{i}"), "text": text}))
    };
    fs::write(path, (0..rows).map(line).collect::<String>()).unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    let names =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn killed_at_twenty_points_it_ends_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    corpus(&at("c.jsonl"), 40_000);
    // The moments are those of this run's clock: no two runs are killed at the same points.
    let mut seed = std::process::id() as u64 | 1;
    let mut random = |most: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % most.max(1)
    };
    for (name, more, kills) in [
        ("parquet", &["--keep", "id,title"][..], 14),
        ("npy", &["--precision", "int8"], 3),
        ("jsonl", &[], 3),
    ] {
        let (whole, output) = (at(&format!("whole.{name}")), at(&format!("out.{name}")));
        let begun = Instant::now();
        done(embed(&at("c.jsonl"), &whole, more));
        let took = begun.elapsed().as_millis() as u64;
        let more = [more, &["--resume"]].concat();
        let (mut killed, mut begun_before) = (0, 0);
        while killed < kills {
            let mut child = embed(&at("c.jsonl"), &output, &more).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(random(took / 2)));
            child.kill().unwrap(); // SIGKILL
            child.wait().unwrap();
            if output.exists() {
                assert_eq!(fs::read(&output).unwrap(), fs::read(&whole).unwrap(), "{name}");
                fs::remove_file(&output).unwrap();
            } else {
                killed += 1;
            }
            begun_before +=
                usize::from(at(&format!(".out.{name}.everylayer-part")).join("journal").exists());
        }
        done(embed(&at("c.jsonl"), &output, &more));
        assert_eq!(fs::read(&output).unwrap(), fs::read(&whole).unwrap(), "{name}");
        println!("{name}: {killed} killed in the middle, {begun_before} left a part");
        assert!(begun_before > 0, "{name}: no run was killed late enough to be resumed");
    }
    assert!(names(folder.path()).iter().all(|name| !name.starts_with('.')), "something is left");
}

#[test]
fn a_part_of_another_call_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    corpus(&at("c.jsonl"), 40_000);
    let (input, output) = (at("c.jsonl"), at("out.npy"));
    let mut child = embed(&input, &output, &[]).spawn().unwrap();
    let journal = at(".out.npy.everylayer-part").join("journal");
    while !journal.exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    // Held by the run that writes it.
    assert!(refused(embed(&input, &output, &["--resume"]), 1).contains("another run"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!output.exists());
    let said = refused(embed(&input, &output, &["--resume", "-l", "all"]), 2);
    assert!(said.contains("layers `last`") && said.contains("`all`"), "{said}");
    corpus(&input, 100);
    assert!(refused(embed(&input, &output, &["--resume"]), 2).contains("input"));
    done(embed(&input, &output, &[]));
    assert_eq!(names(folder.path()), ["c.jsonl", "out.npy"]);
}

/// The most memory that a run held, in bytes, read from the system while it runs.
#[cfg(target_os = "linux")]
fn peak(mut child: Child) -> u64 {
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or(0) * 1024);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(child.wait().unwrap().success());
    peak
}

#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_the_corpus() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    corpus(&at("short.jsonl"), 2_000);
    corpus(&at("long.jsonl"), 200_000);
    for (name, more) in [
        ("parquet", &["--keep", "id"][..]),
        ("safetensors", &["-p", "tokens"]),
        ("npy", &["--precision", "int8"]),
        ("json", &[]),
    ] {
        let run = |input: &str| {
            let output = at(&format!("out.{name}"));
            let peak = peak(embed(&at(input), &output, more).spawn().unwrap());
            fs::remove_file(output).unwrap();
            peak >> 20
        };
        let (short, long) = (run("short.jsonl"), run("long.jsonl"));
        println!("{name}: {short} MiB for 2,000 rows, {long} MiB for 200,000");
        assert!(short > 0 && long < short + 190, "{name}: {short} MiB, then {long} MiB");
    }
}

#[test]
fn parts_make_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    corpus(&at("c.jsonl"), 101);
    done(embed(&at("c.jsonl"), &at("whole.jsonl"), &["--keep", "title,id"]));
    let mut all = String::new();
    for part in ["1/3", "2/3", "3/3"] {
        done(embed(&at("c.jsonl"), &at("part.jsonl"), &["--keep", "title,id", "--shard", part]));
        all += &fs::read_to_string(at("part.jsonl")).unwrap();
    }
    assert_eq!(all, fs::read_to_string(at("whole.jsonl")).unwrap());
    let last: Value = serde_json::from_str(all.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&last["index"], &last["title"], &last["id"]),
        (&json!(100), &json!("t100"), &json!(100))
    );
    for part in ["0/3", "4/3", "1/0", "x"] {
        assert!(refused(embed(&at("c.jsonl"), &at("x.npy"), &["--shard", part]), 2).contains(part));
    }
    let said = refused(embed(&at("c.jsonl"), &at("x.npy"), &["--keep", "id"]), 2);
    assert!(said.contains("json, jsonl and parquet"), "{said}");
}

#[test]
fn what_a_format_cannot_hold_is_refused_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    // To run it would say that its text is too long.
    fs::write(at("c.jsonl"), format!("{{\"text\":\"{}\"}}\n", "row ".repeat(900))).unwrap();
    for pool in ["tokens", "words"] {
        let words = ["-p", pool, "--overflow", "error"];
        let said = refused(embed(&at("c.jsonl"), &at("x.npy"), &words), 2);
        assert!(said.contains("npy holds one array"), "{words:?}: {said}");
        assert_eq!(names(folder.path()), ["c.jsonl"], "{words:?}");
    }
}

#[test]
fn bad_rows_stop_the_run_or_go_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let long = "row ".repeat(200);
    let lines = [
        &br#"{"text":"fine"}"#[..],
        b"{\"text\":\"b\xffd\"}",
        br#"{"text":null}"#,
        &format!("{{\"text\":\"{long}\"}}").into_bytes(),
        br#"{"text":"fine too"}"#,
    ];
    fs::write(at("c.jsonl"), lines.join(&b'\n')).unwrap();
    let said = refused(embed(&at("c.jsonl"), &at("out.jsonl"), &[]), 1);
    assert!(said.contains("line 2") && said.contains("UTF-8"), "{said}");
    assert_eq!(names(folder.path()), ["c.jsonl"]);
    let rejects = at("rejects.jsonl");
    let more = ["--overflow", "error", "--rejects", rejects.to_str().unwrap()];
    done(embed(&at("c.jsonl"), &at("out.jsonl"), &more));
    let read = |name: &str| -> Vec<Value> {
        let text = fs::read_to_string(at(name)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let index: Vec<Value> = read("out.jsonl").iter().map(|line| line["index"].clone()).collect();
    assert_eq!(index, [json!(0), json!(4)]);
    let bad = read("rejects.jsonl");
    for (line, (row, part)) in bad.iter().zip([(1, "UTF-8"), (2, "null"), (3, "tokens")]) {
        assert_eq!(line["row"], row, "{line}");
        assert!(line["reason"].as_str().unwrap().contains(part), "{line}");
    }
    assert_eq!((bad.len(), &bad[2]["text"], &bad[0]["text"]), (3, &json!(long), &Value::Null));
    assert_eq!(names(folder.path()), ["c.jsonl", "out.jsonl", "rejects.jsonl"]);
}

/// Holds a parquet file against the JSON lines of the same call, and makes one to be read.
const READER: &str = r#"
import json, sys
import numpy as np, pandas as pd, polars as pl, duckdb, pyarrow as pa, pyarrow.parquet as pq
folder = sys.argv[1]
lines = [json.loads(line) for line in open(f"{folder}/out.jsonl")]
want = np.array([line["vectors"] for line in lines], np.float32)
path = f"{folder}/out.parquet"
table = pq.read_table(path)
assert table.schema.field("vectors").type == pa.list_(pa.field("element", pa.float32(), False), 64), table.schema
meta = pq.ParquetFile(path).metadata.metadata
for key in ("model", "revision", "layers", "pool", "normalize", "version"):
    assert meta[key.encode()], key
frames = {
    "pandas": pd.read_parquet(path)[["index", "id", "title", "vectors"]].values.tolist(),
    "polars": pl.read_parquet(path)[["index", "id", "title", "vectors"]].rows(),
    "duckdb": duckdb.sql(f"select index, id, title, vectors from '{path}' order by index").fetchall(),
}
for name, rows in frames.items():
    assert [list(r[:3]) for r in rows] == [[l["index"], l["id"], l["title"]] for l in lines], name
    assert np.array_equal(np.array([list(r[3]) for r in rows], np.float32), want), name
texts = [f"text {i}" for i in range(50)]
pd.DataFrame({"text": texts, "n": range(50)}).to_parquet(f"{folder}/pandas.parquet")
pl.DataFrame({"text": texts, "n": range(50)}).write_parquet(f"{folder}/polars.parquet")
duckdb.sql(f"copy (select 'text ' || i as text, i as n from range(50) t(i)) to '{folder}/duckdb.parquet'")
"#;

#[test]
fn pandas_polars_and_duckdb_read_and_write_it() {
    let python = std::env::var("EVERYLAYER_PYTHON").unwrap_or_else(|_| "python3".into());
    let has = Command::new(&python).args(["-c", "import pandas, pyarrow, polars, duckdb"]).output();
    if !has.is_ok_and(|out| out.status.success()) {
        println!(
            "skipped: no pandas, pyarrow, polars and duckdb in Python; EVERYLAYER_PYTHON names another"
        );
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    corpus(&at("c.jsonl"), 3000);
    for name in ["out.parquet", "out.jsonl"] {
        done(embed(&at("c.jsonl"), &at(name), &["--keep", "id,title"]));
    }
    let out = Command::new(python).args(["-c", READER]).arg(folder.path()).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    fs::write(at("c.txt"), (0..50).map(|i| format!("text {i}\n")).collect::<String>()).unwrap();
    done(embed(&at("c.txt"), &at("want.npy"), &[]));
    for name in ["pandas", "polars", "duckdb"] {
        let input = at(&format!("{name}.parquet"));
        done(embed(&input, &at("got.npy"), &[]));
        assert_eq!(fs::read(at("got.npy")).unwrap(), fs::read(at("want.npy")).unwrap(), "{name}");
        done(embed(&input, &at("got.jsonl"), &["--keep", "n"]));
        let text = fs::read_to_string(at("got.jsonl")).unwrap();
        let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(last["n"], 49, "{name}");
    }
}

/// On a terminal, which `script` makes, a long call says how fast it goes and how long it will take.
#[cfg(target_os = "linux")]
#[test]
fn a_bar_tells_texts_tokens_and_time_left() {
    if !Command::new("script").arg("--version").output().is_ok_and(|o| o.status.success()) {
        println!("skipped: no `script` that makes a terminal");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    corpus(&at("c.jsonl"), 200_000);
    let call = format!(
        "stty cols 120; {} embed -m {MODEL} -i {} -o {} --device cpu",
        env!("CARGO_BIN_EXE_everylayer"),
        at("c.jsonl").display(),
        at("out.npy").display()
    );
    let shown = Command::new("script").args(["-qec", &call, "/dev/null"]).output().unwrap();
    assert!(shown.status.success() && at("out.npy").exists());
    let shown = String::from_utf8_lossy(&shown.stdout);
    for part in ["/200,000 texts, ", " texts/s, ", " tokens/s, ", " left"] {
        assert!(shown.contains(part), "`{part}` is not in: {shown:?}");
    }
}

/// The columns of a parquet file by name: type and values as text.
fn columns(path: &Path) -> Vec<(String, String, Vec<String>)> {
    use arrow_array::cast::AsArray;
    let file = fs::File::open(path).unwrap();
    let builder =
        parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let batch = builder.build().unwrap().next().unwrap().unwrap();
    let fields = batch.schema().fields().clone();
    let all = fields.iter().zip(batch.columns()).filter(|(field, _)| field.name() != "vectors");
    all.map(|(field, column)| {
        let text = arrow_cast(column);
        let text = text.as_string::<i32>();
        let values = text.iter().map(|v| v.unwrap_or("null").to_owned()).collect();
        (field.name().clone(), field.data_type().to_string(), values)
    })
    .collect()
}

fn arrow_cast(column: &arrow_array::ArrayRef) -> arrow_array::ArrayRef {
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Float64Type, Int64Type, UInt64Type};
    use arrow_schema::DataType;
    let text: arrow_array::StringArray = match column.data_type() {
        DataType::Int64 => {
            column.as_primitive::<Int64Type>().iter().map(|v| v.map(|v| v.to_string())).collect()
        }
        DataType::UInt64 => {
            column.as_primitive::<UInt64Type>().iter().map(|v| v.map(|v| v.to_string())).collect()
        }
        DataType::Float64 => {
            column.as_primitive::<Float64Type>().iter().map(|v| v.map(|v| v.to_string())).collect()
        }
        DataType::Utf8 => column.as_string::<i32>().clone(),
        other => panic!("a column of {other}"),
    };
    std::sync::Arc::new(text)
}

#[test]
fn kept_numbers_keep_their_type_and_their_digits() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let rows = concat!(
        r#"{"text":"a","id":9007199254740993,"u":18446744073709551615,"f":1,"m":9007199254740993,"x":1e400,"n":NaN}"#,
        "\n",
        r#"{"text":"b","id":-1,"u":1,"f":0.1,"m":0.5,"x":12345678901234567890123,"n":2}"#,
        "\n"
    );
    fs::write(at("c.jsonl"), rows).unwrap();
    let keep = "id,u,f,m,x,n";
    done(embed(&at("c.jsonl"), &at("o.parquet"), &["--keep", keep]));
    let found = columns(&at("o.parquet"));
    let of = |name: &str| {
        let (_, kind, values) = found.iter().find(|(n, ..)| n == name).unwrap();
        (kind.as_str(), values.iter().map(String::as_str).collect::<Vec<_>>())
    };
    assert_eq!(of("id"), ("Int64", vec!["9007199254740993", "-1"]));
    assert_eq!(of("u"), ("UInt64", vec!["18446744073709551615", "1"]));
    assert_eq!(of("f"), ("Float64", vec!["1", "0.1"]));
    assert_eq!(of("m"), ("Utf8", vec!["9007199254740993", "0.5"]));
    assert_eq!(of("x"), ("Utf8", vec!["1e400", "12345678901234567890123"]));
    assert_eq!(of("n"), ("Float64", vec!["NaN", "2"]));

    // Parquet to parquet: a column of the type it had.
    done(embed(&at("o.parquet"), &at("p.parquet"), &["--field", "m", "--keep", "id,u,f,n"]));
    let again = columns(&at("p.parquet"));
    for name in ["id", "u", "f", "n"] {
        let of = |all: &[(String, String, Vec<String>)]| {
            all.iter().find(|(n, ..)| n == name).cloned().unwrap()
        };
        assert_eq!(of(&again), of(&found), "{name}");
    }

    // JSON says the digits as they came.
    done(embed(&at("c.jsonl"), &at("o.jsonl"), &["--keep", keep]));
    let out = fs::read_to_string(at("o.jsonl")).unwrap();
    for digits in ["9007199254740993", "18446744073709551615", "12345678901234567890123", "0.1"] {
        assert!(out.contains(&format!(":{digits},")), "{digits}: {out}");
    }
}

#[test]
fn columns_are_kept_whatever_the_precision_and_the_place() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("c.jsonl");
    corpus(&input, 5);
    for precision in ["f32", "f16", "int8", "ubinary"] {
        for format in ["json", "jsonl"] {
            let more = ["--keep", "id,title", "--precision", precision, "-f", format];
            let out = embed(&input, Path::new("-"), &more).output().unwrap();
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
            let text = String::from_utf8(out.stdout).unwrap();
            let lines: Vec<Value> = match format {
                "jsonl" => text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
                _ => {
                    let all: Value = serde_json::from_str(&text).unwrap();
                    all["results"].as_array().unwrap().clone()
                }
            };
            assert_eq!(lines.len(), 5);
            for (i, line) in lines.iter().enumerate() {
                let got = (&line["id"], &line["title"]);
                assert_eq!(got, (&json!(i), &json!(format!("t{i}"))), "{precision} {format}");
            }
        }
    }
}

#[test]
fn packed_and_listed_files_are_read_as_plain_ones() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    corpus(&at("c.jsonl"), 7);
    let plain = fs::read(at("c.jsonl")).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    fs::write(at("c.ndjson.gz"), gzip.finish().unwrap()).unwrap();
    fs::write(at("c.jsonl.zst"), zstd::encode_all(&plain[..], 1).unwrap()).unwrap();
    fs::copy(at("c.jsonl"), at("c.ndjson")).unwrap();
    fs::copy(at("c.jsonl"), at("lines.json")).unwrap();
    let lines: Vec<&str> = std::str::from_utf8(&plain).unwrap().lines().collect();
    fs::write(at("list.json"), format!("[\n{}\n]\n", lines.join(",\n"))).unwrap();
    done(embed(&at("c.jsonl"), &at("want.parquet"), &["--keep", "id"]));
    let want = fs::read(at("want.parquet")).unwrap();
    for name in ["c.ndjson.gz", "c.jsonl.zst", "c.ndjson", "lines.json", "list.json"] {
        done(embed(&at(name), &at("got.parquet"), &["--keep", "id"]));
        assert_eq!(fs::read(at("got.parquet")).unwrap(), want, "{name}");
    }
    // Cut off in the middle: an error that names the file, and no output.
    let half = fs::read(at("c.ndjson.gz")).unwrap();
    fs::write(at("half.ndjson.gz"), &half[..half.len() / 2]).unwrap();
    let said = refused(embed(&at("half.ndjson.gz"), &at("half.npy"), &[]), 1);
    assert!(said.contains("half.ndjson.gz") && said.contains("is truncated"), "{said}");
    assert!(!at("half.npy").exists());
}

#[test]
fn an_open_quote_loses_no_row() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("rows.csv");
    fs::write(&input, "id,text\n1,\"one\n2,two\n3,three\n").unwrap();
    let said = refused(embed(&input, &folder.path().join("o.npy"), &[]), 1);
    assert!(said.contains("rows.csv: line 2: a quote is opened"), "{said}");
    // Whatever may be spared, the rows after the quote cannot be read.
    let rejects = folder.path().join("bad.jsonl");
    let more = ["--rejects", rejects.to_str().unwrap()];
    let said = refused(embed(&input, &folder.path().join("o.npz"), &more), 1);
    assert!(said.contains("line 2"), "{said}");
}

#[test]
fn rejected_rows_do_not_move_the_others_in_silence() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let rows = "{\"text\":\"a\"}\n{\"text\":3}\n{\"text\":\"b c\"}\n{\"text\":null}\n";
    fs::write(at("c.jsonl"), rows).unwrap();
    let bad = at("bad.jsonl");
    let rejects = ["--rejects", bad.to_str().unwrap()];
    let said = refused(embed(&at("c.jsonl"), &at("o.npy"), &rejects), 2);
    assert!(said.contains("--rejected-rows nan") && said.contains("npz"), "{said}");

    let with = |more: &[&'static str]| [&rejects[..], more].concat();
    done(embed(&at("c.jsonl"), &at("o.npy"), &with(&["--rejected-rows", "nan"])));
    let bytes = fs::read(at("o.npy")).unwrap();
    assert!(String::from_utf8_lossy(&bytes).contains("'shape': (4, 64), }"));
    let nan: Vec<bool> = bytes[128..]
        .chunks(64 * 4)
        .map(|row| f32::from_le_bytes(row[..4].try_into().unwrap()).is_nan())
        .collect();
    assert_eq!(nan, [false, true, false, true]);

    done(embed(&at("c.jsonl"), &at("s.npy"), &with(&["--rejected-rows", "skip"])));
    let beside: Value = serde_json::from_slice(&fs::read(at("s.npy.json")).unwrap()).unwrap();
    assert_eq!(beside, json!({"index": [0, 2]}));
    assert!(String::from_utf8_lossy(&fs::read(at("s.npy")).unwrap()).contains("'shape': (2, 64)"));

    done(embed(&at("c.jsonl"), &at("o.safetensors"), &rejects));
    let bytes = fs::read(at("o.safetensors")).unwrap();
    let read = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let index = read.tensor("index").unwrap().data().as_chunks().0.iter();
    assert_eq!(index.map(|b| i64::from_le_bytes(*b)).collect::<Vec<_>>(), [0, 2]);

    // The count is said, and where to look.
    let mut loud = Command::new(env!("CARGO_BIN_EXE_everylayer"));
    loud.args(["embed", "-m", MODEL, "-i"]).arg(at("c.jsonl")).arg("-o").arg(at("o.npz"));
    let out = loud.args(rejects).env("EVERYLAYER_DEVICE", "cpu").output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(said.contains("2 of 4 rows were rejected: see "), "{said}");

    for (more, want) in [
        (&["--rejected-rows", "nan"][..], "add --rejects FILE"),
        (&["--rejects", "b", "--rejected-rows", "nan", "--precision", "int8"], "have no NaN"),
    ] {
        let said = refused(embed(&at("c.jsonl"), &at("o.npy"), more), 2);
        assert!(said.contains(want), "{said}");
    }
}
