//! The command line: parse, run, exit code. The rest is in `cli/`.

#![deny(unsafe_code)]

#[cfg(feature = "cli")]
mod cli;

#[cfg(feature = "cli")]
fn main() -> std::process::ExitCode {
    cli::headless::prepare();
    match cli::parse(std::env::args_os()) {
        Ok(call) => cli::run(call),
        Err(code) => code,
    }
}

#[cfg(not(feature = "cli"))]
fn main() -> std::process::ExitCode {
    eprintln!("everylayer: error: this build has no command line; build it with the feature `cli`");
    std::process::ExitCode::from(2)
}
