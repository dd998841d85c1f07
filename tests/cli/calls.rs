//! Calling the binary.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// What a call did.
pub struct Done {
    pub code: Option<i32>,
    pub out: Vec<u8>,
    pub err: String,
}

/// The binary on the CPU, without a terminal, hub or home.
pub fn everylayer() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_everylayer"));
    command.env("EVERYLAYER_DEVICE", "cpu").env("HF_HUB_OFFLINE", "1");
    command.env("HF_HUB_CACHE", "/nonexistent").stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub fn done(output: Output) -> Done {
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    Done { code: output.status.code(), out: output.stdout, err }
}

pub fn run(words: &[&str]) -> Done {
    done(everylayer().args(words).output().unwrap())
}

/// A call with lines on standard input.
pub fn pipe(words: &[&str], lines: &[u8]) -> Done {
    let mut child = everylayer().args(words).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let lines = lines.to_vec();
    let feeder = std::thread::spawn(move || drop(stdin.write_all(&lines)));
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    done(output)
}

impl Done {
    /// Standard output of a call that must have gone well.
    pub fn text(&self) -> &str {
        assert_eq!(self.code, Some(0), "{}", self.err);
        std::str::from_utf8(&self.out).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(self.text()).unwrap()
    }

    pub fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What the program itself said on standard error; drivers may say more.
    pub fn notes(&self) -> Vec<&str> {
        self.err.lines().filter_map(|line| line.strip_prefix("everylayer: ")).collect()
    }

    /// The one sentence of a call that must have failed with `code` and without results.
    pub fn error(&self, code: i32) -> &str {
        assert_eq!(self.code, Some(code), "{}", self.err);
        assert_eq!(String::from_utf8_lossy(&self.out), "");
        let notes = self.notes();
        let errors: Vec<&str> =
            notes.iter().filter_map(|note| note.strip_prefix("error: ")).collect();
        assert_eq!(errors.len(), 1, "{}", self.err);
        assert!(!errors[0].contains("panicked"), "{}", self.err);
        errors[0]
    }
}

pub fn json(words: &[&str]) -> Value {
    run(words).json()
}

/// The vectors of a result as one list.
pub fn flat(vectors: &Value) -> Vec<f64> {
    match vectors {
        Value::Array(items) => items.iter().flat_map(flat).collect(),
        number => vec![number.as_f64().unwrap()],
    }
}

/// The sizes of the axes of nested lists.
pub fn shape(vectors: &Value) -> Vec<usize> {
    match vectors {
        Value::Array(items) => {
            let inner: Vec<Vec<usize>> = items.iter().map(shape).collect();
            assert!(inner.windows(2).all(|pair| pair[0] == pair[1]), "ragged");
            [vec![items.len()], inner.first().cloned().unwrap_or_default()].concat()
        }
        _ => Vec::new(),
    }
}

pub fn length(vector: &[f64]) -> f64 {
    vector.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// A file with these bytes in `folder`, its path as a word of a call.
pub fn file(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) -> String {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    word(path)
}

pub fn word(path: PathBuf) -> String {
    path.into_os_string().into_string().unwrap()
}
