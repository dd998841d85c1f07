//! Runs in this process, with faults that no run of its own has.

use std::ffi::OsString;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::sync::PoisonError;

use everylayer::Result;

use super::fault::asked::FAULT;
use crate::cli::args::Command;

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/checkpoints/tiny-d16");
const ROWS: usize = 2_000;

fn embed(input: &Path, output: &Path, more: &[&str]) -> Result<()> {
    let words = ["everylayer", "embed", "-q", "--device", "cpu", "-m", MODEL, "-i"];
    let words = words.iter().map(OsString::from).chain([input.into(), "-o".into(), output.into()]);
    let words = words.chain(more.iter().map(OsString::from));
    let Command::Embed(args) = crate::cli::parse(words).unwrap().command else {
        panic!("the words are not of `embed`");
    };
    super::run(*args)
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
    let ask = |fault| *FAULT.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    for (place, said) in [
        ("read", "the part that reads the input broke off"),
        ("run", "the part that runs the model broke off"),
        ("write", "the part that writes the results broke off"),
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
