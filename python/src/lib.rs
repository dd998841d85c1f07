//! The extension module of the Python package `everylayer`: the library's encoder, and the program.
//!
//! What a caller sees is in `python/everylayer/*.py`, where names, defaults and documentation are; here
//! are texts coming in, numbers going out, and errors on their way.

#![deny(unsafe_code)]

mod engine;
mod errors;
mod reply;
mod table;
mod texts;

use std::ffi::OsString;
use std::io::Write;

use pyo3::prelude::*;

/// The engine of the Python package everylayer.
#[pymodule(gil_used = false)]
mod _native {
    #[pymodule_export]
    use super::engine::Engine;
    #[pymodule_export]
    use super::main;
    #[pymodule_export]
    use super::reply::Reply;

    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}

/// Runs `embed --on ray`, whose words are the JSON object `call`: `everylayer/_on_ray.py`.
fn on_ray(call: &str) -> everylayer::Result<()> {
    Python::attach(|py| {
        let done = py.import("everylayer._on_ray").and_then(|on| on.call_method1("run", (call,)));
        done.map(drop).map_err(|raised| errors::error(py, &raised))
    })
}

/// Does what the words of the command line say, the program's name first; gives the exit code.
#[pyfunction]
fn main(py: Python<'_>, words: Vec<OsString>) -> u8 {
    py.detach(|| {
        let code = everylayer::cli::main_with(words, Some(&on_ray));
        // Only a program that Rust starts flushes at its end.
        let _ = std::io::stdout().flush();
        code
    })
}
