//! The commands of README and `docs/`, run as they are written, page by page.
//!
//! A page has a folder of its own with the files that its commands name. `everylayer` is the binary of this
//! build, `cargo run --release --` the same. A `serve` stays up until the page ends, so that what asks it can
//! be on the page too.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{markdown, pages, root};

/// Commands that are not run here, by how they begin, and why.
const ELSEWHERE: &[(&str, &str)] = &[
    ("./test", "it runs this test"),
    ("web/build", "run by ./test before this"),
    ("cargo run --release --example ", "run by ./test, every example"),
    ("cargo run --release -p shader-stats", "run by ./test"),
    ("cargo install", "it would build all again"),
    ("cargo add", "it would change a manifest"),
    ("cargo doc", "run by ./test"),
    ("cargo run --release -- serve --web", "tests/web opens the page"),
    ("everylayer doctor", "minutes on software Vulkan; tests/cli/doctor.rs runs a part"),
    ("benches/", "measured by hand, dated in benches/results"),
    ("pip ", "tests/clients installs by name"),
    ("npm ", "tests/web and tests/clients install by name"),
    ("docker ", "there is no engine here"),
    ("kubectl ", "there is no cluster here"),
    ("systemctl ", "there is no systemd here"),
    ("hf ", "there is no network here"),
    ("everylayer embed --on ray", "python/tests/test_on_ray.py runs it"),
];

/// How long one command may take; a debug build is slow.
const PATIENCE: Duration = Duration::from_secs(240);

/// A folder with the files that the pages name, and the processes that a page has started.
struct Desk {
    folder: tempfile::TempDir,
    servers: Vec<Child>,
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let desk = Self { folder, servers: Vec::new() };
        let bin = desk.path("bin");
        fs::create_dir(&bin).unwrap();
        let everylayer = env!("CARGO_BIN_EXE_everylayer");
        std::os::unix::fs::symlink(everylayer, bin.join("everylayer")).unwrap();
        let cargo = "#!/bin/sh\n[ \"$1 $2 $3\" = 'run --release --' ] || exit 99\nshift 3\n\
                     exec everylayer \"$@\"\n";
        // A status of 400 and more must be a failure.
        let curl = "#!/bin/sh\nPATH=${PATH#*:} exec curl --noproxy '*' --fail-with-body \"$@\"\n";
        for (name, script) in [("cargo", cargo), ("curl", curl)] {
            fs::write(bin.join(name), script).unwrap();
            fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }

        let tiny = root().join("tests/fixtures/checkpoints/tiny-d16");
        let hub = desk.path("hub/models--BAAI--bge-small-en-v1.5");
        for name in ["my-bert", "legal-bert", "bert-base"] {
            copy(&tiny, &desk.path(name));
        }
        copy(&tiny, &hub.join("snapshots/0000000000000000000000000000000000000000"));
        fs::create_dir_all(hub.join("refs")).unwrap();
        fs::write(hub.join("refs/main"), "0".repeat(40)).unwrap();

        desk.write("lines.txt", "The bank by the river was closed.\nShe opened an account.\n");
        desk.write("docs.txt", "One text of some words.\nAnother text.\n");
        desk.write("pairs.jsonl", "{\"text\": \"a question\", \"text_pair\": \"an answer\"}\n");
        desk.write("docs.jsonl", "{\"body\": \"a document\"}\n{\"body\": \"another one\"}\n");
        desk.write("train.csv", "review,label\nlovely film,1\n\"dull, and long\",0\n");
        desk.write("corpus.csv", "text\na row\nanother row\n");
        let rows = (0..8).map(|i| format!("{{\"id\": {i}, \"title\": \"t{i}\", \"text\": \"row {i}\", \"body\": \"row {i}\"}}\n"));
        desk.write("corpus.jsonl", &rows.collect::<String>());
        // A Parquet file to read is one that was written.
        let made = "everylayer embed -q -i corpus.jsonl --keep id,body -o corpus.parquet";
        desk.run(made).unwrap();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn shell(&self, command: &str) -> Command {
        let mut shell = Command::new("bash");
        let path = std::env::var("PATH").unwrap_or_default();
        shell
            .args(["-o", "pipefail", "-c", command])
            .current_dir(self.folder.path())
            .env("PATH", format!("{}:{path}", self.path("bin").display()))
            .env("EVERYLAYER_DEVICE", "cpu")
            .env("HF_HUB_CACHE", self.path("hub"))
            .env("HF_HUB_OFFLINE", "1")
            .stdin(Stdio::null());
        shell
    }

    /// Runs `command` to its end.
    fn run(&self, command: &str) -> Result<(), String> {
        let log = self.path("log");
        let out = fs::File::create(&log).unwrap();
        let mut child =
            self.shell(command).stdout(out.try_clone().unwrap()).stderr(out).spawn().unwrap();
        let started = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return match status.success() {
                    true => Ok(()),
                    false => Err(format!("{status}: {}", fs::read_to_string(log).unwrap())),
                };
            }
            if started.elapsed() > PATIENCE {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("it runs for more than {} s", PATIENCE.as_secs()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts the server of `command` in place of the one before, and waits until it takes connections.
    fn serve(&mut self, command: &str) -> Result<(), String> {
        self.stop();
        let words: Vec<&str> = command.split_whitespace().collect();
        let value = |name: &str| {
            let at = words.iter().position(|word| *word == name)?;
            words.get(at + 1)?.parse::<u16>().ok()
        };
        let port = match words.contains(&"bert-as-service") {
            true => value("-port").unwrap_or(5555),
            false => value("--port").unwrap_or(3000),
        };
        let port = value("-http_port").unwrap_or(port);
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            println!("skipped: port {port} is taken, so `{command}` was not run");
            return Ok(());
        }
        let log = self.path("server-log");
        let out = fs::File::create(&log).unwrap();
        let command = format!("exec {command}");
        let child =
            self.shell(&command).stdout(out.try_clone().unwrap()).stderr(out).spawn().unwrap();
        self.servers.push(child);
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = self.servers.last_mut().unwrap().try_wait().unwrap();
            if ended.is_some() || started.elapsed() > PATIENCE {
                return Err(format!("it does not listen: {}", fs::read_to_string(log).unwrap()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn stop(&mut self) {
        for mut server in self.servers.drain(..) {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// The commands of a block: lines, a `\` at the end joining the next, quotes and heredocs the lines they
/// span.
fn commands(block: &str) -> Vec<String> {
    let (mut commands, mut open) = (Vec::new(), String::new());
    for line in block.lines() {
        if open.is_empty() && (line.trim().is_empty() || line.trim_start().starts_with('#')) {
            continue;
        }
        open += line;
        open.push('\n');
        let quotes = open.matches('\'').count() % 2 == 1 || open.matches('"').count() % 2 == 1;
        let heredoc = open.contains("<<'EOF'") && !open.contains("\nEOF\n");
        if !line.ends_with('\\') && !quotes && !heredoc {
            commands.push(std::mem::take(&mut open).trim().to_owned());
        }
    }
    assert!(open.is_empty(), "a command does not end: {open}");
    commands
}

#[test]
fn every_command_runs_as_it_is_written() {
    let mut desk = Desk::new();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for page in pages() {
        let name = page.file_name().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&page).unwrap();
        let (blocks, _) = markdown::blocks(&text);
        let shell = blocks.iter().filter(|block| matches!(block.language, "sh" | "bash"));
        for command in shell.flat_map(|block| commands(&block.text)) {
            if ELSEWHERE.iter().any(|(start, _)| command.starts_with(start)) {
                continue;
            }
            count += 1;
            let is_server = ["everylayer serve", "cargo run --release -- serve"]
                .iter()
                .any(|start| command.starts_with(start) && !command.contains("--help"));
            let ran = if is_server { desk.serve(&command) } else { desk.run(&command) };
            if let Err(why) = ran {
                wrong.push(format!("{name}: {command}\n  {}", why.trim()));
            }
        }
        desk.stop();
    }
    assert!(count >= 20, "only {count} commands were found");
    assert!(wrong.is_empty(), "{} of {count} commands fail:\n{}", wrong.len(), wrong.join("\n"));
    println!("{count} commands of README and docs ran as written");
}
