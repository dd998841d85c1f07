//! The commands: words in, results on standard output, everything else on standard error.
//!
//! Nothing here computes; each command turns its words into calls of the library, whose public
//! surface is all it sees.

mod args;
mod attention;
mod bench;
mod completions;
#[cfg(feature = "gpu")]
mod doctor;
mod embed;
pub mod explore;
pub mod headless;
mod help;
pub mod info;
mod input;
mod progress;
#[cfg(feature = "server")]
mod serve;
mod target;
mod terminal;
pub mod tokenize;
#[cfg(feature = "gpu")]
mod wgsl;

use std::ffi::OsString;

use clap::{CommandFactory, Parser};
use everylayer::{Error, ErrorKind, Result};

use args::{Cli, Command};

pub use embed::OnCluster;

/// Runs the command line `words`, the program's name first. The exit code is 0, 1 where the work failed, 2
/// for invalid arguments; errors are printed.
pub fn main(words: impl IntoIterator<Item = OsString>) -> u8 {
    main_with(words, None)
}

/// The same with something that runs `embed --on` on a cluster.
pub fn main_with(
    words: impl IntoIterator<Item = OsString>,
    on_cluster: Option<OnCluster<'_>>,
) -> u8 {
    match parse(words.into_iter()) {
        Ok(call) => run(call, on_cluster),
        Err(code) => code,
    }
}

/// The call that `words` make; else the exit code.
fn parse(words: impl Iterator<Item = OsString>) -> Result<Cli, u8> {
    let words = args::joined(Cli::command(), words.collect());
    let call = Cli::try_parse_from(words.words).map_err(|error| terminal::parse_error(&error))?;
    call.settle(words.parted).map_err(|error| failed(&error))
}

fn run(call: Cli, on_cluster: Option<OnCluster<'_>>) -> u8 {
    let done = match call.command {
        Command::Embed(args) => embed::run(*args, on_cluster),
        Command::Tokenize(args) => tokenize::run(args),
        Command::Attention(args) => attention::run(*args),
        Command::Explore(args) => explore::run(&args),
        Command::Info(args) => info::run(&args),
        #[cfg(feature = "gpu")]
        Command::Doctor(args) => doctor::run(&args),
        #[cfg(feature = "gpu")]
        Command::Wgsl(args) => wgsl::run(&args),
        Command::Bench(args) => bench::run(args),
        #[cfg(feature = "server")]
        Command::Serve(args) => serve::run(*args),
        Command::Completions(args) => completions::run(&args),
        Command::Licenses => licenses(),
    };
    match done {
        Ok(()) => 0,
        // Whoever read the results has read enough.
        Err(error) if terminal::is_broken_pipe(&error) => 0,
        Err(error) => failed(&error),
    }
}

/// Says what went wrong, and gives the exit code of it.
fn failed(error: &Error) -> u8 {
    terminal::error(&terminal::with_options(error));
    if error.kind() == ErrorKind::Usage { 2 } else { 1 }
}

/// `everylayer licenses`: its own, and those of what it is linked with (`tools/notices/make.py`).
fn licenses() -> Result<()> {
    let texts = [include_str!("../../LICENSE"), include_str!("../../THIRD-PARTY.txt")];
    texts.iter().try_for_each(|text| terminal::print(text.as_bytes()))
}
