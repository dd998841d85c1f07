//! `everylayer completions`: what clap_complete generates, with files by their endings, the adapters
//! of this machine, and values in the shells for which it lists none.

use clap::{Arg, Command, CommandFactory};
use clap_complete::Shell;
use everylayer::Result;
use everylayer::output::Format;

use super::args::{Cli, CompletionsArgs, devices};
use super::info::adapters;
use super::terminal;

/// Files of texts.
const TEXTS: &[&str] = &["txt", "jsonl", "ndjson", "json", "csv", "tsv", "parquet", "gz", "zst"];

/// The endings of the files that an option of a command takes.
fn endings(command: &str, option: &str) -> Vec<String> {
    let owned = |endings: &[&str]| endings.iter().map(|&ending| ending.to_owned()).collect();
    match (command, option) {
        ("embed" | "tokenize", "input") | ("bench", "texts") => owned(TEXTS),
        ("embed", "output") => Format::ALL.map(|format| format.to_string()).to_vec(),
        ("embed", "rejects") => owned(&["jsonl"]),
        ("explore", "output") => owned(&["html"]),
        _ => Vec::new(),
    }
}

/// Runs the command.
pub fn run(args: &CompletionsArgs) -> Result<()> {
    terminal::print(script(args.shell, named(Cli::command())).as_bytes())
}

/// `command` whose `--device` knows the adapters of this machine, by number and first word.
fn named(command: Command) -> Command {
    let mut names: Vec<String> = Vec::new();
    for adapter in adapters() {
        let words = adapter.name.split(|c: char| !c.is_ascii_alphanumeric());
        let word = words.map(str::to_lowercase).find(|word| !word.is_empty());
        names.push(adapter.index.to_string());
        names.extend(word.filter(|word| !names.contains(word)));
    }
    command.mut_subcommands(move |sub| {
        let names = names.clone();
        sub.mut_args(move |arg| match arg.get_long() {
            Some("device") => arg.value_parser(devices(&names)),
            _ => arg,
        })
    })
}

/// The script for `shell`.
fn script(shell: Shell, mut command: Command) -> String {
    // Into memory: the generators panic where they cannot write.
    let mut bytes = Vec::new();
    clap_complete::generate(shell, &mut command, "everylayer", &mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    match shell {
        Shell::Bash => bash(&text, &command),
        Shell::Zsh => zsh(&text, &command),
        Shell::Fish => fish(&text, &command),
        Shell::PowerShell => powershell(&text, &command),
        _ => text,
    }
}

/// The options of each command that take a value, with how they are written.
fn options(command: &Command) -> impl Iterator<Item = (&str, &Arg, Vec<String>)> {
    command.get_subcommands().flat_map(|sub| {
        let valued = sub.get_arguments().filter(|arg| arg.get_action().takes_values());
        valued.filter_map(|arg| {
            let long = format!("--{}", arg.get_long()?);
            let short = arg.get_short().map(|short| format!("-{short}"));
            Some((sub.get_name(), arg, std::iter::once(long).chain(short).collect()))
        })
    })
}

/// Files by ending, and words that readline cuts at `=` and `:` made whole.
fn bash(text: &str, command: &Command) -> String {
    let mut out = text.to_owned();
    for (sub, arg, spellings) in options(command) {
        let endings = endings(sub, arg.get_long().unwrap_or_default());
        let place = format!("        everylayer__subcmd__{sub})\n");
        let Some(start) = out.find(&place).filter(|_| !endings.is_empty()) else {
            continue;
        };
        for spelling in spellings {
            let case = format!("                {spelling})\n");
            let all = "$(compgen -f \"${cur}\")";
            let Some(case) = out[start..].find(&case).map(|at| start + at) else {
                continue;
            };
            let Some(at) = out[case..].find(all).map(|at| case + at) else {
                continue;
            };
            let some = format!("$(_everylayer_files \"${{cur}}\" {})", endings.join(" "));
            out.replace_range(at..at + all.len(), &some);
        }
    }
    let out = out.replace("complete -F _everylayer ", "complete -F _everylayer_whole ");
    format!("{BASH}\n{out}")
}

const BASH: &str = r#"# Folders, and files that end in one of the endings after the first word.
_everylayer_files() {
    local cur=$1 ending
    shift
    compgen -d -- "${cur}"
    for ending in "$@"; do
        compgen -f -X "!*.${ending}" -- "${cur}"
    done
}

# `=` and `:` end a word of readline, and none of a call.
_everylayer_whole() {
    local cur=$2 prev=$3 line word kept
    line=${COMP_LINE:0:${COMP_POINT:-0}}
    word=${line##*[[:space:]]}
    if [[ ${word} == --*=* ]]; then
        prev=${word%%=*}
        cur=${word#*=}
    elif [[ ${word} == *:* ]]; then
        line=${line%"${word}"}
        line=${line%"${line##*[![:space:]]}"}
        prev=${line##*[[:space:]]}
        cur=${word}
    fi
    _everylayer "$1" "${cur}" "${prev}" 2>/dev/null
    kept=${cur%"${cur##*[=:]}"}
    COMPREPLY=("${COMPREPLY[@]#"${kept}"}")
}
"#;

/// Files by ending.
fn zsh(text: &str, command: &Command) -> String {
    let mut out = text.to_owned();
    for (sub, arg, spellings) in options(command) {
        let endings = endings(sub, arg.get_long().unwrap_or_default());
        let Some(start) = out.find(&format!("({sub})\n_arguments")).filter(|_| !endings.is_empty())
        else {
            continue;
        };
        for spelling in spellings {
            let begins = match spelling.starts_with("--") {
                true => format!("{spelling}=["),
                false => format!("{spelling}+["),
            };
            let Some(at) = out[start..].find(&begins).map(|at| start + at) else {
                continue;
            };
            let end = out[at..].find('\n').map_or(out.len(), |end| at + end);
            let line = out[at..end]
                .replace(":_files'", &format!(":_files -g \"*.({})\"'", endings.join("|")));
            out.replace_range(at..end, &line);
        }
    }
    out
}

/// Files by ending.
fn fish(text: &str, command: &Command) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let found = options(command).find_map(|(sub, arg, _)| {
            let long = arg.get_long().unwrap_or_default();
            let (of, name) = (format!("using_subcommand {sub}\""), format!(" -l {long} "));
            let endings = endings(sub, long);
            (!endings.is_empty() && line.contains(&of) && line.contains(&name)).then_some(endings)
        });
        match (found, line.strip_suffix(" -r -F")) {
            (Some(endings), Some(rest)) => {
                let endings: String = endings.iter().map(|ending| format!(" .{ending}")).collect();
                out.push_str(&format!("{rest} -x -a \"(__fish_complete_suffix{endings})\"\n"));
            }
            _ => out.push_str(&format!("{line}\n")),
        }
    }
    out
}

/// Values, of which clap_complete lists none there.
fn powershell(text: &str, command: &Command) -> String {
    let mut table = String::from("    $values = @{\n");
    for (sub, arg, spellings) in options(command) {
        let values = arg.get_possible_values();
        if values.is_empty() {
            continue;
        }
        let values: Vec<String> =
            values.iter().map(|value| format!("'{}'", value.get_name())).collect();
        for spelling in spellings {
            // Keys of a hash table differ in more than case: none of ours do not.
            table.push_str(&format!("        '{sub} {spelling}' = @({})\n", values.join(", ")));
        }
    }
    table.push_str("    }\n");
    let place = "    $completions = @(switch";
    text.replacen(place, &format!("{table}{POWERSHELL}\n{place}"), 1)
}

const POWERSHELL: &str = r#"    $words = @($commandElements | ForEach-Object { $_.ToString() })
    $before = if ($wordToComplete) { $words.Count - 2 } else { $words.Count - 1 }
    if ($before -ge 2 -and $values.ContainsKey("$($words[1]) $($words[$before])")) {
        return @($values["$($words[1]) $($words[$before])"] |
            Where-Object { $_ -like "$wordToComplete*" } |
            ForEach-Object { [CompletionResult]::new($_, $_, [CompletionResultType]::ParameterValue, $_) })
    }
"#;

#[cfg(test)]
mod tests {
    use super::*;

    /// The text that is changed is text that clap_complete still writes.
    #[test]
    fn files_and_values_are_in_the_scripts() {
        let of = |shell| script(shell, Cli::command());
        let bash = of(Shell::Bash);
        assert_eq!(bash.matches("$(_everylayer_files \"${cur}\" txt ").count(), 5);
        assert_eq!(bash.matches("$(_everylayer_files \"${cur}\" json ").count(), 2);
        assert!(bash.contains("complete -F _everylayer_whole"));
        assert_eq!(of(Shell::Zsh).matches("_files -g \"*.(txt|").count(), 5);
        assert_eq!(of(Shell::Fish).matches("(__fish_complete_suffix .txt ").count(), 3);
        let powershell = of(Shell::PowerShell);
        for part in ["'embed --pool' = @('model', 'tokens'", "'embed -f' = @('json'", "$before"] {
            assert!(powershell.contains(part), "{part}");
        }
    }
}
