//! The words of a call before clap reads them: a value after an option that may stand without one,
//! and whether texts are set apart by `--`.

use std::ffi::{OsStr, OsString};

use clap::{Arg, Command};

/// Words that are ready for clap.
#[derive(Debug, PartialEq)]
pub struct Words {
    /// The program's name and the words after it.
    pub words: Vec<OsString>,
    /// Whether `--` stands among them, so that what follows is texts and nothing else.
    pub parted: bool,
}

/// `words` with the value of an option that may stand without one written with `=`, where the next
/// word is one of its values: `--normalize false` is `--normalize=false`. The program's name comes
/// first. Everything else stays as it is.
pub fn joined(mut command: Command, words: Vec<OsString>) -> Words {
    // Subcommands get the options of their parents.
    command.build();
    let (mut at, mut place, mut parted) = (&command, 1, false);
    let mut out: Vec<OsString> = words.iter().take(1).cloned().collect();
    while let Some(word) = words.get(place) {
        place += 1;
        out.push(word.clone());
        let text = word.to_string_lossy();
        if text == "--" {
            parted = true;
            break;
        }
        if !text.starts_with('-') || text == "-" {
            let front = at.find_subcommand(word);
            at = front.unwrap_or(at);
            if front.is_some_and(is_foreign) {
                break;
            }
            continue;
        }
        match (open(at, &text), words.get(place)) {
            (Some(arg), Some(next)) if is_optional(arg) && is_value(arg, next) => {
                let mut whole = word.clone();
                whole.push("=");
                whole.push(next);
                out.pop();
                out.push(whole);
                place += 1;
            }
            (Some(arg), Some(next)) if !is_optional(arg) => {
                out.push(next.clone());
                place += 1;
            }
            _ => {}
        }
    }
    out.extend(words.into_iter().skip(place));
    Words { words: out, parted }
}

/// The option of `command` that `word` ends with and that has its value, if any, in the next word.
fn open<'c>(command: &'c Command, word: &str) -> Option<&'c Arg> {
    let takes = |arg: &&Arg| arg.get_action().takes_values();
    if let Some(name) = word.strip_prefix("--") {
        let named = |arg: &&Arg| {
            let others = arg.get_all_aliases().unwrap_or_default();
            arg.get_long() == Some(name) || others.contains(&name)
        };
        return command.get_arguments().find(named).filter(takes);
    }
    let mut letters = word.strip_prefix('-')?.chars();
    loop {
        let letter = letters.next()?;
        let arg = command.get_arguments().find(|arg| arg.get_short() == Some(letter))?;
        if arg.get_action().takes_values() {
            return letters.as_str().is_empty().then_some(arg);
        }
    }
}

fn is_optional(arg: &Arg) -> bool {
    arg.is_require_equals_set()
}

fn is_value(arg: &Arg, word: &OsStr) -> bool {
    let words = arg.get_possible_values();
    word.to_str().is_some_and(|word| words.iter().any(|value| value.matches(word, true)))
}

/// Whether a front end reads its own words.
fn is_foreign(command: &Command) -> bool {
    command.get_arguments().any(|arg| arg.is_trailing_var_arg_set())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::args::Cli;

    #[test]
    fn a_value_after_an_option_that_may_have_none() {
        for (words, want) in [
            ("embed --normalize false Hi", "embed --normalize=false Hi"),
            ("embed --normalize FALSE Hi", "embed --normalize=FALSE Hi"),
            ("embed -q --normalize no -l -1 Hi", "embed -q --normalize=no -l -1 Hi"),
            ("embed --normalize Hi", "embed --normalize Hi"),
            ("embed Hi --normalize", "embed Hi --normalize"),
            ("embed --normalize=true false", "embed --normalize=true false"),
            ("embed --normalize -- false", "embed --normalize -- false"),
            ("embed -q -- --normalize false", "embed -q -- --normalize false"),
            // A value of another option.
            ("embed --prompt --normalize false", "embed --prompt --normalize false"),
            ("embed -p --normalize false", "embed -p --normalize false"),
            ("embed -qp mean --normalize false", "embed -qp mean --normalize=false"),
            ("embed -pmean --normalize false", "embed -pmean --normalize=false"),
            ("tokenize --normalize false", "tokenize --normalize false"),
            ("", ""),
        ] {
            let split = |words: &str| -> Vec<OsString> {
                std::iter::once("everylayer")
                    .chain(words.split_whitespace())
                    .map(Into::into)
                    .collect()
            };
            let got = joined(Cli::command(), split(words));
            let parted = words.contains(" -- ");
            assert_eq!(got, Words { words: split(want), parted }, "{words}");
        }
    }

    #[cfg(feature = "server")]
    #[test]
    fn a_server_too() {
        let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        let got =
            joined(Cli::command(), words(&["everylayer", "serve", "--auto-truncate", "false"]));
        assert_eq!(got.words, words(&["everylayer", "serve", "--auto-truncate=false"]));
        let foreign =
            words(&["everylayer", "serve", "bert-as-service", "--auto-truncate", "false"]);
        assert_eq!(joined(Cli::command(), foreign.clone()).words, foreign);
    }
}
