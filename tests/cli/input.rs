//! Where texts come from: files by their endings, and lines that are piped in.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use serde_json::Value;

use crate::calls::{everylayer, file, flat, json, pipe, run, word};

fn alone(text: &str) -> Vec<f64> {
    flat(&json(&["embed", "-q", text])["results"][0]["vectors"])
}

#[test]
fn files_by_their_endings() {
    let folder = tempfile::tempdir().unwrap();
    let want = [alone("one"), alone("two, three")];
    for (name, bytes, words) in [
        ("a.txt", "one\r\ntwo, three", &[][..]),
        ("a.jsonl", "{\"text\":\"one\"}\n{\"id\":3,\"text\":\"two, three\"}\n", &[]),
        ("b.jsonl", "{\"body\":\"one\"}\n{\"body\":\"two, three\"}", &["--field", "body"]),
        ("a.csv", "id,text\n1,one\n2,\"two, three\"\n", &[]),
        ("a.tsv", "body\tid\none\t1\ntwo, three\t2\n", &["--field", "body"]),
    ] {
        let path = file(folder.path(), name, bytes);
        let got = run(&[&["embed", "-i", &path], words].concat()).lines();
        let got: Vec<_> = got.iter().map(|line| flat(&line["vectors"])).collect();
        assert_eq!(got, want, "{name}");
    }
}

#[test]
fn pairs_are_read_together() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(
        folder.path(),
        "a.jsonl",
        "{\"text\":\"one\",\"text_pair\":\"two\"}\n{\"text\":\"one\"}\n",
    );
    let got = run(&["tokenize", "-i", &path, "-f", "jsonl"]).lines();
    assert_eq!(got[0]["types"], serde_json::json!([0, 0, 0, 1, 1]));
    assert_eq!(got[1]["text_tokens"], 3);
    let got = run(&["embed", "-i", &path]).lines();
    assert_eq!(got[0]["text_tokens"], 5);
    assert_ne!(got[0]["vectors"], got[1]["vectors"]);
}

#[test]
fn an_index_counts_over_the_whole_input() {
    let texts: Vec<String> = (0..300).map(|i| format!("text {i}")).collect();
    let got = pipe(&["embed"], texts.join("\n").as_bytes()).lines();
    let index: Vec<u64> = got.iter().map(|line| line["index"].as_u64().unwrap()).collect();
    assert_eq!(index, (0..300).collect::<Vec<_>>());
    assert_eq!(flat(&got[277]["vectors"]), alone("text 277"));
    // The range of int8 is that of all texts, not of the chunk they come in.
    let words = ["embed", "--precision", "int8"];
    let piped = pipe(&words, texts.join("\n").as_bytes()).lines();
    let all: Vec<&str> = words.into_iter().chain(texts.iter().map(String::as_str)).collect();
    assert_eq!(&Value::Array(piped), &json(&all)["results"]);
}

#[test]
fn first_results_come_before_the_last_line_is_read() {
    let mut child = everylayer().args(["embed", "-i", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    for (i, text) in ["one", "two", "three"].into_iter().enumerate() {
        writeln!(stdin, "{text}").unwrap();
        stdin.flush().unwrap();
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["index"], i);
        assert_eq!(flat(&line["vectors"]), alone(text));
    }
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn good_lines_are_answered_before_a_bad_one() {
    let got = pipe(&["embed"], b"one\ntwo\nb\xffd\nfour\n");
    assert_eq!(got.code, Some(1));
    assert_eq!(String::from_utf8(got.out).unwrap().lines().count(), 2);
    assert!(got.err.contains("error: standard input: line 3: byte 2 is not valid UTF-8"));
}

#[test]
fn what_is_wrong_with_a_file() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes, want) in [
        ("empty.txt", &b""[..], "has no texts"),
        ("empty.jsonl", b"\n", "has no texts"),
        ("empty.csv", b"text\n", "has no texts"),
        ("bad.txt", b"fine\nfine\nb\xe9d\n", "line 3: byte 2 is not valid UTF-8"),
        ("bad.csv", b"text\nfine\nb\xe9d\n", "line 3: byte 2 is not valid UTF-8"),
        ("bad.jsonl", b"{\"text\":\"fine\"}\n{\"text\" \"x\"}\n", "line 2: not JSON: "),
        ("field.jsonl", b"{\"body\":\"x\"}\n", "line 1: no field `text`: it has body"),
        ("type.jsonl", b"{\"text\":1}\n", "line 1: field `text` is a number"),
        ("column.csv", b"a,b\n1,2\n", "line 1: no column `text`: it has a, b"),
        ("short.csv", b"text,b\n1,2\n1\n", "line 3: 1 field where the header has 2"),
        ("x.parquet", b"PAR1", "write it again"),
    ] {
        let path = file(folder.path(), name, bytes);
        let got = run(&["embed", "-q", "-i", &path]);
        let error = got.error(1);
        assert!(error.starts_with(&path) && error.contains(want), "{error}");
    }
    for words in [&["-i", "nosuch.txt"][..], &["-m", "/nonexistent", "x"], &["-m", "a b", "x"]] {
        run(&[&["embed"], words].concat()).error(1);
    }
    let path = file(folder.path(), "x.docx", "x");
    assert!(run(&["embed", "-i", &path]).error(2).contains(".csv, .tsv (with .gz or .zst"));
    let path = file(folder.path(), "x.txt", "x");
    assert!(run(&["embed", "-i", &path, "--field", "x"]).error(2).contains("--field is for"));
}

/// JSON holds a value as it is; a column of a table has one type.
#[test]
fn values_of_several_kinds_are_told_where_they_become_text() {
    let folder = tempfile::tempdir().unwrap();
    let rows = "{\"text\":\"a\",\"id\":1}\n{\"text\":\"b\",\"id\":\"x\"}\n";
    let path = file(folder.path(), "mixed.jsonl", rows);
    for (name, want) in [("x.jsonl", false), ("x.parquet", true)] {
        let out = word(folder.path().join(name));
        let got = run(&["embed", "-i", &path, "--keep", "id", "-o", &out]);
        assert_eq!(got.code, Some(0), "{}", got.err);
        assert_eq!(got.err.contains("is written as text"), want, "{name}: {}", got.err);
    }
}

#[test]
fn json_on_standard_input_is_told_of() {
    let said = |words: &[&str], lines: &str| {
        let got = pipe(words, lines.as_bytes());
        assert_eq!(got.code, Some(0), "{}", got.err);
        got.err.matches("the first is a JSON object").count()
    };
    assert_eq!(said(&["embed"], "{\"text\": \"a\"}\n{\"text\": \"b\"}\n"), 1);
    for lines in ["a {\"b\": 1}\n", "a\n{\"text\": \"b\"}\n", "[1]\n"] {
        assert_eq!(said(&["embed"], lines), 0, "{lines}");
    }
    assert_eq!(said(&["embed", "-q"], "{\"text\": \"a\"}\n"), 0);
}
