//! Runs in this process, with faults that no run of its own has.

use std::ffi::OsString;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use everylayer::Result;

use super::fault::asked::FAULT;
use super::flow;
use crate::cli::args::{Command, InputArgs};
use crate::cli::input::Input;

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/checkpoints/tiny-d16");
const ROWS: usize = 2_000;

/// Faults are of the whole process.
static TURN: Mutex<()> = Mutex::new(());

fn ask(fault: Option<(&'static str, usize)>) {
    *FAULT.lock().unwrap_or_else(PoisonError::into_inner) = fault;
}

fn embed(input: &Path, output: &Path, more: &[&str]) -> Result<()> {
    let words = ["everylayer", "embed", "-q", "--device", "cpu", "-m", MODEL, "-i"];
    let words = words.iter().map(OsString::from).chain([input.into(), "-o".into(), output.into()]);
    let words = words.chain(more.iter().map(OsString::from));
    let Command::Embed(args) = crate::cli::parse(words).unwrap().command else {
        panic!("the words are not of `embed`");
    };
    super::run_here(*args)
}

#[test]
fn a_panic_of_any_part_of_a_run_is_its_error() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let lines = (0..ROWS).fold(String::new(), |mut all, i| {
        let _ = writeln!(all, "row {i}");
        all
    });
    fs::write(at("x.txt"), lines).unwrap();
    embed(&at("x.txt"), &at("whole.npy"), &[]).unwrap();
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for (place, said) in [
        ("read", "the thread that reads the input failed"),
        ("run", "the thread that runs the model failed"),
        ("write", "the thread that writes the results failed"),
    ] {
        ask(Some((place, ROWS / 2)));
        let error = embed(&at("x.txt"), &at("out.npy"), &[]).unwrap_err().to_string();
        ask(None);
        assert!(error.starts_with(said) && error.contains("a fault after row 1000"), "{error}");
        assert!(!at("out.npy").exists());
        embed(&at("x.txt"), &at("out.npy"), &["--resume"]).unwrap();
        assert_eq!(fs::read(at("out.npy")).unwrap(), fs::read(at("whole.npy")).unwrap());
        fs::remove_file(at("out.npy")).unwrap();
    }
}

#[test]
fn an_array_never_has_the_list_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let bad = at("bad.jsonl");
    let more = ["--rejected-rows", "skip", "--rejects", bad.to_str().unwrap()];
    let rows = |rows: &str| fs::write(at("x.jsonl"), rows).unwrap();
    let list = || fs::read_to_string(at("out.npy.json")).ok();
    let run = |more: &[&str]| embed(&at("x.jsonl"), &at("out.npy"), more);
    for place in ["place array", "place index"] {
        rows("{\"text\":\"a\"}\n{\"text\":3}\n");
        run(&more).unwrap();
        assert_eq!(list().as_deref(), Some("{\"index\":[0]}\n"));
        rows("{\"text\":3}\n{\"text\":\"b\"}\n{\"text\":\"c\"}\n");
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        ask(Some((place, 0)));
        let broken = std::panic::catch_unwind(|| run(&more));
        ask(None);
        assert!(broken.is_err());
        assert_eq!(list(), None);
        run(&[&more[..], &["--resume"]].concat()).unwrap();
        assert_eq!(list().as_deref(), Some("{\"index\":[1,2]}\n"));
        assert_eq!(fs::read(at("out.npy")).unwrap().len(), 128 + 2 * 64 * 4);
    }
}

/// A run that goes on would else do thousands of texts before the first is safe, in as much memory.
#[test]
fn what_follows_rows_that_are_passed_over_is_no_larger_a_chunk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.txt");
    fs::write(&path, "a row\n".repeat(500)).unwrap();
    for (range, want) in
        [(0..100, &[64, 36][..]), (100..400, &[64, 64, 64, 64, 44]), (499..usize::MAX, &[1])]
    {
        let args = InputArgs { texts: Vec::new(), input: Some(path.clone()), field: None };
        let texts = Input::choose(args).unwrap().texts().unwrap();
        let chunks = flow::read(texts, 64, range.clone(), false);
        let sizes: Vec<usize> = chunks.map(|chunk| chunk.unwrap().items.len()).collect();
        assert_eq!(sizes, want, "{range:?}");
    }
}
