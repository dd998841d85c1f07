//! The command line: words in, exit code out. All of it is in `cli/`.

#![deny(unsafe_code)]

use std::process::ExitCode;

#[cfg(feature = "cli")]
fn main() -> ExitCode {
    everylayer::cli::headless::prepare();
    ExitCode::from(everylayer::cli::main(std::env::args_os()))
}

#[cfg(not(feature = "cli"))]
fn main() -> ExitCode {
    eprintln!("everylayer: error: this build has no command line; build it with the feature `cli`");
    ExitCode::from(2)
}
