//! Completions, and what stands on a screen of 80 columns.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::calls::{done, everylayer, file, run};

/// Whether `shell` is on this machine.
fn is_there(shell: &str) -> bool {
    let mut command = Command::new(shell);
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// What a bash offers after `line`, in `folder`.
fn bash(folder: &Path, line: &str) -> Vec<String> {
    let script = folder.join("completions.bash");
    let words = format!(
        r#"source {script}
        COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}
        # As readline cuts it.
        read -ra COMP_WORDS <<< "$(sed 's/[=:]/ & /g' <<< "$COMP_LINE")"
        [[ $COMP_LINE == *[[:space:]=:] ]] && COMP_WORDS+=("")
        COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        of=$(complete -p everylayer | sed 's/.*-F \([^ ]*\).*/\1/')
        $of everylayer "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"
        printf '%s\n' "${{COMPREPLY[@]}}""#,
        script = script.display()
    );
    let mut command = Command::new("bash");
    let got = done(command.args(["--norc", "-c", &words]).current_dir(folder).output().unwrap());
    assert_eq!(got.err, "", "{line}");
    let mut offered: Vec<String> = got.text().lines().map(str::to_owned).collect();
    offered.sort();
    offered
}

#[test]
fn a_bash_completes_values_and_files() {
    if !is_there("bash") {
        println!("skipped: no bash");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    file(at, "completions.bash", run(&["completions", "bash"]).text());
    file(at, "lines.txt", "");
    file(at, "photo.png", "");
    file(at, "vectors.npy", "");
    std::fs::create_dir(at.join("folder")).unwrap();
    for (line, want) in [
        ("everylayer embed --pool mean-", &["mean-max", "mean-sqrt"][..]),
        ("everylayer embed -p weig", &["weighted-mean"]),
        // Readline puts what is offered after its `:` and `=`.
        ("everylayer embed -p words:fi", &["first", "first-last"]),
        ("everylayer embed --pool=po", &["pooler"]),
        ("everylayer embed --combine s", &["scalar-mix=", "stack", "sum"]),
        ("everylayer embed --layers ", &["all", "blocks", "last"]),
        ("everylayer bench -l b", &["blocks"]),
        ("everylayer embed --format js", &["json", "jsonl"]),
        ("everylayer tokenize -f ", &["json", "jsonl"]),
        ("everylayer embed --precision u", &["ubinary"]),
        ("everylayer embed --dtype f", &["f16", "f32"]),
        ("everylayer embed --overflow w", &["window"]),
        ("everylayer info --device c", &["cpu"]),
        ("everylayer embed --input ", &["folder", "lines.txt"]),
        ("everylayer embed -o v", &["vectors.npy"]),
        ("everylayer serve --log ", &["debug", "error", "info", "off", "warn"]),
        ("everylayer embed --normal", &["--normalize"]),
        ("everylayer comple", &["completions"]),
    ] {
        assert_eq!(bash(at, line), want, "{line}");
    }
    let devices = bash(at, "everylayer serve --device ");
    for device in ["auto", "cpu", "gpu"] {
        assert!(devices.iter().any(|offered| offered == device), "{devices:?}");
    }
}

/// The script is one that the shell reads, and it holds values and endings.
#[test]
fn other_shells_read_their_scripts() {
    for (shell, parts) in [
        ("zsh", &["words\\:first-last", "*.(txt|"]),
        ("fish", &["mean-sqrt", "__fish_complete_suffix .txt"]),
        ("powershell", &["'embed --pool' = @('model'", "'info --device' = @('auto'"]),
    ] {
        let script = run(&["completions", shell]);
        for part in parts {
            assert!(script.text().contains(part), "{shell}: {part}");
        }
        if shell == "powershell" || !is_there(shell) {
            println!("skipped: no {shell} to read its script with");
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), "script", script.text());
        let read = Command::new(shell).args(["-n", &path]).output().unwrap();
        assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    }
}

#[test]
fn eighty_columns_hold_everything() {
    let mut calls = vec![vec!["--help"], vec!["info"]];
    for command in
        ["embed", "tokenize", "explore", "info", "doctor", "wgsl", "bench", "serve", "completions"]
    {
        let built = match command {
            "doctor" | "wgsl" => cfg!(feature = "gpu"),
            "serve" => cfg!(feature = "server"),
            _ => true,
        };
        if built {
            calls.push(vec![command, "--help"]);
            calls.push(vec![command, "-h"]);
        }
    }
    for columns in [Some("80"), None, Some("200")] {
        for words in &calls {
            let mut command = everylayer();
            match columns {
                Some(columns) => command.env("COLUMNS", columns),
                None => command.env_remove("COLUMNS"),
            };
            let got = done(command.args(words).output().unwrap());
            for line in got.text().lines() {
                assert!(line.chars().count() <= 80, "{words:?}: {line}");
            }
        }
    }
}

#[test]
fn tokens_are_a_table_on_a_terminal() {
    if !is_there("script") {
        println!("skipped: no `script` that makes a terminal");
        return;
    }
    let terminal = |words: &str| {
        let call = format!("{} tokenize -q {words}", env!("CARGO_BIN_EXE_everylayer"));
        let shown = Command::new("script").args(["-qec", &call, "/dev/null"]).output().unwrap();
        assert!(shown.status.success());
        String::from_utf8(shown.stdout).unwrap().replace('\r', "")
    };
    let table = terminal("'Unaffable day'");
    let lines: Vec<Vec<&str>> = table.lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["1:", "Unaffable", "day", "(6", "tokens)"]);
    assert_eq!(lines[1], ["#", "token", "id", "chars", "word"]);
    assert_eq!(lines[2], ["0", "[CLS]", "101", "-", "-"]);
    assert_eq!(lines[4], ["2", "##ffa", "20961", "3..6", "Unaffable"]);
    assert_eq!(lines[6][1..], ["day", "2154", "10..13", "day"]);
    assert!(terminal("-f json day").starts_with("{\"model\":"));
}
