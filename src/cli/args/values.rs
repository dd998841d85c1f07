//! Values of options: those that clap can list for completions, while the library reads them and words
//! the errors, and `--shard`.

use std::ffi::OsStr;
use std::str::FromStr;
use std::sync::Arc;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::{Arg, Command};
use everylayer::output::Format;
use everylayer::{
    Combine, Device, Dtype, Error, ErrorKind, Heads, Layers, Overflow, Pool, Precision, Reduce,
    Route, Site, Verify,
};
#[cfg(feature = "server")]
use tracing::level_filters::LevelFilter;

/// What reads a value: the sentence of a bad one is the library's.
type Read<T> = Arc<dyn Fn(&str) -> Result<T, Error> + Send + Sync>;

/// Values of which some, or all, are known by name.
#[derive(Clone)]
pub struct Values<T> {
    names: Vec<String>,
    read: Read<T>,
}

/// `--layers`
pub fn layers() -> Values<Layers> {
    values(["last", "all", "blocks"])
}

/// `--site`
pub fn site() -> Values<Site> {
    values(Site::ALL.map(|(name, _)| name))
}

/// `--heads`
pub fn heads() -> Values<Heads> {
    values(["all"])
}

/// `--reduce`
pub fn reduce() -> Values<Reduce> {
    values(Reduce::NAMES.map(|name| name.replace('K', "5")))
}

/// `--combine`
pub fn combine() -> Values<Combine> {
    values(["stack", "mean", "sum", "max", "concat", "weighted=", "scalar-mix="])
}

/// `--pool`
pub fn pool() -> Values<Pool> {
    values(Pool::ALL.map(|pool| pool.to_string()))
}

/// `--format`
pub fn formats() -> Values<Format> {
    values(Format::ALL.map(|format| format.to_string()))
}

/// What `--format` says of itself.
pub fn format_help() -> String {
    let names = Format::names(|_| true, "or");
    format!(
        "Format: {names} [default: from the ending of FILE, else `json`, or `jsonl` for a file or \
         lines into a pipe]"
    )
}

/// What `--keep` says of itself.
pub fn keep_help() -> String {
    let able = Format::names(Format::keeps_columns, "and");
    format!("Input columns to copy to the output ({able})")
}

/// `--format` of tokens
pub fn token_formats() -> Values<Format> {
    const TAKEN: [Format; 2] = [Format::Json, Format::Jsonl];
    let names: Vec<String> = TAKEN.map(|format| format.to_string()).to_vec();
    let taken = names.join(" or ");
    let read = move |word: &str| {
        word.parse().ok().filter(|format| TAKEN.contains(format)).ok_or_else(|| {
            let said = format!("tokens cannot be written as `{word}`: use {taken}");
            Error::new(ErrorKind::Usage, said)
        })
    };
    Values { names, read: Arc::new(read) }
}

/// `--precision`
pub fn precision() -> Values<Precision> {
    values(["f32", "f16", "int8", "ubinary"])
}

/// `--overflow`
pub fn overflow() -> Values<Overflow> {
    values(["truncate", "error", "window"])
}

/// `--device`
pub fn device() -> Values<Device> {
    devices(&[])
}

/// `--device` of a machine with adapters that are called so.
pub fn devices(adapters: &[String]) -> Values<Device> {
    let known = ["auto", "cpu", "gpu"].map(str::to_owned);
    values(known.into_iter().chain(adapters.iter().cloned()))
}

/// `--dtype`
pub fn dtype() -> Values<Dtype> {
    values(["auto", "f32", "f16"])
}

/// `--verify`
pub fn verify() -> Values<Verify> {
    values(["always", "once", "never"])
}

/// `--route`
pub fn route() -> Values<Route> {
    values(["auto", "stream", "fold"])
}

/// `--log`
#[cfg(feature = "server")]
pub fn log_level() -> Values<LevelFilter> {
    let names = ["off", "error", "warn", "info", "debug"];
    let read = move |word: &str| {
        word.parse().map_err(|_| {
            let said = format!("unknown level `{word}`: use one of {}", names.join(", "));
            Error::new(ErrorKind::Usage, said)
        })
    };
    Values { names: names.map(str::to_owned).to_vec(), read: Arc::new(read) }
}

/// Values that `T` reads from a word, `names` among them.
fn values<T: FromStr<Err: Into<Error>> + 'static>(
    names: impl IntoIterator<Item: Into<String>>,
) -> Values<T> {
    let read = Arc::new(|word: &str| word.parse().map_err(Into::into));
    Values { names: names.into_iter().map(Into::into).collect(), read }
}

/// `true` or `false`, as people write them.
pub fn switch() -> Values<bool> {
    let read = |word: &str| match word.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => {
            let said = format!("`{word}` is neither `true` nor `false`");
            Err(Error::new(ErrorKind::Usage, said))
        }
    };
    let names = ["true", "false"].map(str::to_owned).to_vec();
    Values { names, read: Arc::new(read) }
}

impl<T: Clone + Send + Sync + 'static> TypedValueParser for Values<T> {
    type Value = T;

    fn parse_ref(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &OsStr,
    ) -> Result<T, clap::Error> {
        let read = Arc::clone(&self.read);
        TypedValueParser::parse_ref(&move |word: &str| read(word), command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let named = |name: &String| match name.as_str() {
            "true" => PossibleValue::new("true").aliases(["yes", "on", "1"]),
            "false" => PossibleValue::new("false").aliases(["no", "off", "0"]),
            _ => PossibleValue::new(name.clone()),
        };
        Some(Box::new(self.names.iter().map(named)))
    }
}

/// One of several parts of a corpus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// From 1.
    part: usize,
    parts: usize,
}

impl Shard {
    /// The rows of this part of `rows`: the first parts have one more where they do not divide.
    pub fn range(self, rows: usize) -> std::ops::Range<usize> {
        let start = |part: usize| rows / self.parts * part + part.min(rows % self.parts);
        start(self.part - 1)..start(self.part)
    }
}

impl std::str::FromStr for Shard {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let numbers =
            text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match numbers {
            Some((part, parts)) if 1 <= part && part <= parts => Ok(Self { part, parts }),
            _ => {
                let said =
                    format!("`{text}` is not a shard: write I/N with I from 1 to N, such as 1/4");
                Err(Error::new(ErrorKind::Usage, said))
            }
        }
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.part, self.parts)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use crate::cli::args::Cli;

    /// What completions offer is what clap takes; after `=` there are numbers.
    #[test]
    fn what_is_listed_is_read() {
        let command = Cli::command();
        let mut seen = 0;
        for sub in command.get_subcommands() {
            let options = sub.get_arguments().filter(|arg| arg.get_long().is_some());
            for arg in options.filter(|arg| arg.get_action().takes_values()) {
                for value in arg.get_possible_values() {
                    let name = value.get_name();
                    let name =
                        if name.ends_with('=') { format!("{name}1") } else { name.to_owned() };
                    let word = format!("--{}={name}", arg.get_long().unwrap_or_default());
                    let call = ["everylayer", sub.get_name(), &word, "a text"];
                    let call = &call[..if sub.get_name() == "embed" { 4 } else { 3 }];
                    let got = Cli::command().try_get_matches_from(call);
                    let kind = got.err().map(|e| e.kind());
                    let fine = [None, Some(clap::error::ErrorKind::MissingRequiredArgument)];
                    assert!(fine.contains(&kind), "{call:?}: {kind:?}");
                    seen += 1;
                }
            }
        }
        assert!(seen > 50, "{seen}");
    }
}
