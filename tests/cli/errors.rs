//! Exit codes and sentences.

use crate::calls::{done, everylayer, pipe, run, word};

/// The words of the call are off: 2, and the sentence holds these parts.
#[test]
fn words_that_are_off() {
    for (words, parts) in [
        (&["embed", "-l", "99", "x"][..], &["99", "states 0..6 (L = 6), or -7..-1"][..]),
        (&["embed", "-l", "6..1", "x"], &["6..1", "reversed"]),
        (&["embed", "-l", "first", "x"], &["--layers: ", "`first`"]),
        (&["embed", "-l", "", "x"], &["no layer"]),
        (&["embed", "--combine", "median", "x"], &["--combine: ", "median"]),
        (&["embed", "-p", "median", "x"], &["--pool: ", "median"]),
        (&["embed", "--precision", "int4", "x"], &["--precision: ", "int4"]),
        (&["embed", "--precision", "int8", "x"], &["at least two"]),
        (&["embed", "--dtype", "f64", "x"], &["--dtype: ", "f64"]),
        (&["embed", "--device", "cpu", "--coop", "x"], &["CPU", "cooperative", "--coop"]),
        (&["embed", "--device", "gpu", "--coop", "x"], &["--dtype", "--coop"]),
        (&["embed", "--route", "both", "x"], &["--route: ", "both"]),
        (&["embed", "--overflow", "drop", "x"], &["--overflow: ", "drop"]),
        (&["embed", "--dims", "385", "x"], &["385", "384"]),
        (&["embed", "--dims", "0", "x"], &["--dims: ", "`0`"]),
        (&["embed", "--batch-tokens", "many", "x"], &["--batch-tokens: ", "`many`"]),
        (&["embed", "--max-tokens", "1", "x"], &["2 special tokens"]),
        (&["embed", "--max-tokens", "513", "x"], &["513", "512"]),
        (&["embed", "--normalize=maybe", "x"], &["maybe"]),
        (&["embed", "--prompt-name", "query", "x"], &["`query`", "--prompt"]),
        (&["embed", "--prompt", "a", "--prompt-name", "b", "x"], &["--prompt"]),
        (&["embed", "-p", "pooler", "-l", "all", "x"], &["pooler"]),
        (&["embed", "-f", "xml", "x"], &["--format: ", "json"]),
        (&["embed", "-o", "x.docx", "x"], &["docx", "npy"]),
        (&["embed", "-o", "x", "x"], &["ending"]),
        (&["embed", "-i", "x.txt", "x"], &["--input"]),
        (&["embed", "--field", "body", "x"], &["`body`", "--field is for"]),
        (&["embed", "--field", "body"], &["`body`", "--field is for"]),
        (&["embed", "--plan", "-f", "json", "x"], &["--plan"]),
        (&["embed", "--modle", "x"], &["--modle", "--model"]),
        (&["tokenize", "-f", "npy", "x"], &["`npy`: use json or jsonl"]),
        (&["tokenize", "-f", "csv", "x"], &["`csv`: use json or jsonl"]),
        (&["embde"], &["embde", "embed"]),
        (&["completions"], &["SHELL"]),
        (&["completions", "tcsh"], &["tcsh", "bash"]),
    ] {
        let got = run(words);
        let error = got.error(2);
        for part in parts {
            assert!(error.contains(part), "{words:?}: {error}");
        }
        assert!(!error.contains('\n') && !error.contains("Usage:"), "{words:?}: {error}");
    }
}

/// Words that are taken beside those with a name are not left out of a list.
#[test]
fn a_value_that_is_left_out() {
    for option in ["--layers", "--combine", "--device"] {
        let got = run(&["embed", "x", option]);
        let error = got.error(2);
        assert!(error.contains(option) && !error.contains("possible values"), "{error}");
    }
}

#[test]
fn work_that_fails() {
    let long = "word ".repeat(300);
    for (words, parts) in [
        (&["embed", "--overflow", "error", &long][..], &["302", "256"][..]),
        (&["embed", "--overflow", "error", "fine", &long], &["text 2: ", "302"]),
        (&["tokenize", "--overflow", "error", "fine", &long], &["text 2: ", "302"]),
        (&["embed", "--device", "no such device", "x"], &["no such device"]),
        (&["embed", "-m", "nosuch/model", "x"], &["nosuch/model", "cache"]),
        (&["embed", "-m", "/nonexistent", "x"], &["/nonexistent"]),
        (&["embed", "-m", "bundled:other", "x"], &["bundled:other"]),
        (&["tokenize", "-m", "/nonexistent", "x"], &["/nonexistent"]),
        (&["info", "-m", "/nonexistent"], &["/nonexistent"]),
        (&["embed", "-o", "/nonexistent/x.npy", "x"], &["/nonexistent/x.npy"]),
    ] {
        let got = run(words);
        let error = got.error(1);
        for part in parts {
            assert!(error.contains(part), "{error}");
        }
    }
    assert!(pipe(&["embed"], b"").error(1).contains("standard input has no texts"));
    assert!(pipe(&["tokenize"], b"").error(1).contains("standard input has no texts"));
    assert!(pipe(&["embed", "--plan"], b"").error(1).contains("standard input has no texts"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_may_not_be_written() {
    let got = run(&["embed", "-o", "/sys/everylayer.npy", "x"]);
    assert!(got.error(1).contains("/sys/everylayer.npy"));
    let folder = tempfile::tempdir().unwrap();
    let path = word(folder.path().join("x.npy"));
    std::fs::create_dir(&path).unwrap();
    assert!(run(&["embed", "-o", &path, "x"]).error(2).contains("is a folder"));
}

#[test]
fn no_words_at_all_show_the_help() {
    let got = run(&[]);
    assert_eq!(got.code, Some(2));
    assert!(got.err.contains("Usage: everylayer <COMMAND>"), "{}", got.err);
}

/// Without a driver `gpu` fails and `auto` takes the CPU.
#[cfg(all(feature = "gpu", target_os = "linux"))]
#[test]
fn no_adapter() {
    let with = |device: &str| {
        let mut command = everylayer();
        for name in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] {
            command.env(name, "/nonexistent");
        }
        done(command.args(["embed", "x", "--device", device]).output().unwrap())
    };
    assert!(with("gpu").error(1).contains("no GPU adapter was found"));
    let auto = with("auto");
    assert!(auto.json()["device"].as_str().unwrap().starts_with("CPU"));
    assert!(auto.notes()[0].starts_with("device: CPU"), "{}", auto.err);
}
