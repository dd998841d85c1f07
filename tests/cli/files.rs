//! Every format's file, read back by hand.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use everylayer::output::Format;
use half::f16;
use safetensors::SafeTensors;
use serde_json::Value;

use crate::calls::{done, everylayer, file, flat, json, pipe, run, shape, word};

const TEXTS: &str = "Good morning\nunbelievable!\n\nthe last line";

/// `.npy`, format 1.0: type, shape and numbers.
fn npy(bytes: &[u8]) -> (String, Vec<usize>, Vec<f64>) {
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    assert_eq!((10 + length) % 64, 0);
    let head = std::str::from_utf8(&bytes[10..10 + length]).unwrap();
    let between = |a: &str, b: &str| {
        let rest = &head[head.find(a).unwrap() + a.len()..];
        rest[..rest.find(b).unwrap()].to_owned()
    };
    assert!(head.contains("'fortran_order': False"), "{head}");
    let shape = between("'shape': (", ")");
    let axes = shape.split(',').map(str::trim).filter(|axis| !axis.is_empty());
    let descr = between("'descr': '", "'");
    let body = &bytes[10 + length..];
    let numbers: Vec<f64> = match descr.as_str() {
        "<f4" => body.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b).into()).collect(),
        "<f2" => body.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).into()).collect(),
        "<i8" => body.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b) as f64).collect(),
        "|i1" => body.iter().map(|b| f64::from(*b as i8)).collect(),
        "|u1" => body.iter().map(|b| f64::from(*b)).collect(),
        other => panic!("{other}"),
    };
    let shape: Vec<usize> = axes.map(|axis| axis.parse().unwrap()).collect();
    assert_eq!(numbers.len(), shape.iter().product::<usize>());
    (descr, shape, numbers)
}

/// The entries of a zip archive that are not compressed, by their local headers.
fn unzip(bytes: &[u8]) -> Vec<(String, &[u8])> {
    let mut entries = Vec::new();
    let mut at = 0;
    while bytes[at..].starts_with(b"PK\x03\x04") {
        let short = |i: usize| usize::from(u16::from_le_bytes([bytes[at + i], bytes[at + i + 1]]));
        assert_eq!(short(8), 0, "compressed");
        let name = &bytes[at + 30..at + 30 + short(26)];
        let extra = at + 30 + short(26);
        // The zip64 field: id, length, size.
        let size = u64::from_le_bytes(bytes[extra + 4..extra + 12].try_into().unwrap());
        let start = extra + short(28);
        let end = start + usize::try_from(size).unwrap();
        entries.push((String::from_utf8(name.to_vec()).unwrap(), &bytes[start..end]));
        at = end;
    }
    assert!(bytes[at..].starts_with(b"PK\x01\x02"));
    entries
}

fn results(path: &str, words: &[&str]) -> Vec<Value> {
    let all = json(&[&["embed", "-q", "-f", "json", "-i", path], words].concat());
    all["results"].as_array().unwrap().clone()
}

fn close(got: &[f64], want: &[f64]) {
    assert_eq!(got.len(), want.len());
    assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() <= 1e-6));
}

#[test]
fn one_vector_a_text() {
    let folder = tempfile::tempdir().unwrap();
    let texts = file(folder.path(), "texts.txt", TEXTS);
    let want = results(&texts, &["-l", "0,6"]);
    let numbers: Vec<f64> = want.iter().flat_map(|r| flat(&r["vectors"])).collect();
    for format in ["json", "jsonl", "npy", "npz", "safetensors"] {
        let path = word(folder.path().join(format!("out.{format}")));
        let got = run(&["embed", "-q", "-i", &texts, "-l", "0,6", "-o", &path]);
        assert_eq!((got.text(), got.err.as_str()), ("", ""));
        let bytes = std::fs::read(&path).unwrap();
        match format.parse().unwrap() {
            Format::Json => {
                let all: Value = serde_json::from_slice(&bytes).unwrap();
                assert_eq!(all["results"].as_array().unwrap(), &want);
            }
            Format::Jsonl => {
                let lines = bytes.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap());
                assert_eq!(lines.collect::<Vec<Value>>(), want);
            }
            Format::Npy => {
                let (descr, shape, got) = npy(&bytes);
                assert_eq!((descr.as_str(), shape), ("<f4", vec![4, 2, 384]));
                close(&got, &numbers);
            }
            Format::Npz => {
                let entries = unzip(&bytes);
                assert_eq!(entries[0].0, "vectors.npy");
                close(&npy(entries[0].1).2, &numbers);
            }
            _ => {
                let tensors = SafeTensors::deserialize(&bytes).unwrap();
                let vectors = tensors.tensor("vectors").unwrap();
                assert_eq!(vectors.shape(), [4, 2, 384]);
                let floats = vectors.data().as_chunks().0.iter();
                let got: Vec<f64> = floats.map(|b| f32::from_le_bytes(*b).into()).collect();
                close(&got, &numbers);
            }
        }
    }
}

#[test]
fn a_row_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let texts = file(folder.path(), "texts.txt", TEXTS);
    let want = results(&texts, &["-p", "tokens"]);
    let rows: usize = want.iter().map(|r| shape(&r["vectors"])[0]).sum();
    let spans: Vec<f64> = want
        .iter()
        .flat_map(|r| r["tokens"].as_array().unwrap())
        .flat_map(|t| [t["start"].as_f64().unwrap(), t["end"].as_f64().unwrap()])
        .collect();
    let path = word(folder.path().join("out.npz"));
    run(&["embed", "-q", "-i", &texts, "-p", "tokens", "-o", &path]).text();
    let bytes = std::fs::read(&path).unwrap();
    let entries = unzip(&bytes);
    let names: Vec<&str> = entries.iter().map(|(name, _)| name.as_str()).collect();
    let at = |name: &str| names.iter().position(|entry| *entry == name).unwrap();
    assert_eq!(at("vectors.npy"), 0);
    let (_, shape, numbers) = npy(entries[0].1);
    assert_eq!(shape, [rows, 384]);
    close(&numbers, &want.iter().flat_map(|r| flat(&r["vectors"])).collect::<Vec<_>>());
    assert_eq!(npy(entries[at("offsets.npy")].1).1, [5]);
    assert_eq!(npy(entries[at("spans.npy")].1).2, spans);

    let got = run(&["embed", "-p", "tokens", "x", "-o", &word(folder.path().join("out.npy"))]);
    assert!(got.error(2).contains("use npz or safetensors"));
    assert!(!folder.path().join("out.npy").exists());
}

#[test]
fn every_precision_has_its_type() {
    let folder = tempfile::tempdir().unwrap();
    let path = word(folder.path().join("out.npy"));
    for (precision, descr, width) in
        [("f32", "<f4", 384), ("f16", "<f2", 384), ("int8", "|i1", 384), ("ubinary", "|u1", 48)]
    {
        let words = ["embed", "-q", "--precision", precision, "one", "two"];
        let want = json(&words);
        run(&[&words[..], &["-o", &path]].concat()).text();
        let (got, shape, numbers) = npy(&std::fs::read(&path).unwrap());
        assert_eq!((got.as_str(), shape), (descr, vec![2, width]));
        let want = want["results"].as_array().unwrap().iter();
        close(&numbers, &want.flat_map(|r| flat(&r["vectors"])).collect::<Vec<_>>());
    }
}

#[test]
fn a_pipe_takes_every_format() {
    let folder = tempfile::tempdir().unwrap();
    for format in ["npy", "npz", "safetensors"] {
        let path = word(folder.path().join("out.bin"));
        run(&["embed", "-q", "-f", format, "-o", &path, "one", "two"]).text();
        let got = run(&["embed", "-q", "-f", format, "one", "two"]);
        assert_eq!(got.code, Some(0), "{}", got.err);
        assert_eq!(got.out, std::fs::read(&path).unwrap(), "{format}");
    }
    // The default depends on where the texts come from.
    let texts = file(folder.path(), "texts.txt", TEXTS);
    assert_eq!(run(&["embed", "-i", &texts]).lines().len(), 4);
    assert_eq!(pipe(&["embed", "-i", "-"], TEXTS.as_bytes()).lines().len(), 4);
    assert_eq!(run(&["embed", "-i", &texts, "-f", "json"]).json()["layers"][0], 6);
}

#[test]
fn a_file_appears_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "out.jsonl", "what was there\n");
    let texts = format!("fine\n{}\n", "long ".repeat(300));
    let got = pipe(&["embed", "-i", "-", "--overflow", "error", "-o", &path], texts.as_bytes());
    assert!(got.error(1).starts_with("standard input: line 2: "), "{}", got.err);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "what was there\n");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_no_part_of_a_file() {
    use std::process::Command;
    let folder = tempfile::tempdir().unwrap();
    let mount = |words: &[&str]| {
        let done = Command::new("mount").args(words).arg(folder.path()).output();
        done.is_ok_and(|done| done.status.success())
    };
    if !mount(&["-t", "tmpfs", "-o", "size=64k", "everylayer-test"]) {
        eprintln!("skipped: no small file system can be mounted here");
        return;
    }
    let lines = "a text\n".repeat(200);
    let tries: Vec<_> = ["npy", "npz", "safetensors", "jsonl", "json"]
        .map(|format| {
            let path = word(folder.path().join(format!("out.{format}")));
            (pipe(&["embed", "-q", "-i", "-", "-o", &path], lines.as_bytes()), path)
        })
        .into();
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    Command::new("umount").arg(folder.path()).status().unwrap();
    assert_eq!(left, 0);
    for (got, path) in tries {
        let error = got.error(1);
        assert!(error.contains(&path) && error.contains("No space left"), "{error}");
    }
}

#[test]
fn a_reader_may_leave_early() {
    let folder = tempfile::tempdir().unwrap();
    let texts = file(folder.path(), "texts.txt", "a text\n".repeat(300));
    let mut child = everylayer().args(["embed", "-i", &texts]).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("{\"index\":0,"), "{line}");
    let got = done(child.wait_with_output().unwrap());
    assert_eq!(got.code, Some(0), "{}", got.err);
    assert_eq!(got.notes().len(), 1, "{}", got.err);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_pipe_is_an_error() {
    let full = std::fs::File::options().write(true).open(Path::new("/dev/full")).unwrap();
    for words in [&["embed", "x"][..], &["tokenize", "x"], &["info"], &["completions", "bash"]] {
        let mut child = everylayer().args(words).stdout(full.try_clone().unwrap()).spawn().unwrap();
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(1), "{words:?}: {err}");
        assert!(err.contains("everylayer: error: ") && err.contains("No space left"), "{err}");
    }
}
