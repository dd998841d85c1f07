//! What a run says at its end, where it is interrupted, and where it was done before.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::calls::{Done, done, everylayer, file, pipe, run, word};

/// A call with a cache folder of its own.
fn cached(cache: &Path, words: &[&str]) -> Done {
    done(everylayer().env("EVERYLAYER_CACHE", cache).args(words).output().unwrap())
}

#[test]
fn the_last_line_says_what_was_made() {
    let folder = tempfile::tempdir().unwrap();
    let texts = file(folder.path(), "texts.txt", "one\ntwo words\nthree more words\n");
    for (words, shape) in [
        (&[][..], "(3, 384) of f32"),
        (&["-l", "0,3,-1"], "(3, 3, 384) of f32"),
        (&["-p", "tokens", "--precision", "ubinary"], "(12, 48) of ubinary"),
        (&["-p", "words", "--precision", "int8"], "(6, 384) of int8"),
    ] {
        let path = word(folder.path().join("out.npz"));
        let got = run(&[&["embed", "-i", &texts, "-o", &path], words].concat());
        assert_eq!(got.code, Some(0), "{}", got.err);
        let notes = got.notes();
        let last = notes.last().unwrap();
        let begins = format!("wrote {path}: {shape}, 3 texts in ");
        assert!(last.starts_with(&begins), "{last}");
        assert!(last.contains(" texts/s, ") && last.ends_with(" tokens/s"), "{last}");
        let quiet = run(&[&["embed", "-q", "-i", &texts, "-o", &path], words].concat());
        assert_eq!(quiet.err, "");
    }
    let lines = pipe(&["embed"], b"one\ntwo\n");
    let notes = lines.notes();
    assert!(
        notes[1].starts_with("wrote standard output: (2, 384) of f32, 2 texts in "),
        "{notes:?}"
    );
    // Who asks for a text has it before their eyes.
    assert_eq!(run(&["embed", "one"]).notes().len(), 1);
}

#[test]
fn a_finished_run_has_nothing_to_resume() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let texts = file(folder.path(), "texts.txt", "one\ntwo\n");
    let path = word(folder.path().join("out.npy"));
    let call = ["embed", "-i", &texts, "-o", &path];
    let resume = [&call[..], &["--resume"]].concat();
    let nothing = |got: &Done| {
        assert_eq!(got.code, Some(0), "{}", got.err);
        got.err.contains("there is nothing to do")
    };
    let changed = || std::fs::metadata(&path).unwrap().modified().unwrap();

    assert!(!nothing(&cached(&cache, &call)));
    let made = changed();
    assert!(nothing(&cached(&cache, &resume)));
    assert_eq!(cached(&cache, &[&resume[..], &["-q"]].concat()).err, "");
    assert_eq!(changed(), made);
    // Without --resume, with other words, with another output there, or with other texts it is made.
    assert!(!nothing(&cached(&cache, &call)));
    assert!(!nothing(&cached(&cache, &[&resume[..], &["-p", "cls"]].concat())));
    assert!(nothing(&cached(&cache, &[&resume[..], &["-p", "cls"]].concat())));
    std::fs::write(&path, "something else").unwrap();
    assert!(!nothing(&cached(&cache, &resume)));
    file(folder.path(), "texts.txt", "one\ntwo\nthree\n");
    assert!(!nothing(&cached(&cache, &resume)));
    assert!(nothing(&cached(&cache, &resume)));
    std::fs::remove_file(&path).unwrap();
    assert!(!nothing(&cached(&cache, &resume)));
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_says_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let texts = file(folder.path(), "texts.txt", "a few words of a text\n".repeat(20_000));
    let path = word(folder.path().join("out.npy"));
    let child = everylayer().args(["embed", "-i", &texts, "-o", &path]).spawn().unwrap();
    let journal = folder.path().join(".out.npy.everylayer-part/journal");
    let begun = Instant::now();
    while !journal.exists() {
        assert!(begun.elapsed() < Duration::from_secs(120), "the run does not begin");
        std::thread::sleep(Duration::from_millis(20));
    }
    // The program is told of the folder right after it is there.
    std::thread::sleep(Duration::from_millis(200));
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let got = done(child.wait_with_output().unwrap());
    assert_eq!(got.code, Some(130), "{}", got.err);
    for part in ["interrupted", ".out.npy.everylayer-part", "--resume"] {
        assert!(got.err.contains(part), "{}", got.err);
    }
    assert!(!Path::new(&path).exists());
}

#[test]
fn a_format_that_the_ending_denies() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| word(folder.path().join(name));
    for (format, name) in [("npy", "out.json"), ("jsonl", "out.json"), ("json", "out.parquet")] {
        let got = run(&["embed", "-f", format, "-o", &at(name), "x"]);
        let error = got.error(2);
        for part in [&format!("--format says {format}"), name, &format!(".{format}")] {
            assert!(error.contains(part), "{error}");
        }
        assert!(!Path::new(&at(name)).exists());
    }
    for (format, name) in [("npy", "out.npy"), ("json", "OUT.JSON"), ("jsonl", "out.ndjson.txt")] {
        run(&["embed", "-q", "-f", format, "-o", &at(name), "x"]).text();
    }
}
