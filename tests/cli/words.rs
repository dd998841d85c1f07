//! Words of a call as people write them.

use std::path::Path;

use serde_json::json;

use crate::calls::{Done, done, everylayer, file, flat, json, pipe, run, word};

fn within(folder: &Path, words: &[&str]) -> Done {
    done(everylayer().current_dir(folder).args(words).output().unwrap())
}

#[test]
fn an_optional_value_may_stand_after_a_space() {
    let vectors = |words: &[&str]| {
        let all = json(&[&["embed", "-q"], words].concat());
        let results = all["results"].as_array().unwrap().clone();
        assert_eq!(results.len(), 1, "{words:?}");
        flat(&results[0]["vectors"])
    };
    let (plain, unit) = (vectors(&["--normalize=false", "Hi"]), vectors(&["Hi"]));
    assert_ne!(plain, unit);
    for (words, want) in [
        (&["--normalize", "false", "Hi"][..], &plain),
        (&["Hi", "--normalize", "False"], &plain),
        (&["--normalize", "no", "-l", "last", "Hi"], &plain),
        (&["--normalize", "true", "Hi"], &unit),
        (&["--normalize", "Hi"], &unit),
    ] {
        assert_eq!(&vectors(words), want, "{words:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let texts = file(folder.path(), "texts.txt", "Hi\n");
    let got = run(&["embed", "-q", "--normalize", "false", "-i", &texts]);
    assert_eq!(flat(&got.lines()[0]["vectors"]), plain);
}

#[test]
fn layers_and_names_in_any_spelling() {
    for (layers, want) in [
        ("0,3,-1", json!([0, 3, 6])),
        ("1..3", json!([1, 2, 3])),
        ("1..=3", json!([1, 2, 3])),
        ("4..", json!([4, 5, 6])),
        ("..2", json!([0, 1, 2])),
        ("-2..", json!([5, 6])),
        ("ALL", json!([0, 1, 2, 3, 4, 5, 6])),
        ("Last", json!([6])),
    ] {
        let got = json(&["embed", "-q", "-l", layers, "-p", "Mean", "x"]);
        assert_eq!((&got["layers"], &got["pool"]), (&want, &json!("mean")), "{layers}");
    }
    let got = json(&["embed", "-q", "-p", "MEAN_SQRT", "--combine", "Mean", "-l", "all", "x"]);
    assert_eq!((&got["pool"], &got["combine"]), (&json!("mean-sqrt"), &json!("mean")));
    let twice = run(&["embed", "-l", "0,6,-1", "x"]);
    assert!(twice.error(2).contains("given twice"));
    for (words, want) in [
        (["-p", "meen"], "did you mean `mean`?"),
        (["-l", "blcoks"], "did you mean `blocks`?"),
        (["-l", "all,1"], "use it alone"),
        (["--combine", "weighted"], "`weighted=1,2,1`"),
        (["--combine", "mean=1,2"], "takes no weights"),
        (["--dtype", "f61"], "did you mean `f16`?"),
        (["-f", "jsno"], "did you mean `json`?"),
        (["--overflow", "windows"], "did you mean `window`?"),
        (["-l", "1-3"], "did you mean `1..3`"),
        (["-l", "0:3"], "did you mean `0..3`"),
    ] {
        let got = run(&[&["embed"][..], &words, &["x"]].concat());
        assert!(got.error(2).contains(want), "{words:?}: {}", got.err);
    }
}

#[test]
fn the_name_of_a_file_is_no_text() {
    let folder = tempfile::tempdir().unwrap();
    file(folder.path(), "lines.txt", "one\ntwo\n");
    for words in [
        &["embed", "-i", "sub"][..],
        &["tokenize", "-i", "sub"],
        &["bench", "--texts", "sub"],
        &["embed", "-o", "sub", "x"],
    ] {
        std::fs::create_dir_all(folder.path().join("sub")).unwrap();
        assert!(within(folder.path(), words).error(2).contains("sub is a folder"), "{words:?}");
    }
    file(folder.path(), "README", "words");
    for command in ["embed", "tokenize"] {
        for words in [&["lines.txt"][..], &["README"], &["./lines.txt"], &["lines.txt", "README"]] {
            let got = within(folder.path(), &[&[command], words].concat());
            let error = got.error(2);
            for part in [&format!("`{}` is a file", words[0]), "--input", "-- "] {
                assert!(error.contains(part), "{error}");
            }
        }
        assert!(within(folder.path(), &[command, "./sub"]).error(2).contains("is a folder"));
        // The words are meant, or are not the name of anything.
        for words in [&["--", "lines.txt"][..], &["sub"], &["lines.txt is a file"]] {
            let got = within(folder.path(), &[&[command], words].concat());
            assert_eq!(got.json()["results"].as_array().unwrap().len(), 1);
        }
        let missing = within(folder.path(), &[command, "nosuch.txt"]);
        assert_eq!(missing.code, Some(0));
        assert!(missing.err.contains("`nosuch.txt` is read as text"), "{}", missing.err);
        assert!(!within(folder.path(), &[command, "-q", "nosuch.txt"]).err.contains("nosuch"));
    }
    let got = within(folder.path(), &["explore", "lines.txt"]);
    assert!(got.error(2).contains("`lines.txt` is a file"), "{}", got.err);
    assert!(!folder.path().join("report.html").exists());
}

#[test]
fn a_hyphen_alone_is_standard_input() {
    for command in ["embed", "tokenize"] {
        let got = pipe(&[command, "-"], b"one\ntwo\n");
        assert_eq!(got.lines().len(), 2);
        let got = pipe(&[command, "-", "three"], b"one\n");
        assert!(got.error(2).contains("`-` means standard input"), "{}", got.err);
        let text = json(&[command, "--", "-"]);
        assert_eq!(text["results"].as_array().unwrap().len(), 1);
    }
    let folder = tempfile::tempdir().unwrap();
    let page = word(folder.path().join("page.html"));
    pipe(&["explore", "-", "-o", &page], b"a fine day\n").text();
    assert!(std::fs::read_to_string(&page).unwrap().contains("a fine day"));
    for (lines, want) in [(&b""[..], "no texts"), (b"a\nb\nc\n", "not 3 lines")] {
        assert!(pipe(&["explore", "-", "-o", "-"], lines).error(1).contains(want));
    }
}
