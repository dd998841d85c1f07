//! Errors of the library as exceptions: the classes are in `everylayer/_errors.py`.

use everylayer::{Error, ErrorKind, Setting};
use pyo3::prelude::*;

/// The exception that stands for `error`.
pub fn exception(py: Python<'_>, error: &Error) -> PyErr {
    let said = format!("{error}{}", Setting::suffix(error.settings(), argument));
    made(py, name(error.kind()), &said)
}

/// The exception of the kind `kind` that says `said`.
pub fn made(py: Python<'_>, kind: &str, said: &str) -> PyErr {
    let class = py.import("everylayer._errors").and_then(|module| module.getattr("error"));
    match class.and_then(|make| make.call1((kind, said))) {
        Ok(value) => PyErr::from_value(value),
        Err(other) => other,
    }
}

/// The error that stands for an exception.
pub fn error(py: Python<'_>, raised: &PyErr) -> Error {
    let value = raised.value(py);
    let kind = value.getattr("kind").and_then(|kind| kind.extract::<String>());
    let known = kind.ok().and_then(|kind| KINDS.iter().find(|(_, name)| *name == kind));
    let said = match known {
        Some(_) => value.to_string(),
        None => raised.to_string(),
    };
    Error::new(known.map_or(ErrorKind::Io, |(kind, _)| *kind), said)
}

/// `.kind` of the exception.
fn name(kind: ErrorKind) -> &'static str {
    KINDS.iter().find(|(of, _)| *of == kind).map_or("other", |(_, name)| name)
}

const KINDS: [(ErrorKind, &str); 13] = [
    (ErrorKind::Usage, "usage"),
    (ErrorKind::NotFound, "not_found"),
    (ErrorKind::Io, "io"),
    (ErrorKind::Checkpoint, "checkpoint"),
    (ErrorKind::Unsupported, "unsupported"),
    (ErrorKind::Text, "text"),
    (ErrorKind::TooLong, "too_long"),
    (ErrorKind::NoAdapter, "no_adapter"),
    (ErrorKind::Gpu, "gpu"),
    (ErrorKind::DeviceLost, "device_lost"),
    (ErrorKind::OutOfMemory, "out_of_memory"),
    (ErrorKind::NotFinite, "not_finite"),
    (ErrorKind::Hub, "hub"),
];

/// The argument that changes `setting`.
fn argument(setting: Setting) -> Option<&'static str> {
    match setting {
        Setting::Layers => Some("layers"),
        Setting::Combine => Some("combine"),
        Setting::MaxTokens => Some("max_tokens"),
        Setting::Overflow => Some("overflow"),
        Setting::Device => Some("device"),
        Setting::Dtype => Some("dtype"),
        Setting::BatchTokens => Some("batch_tokens"),
        _ => None,
    }
}
