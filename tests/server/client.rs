//! A server of its own for a test, and an HTTP client that sends what it is told to, byte by byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A server of its own, ended when dropped.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: String,
}

impl Server {
    /// `serve` on the CPU with these options beside it.
    pub fn start(options: &[&str]) -> Self {
        Self::on(&[&["--device", "cpu"], options].concat())
    }

    /// `serve` with these options.
    pub fn on(options: &[&str]) -> Self {
        let options = [&["serve", "--port", "0"], options].concat();
        let (child, address) = spawn(&options, |line| {
            line.split_once("listening on http://").map(|(_, at)| at.to_owned())
        });
        Self { child, address }
    }

    pub fn call(&self, method: &str, path: &str, head: &str, body: &[u8]) -> Answer {
        call(&self.address, method, path, head, body)
    }

    pub fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        post(&self.address, path, body)
    }

    /// A number of `/metrics`; all with that name together.
    pub fn metric(&self, name: &str) -> u64 {
        metric(&self.address, name)
    }

    /// Open files of the process.
    pub fn files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// The most memory that the process has had, in bytes.
    pub fn peak(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// Sends a signal.
    pub fn tell(&self, name: &str) {
        signal(&self.child, name);
    }

    /// `serve` on the CPU, with a standard error that nobody reads once it listens.
    pub fn unread(options: &[&str]) -> (Self, BufReader<std::process::ChildStderr>) {
        let options = [&["serve", "--port", "0", "--device", "cpu"], options].concat();
        let find =
            |line: &str| line.split_once("listening on http://").map(|(_, at)| at.to_owned());
        let (child, address, lines) = start(&options, find);
        (Self { child, address }, lines)
    }

    /// Waits for the end, a minute at most.
    pub fn ended(&mut self) -> ExitStatus {
        ended(&mut self.child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the program until a line of its standard error is what `find` looks for.
pub fn spawn<T>(options: &[&str], find: impl FnMut(&str) -> Option<T>) -> (Child, T) {
    let (child, said, lines) = start(options, find);
    // What else it says must not fill the pipe.
    std::thread::spawn(move || lines.lines().for_each(drop));
    (child, said)
}

fn start<T>(
    options: &[&str],
    mut find: impl FnMut(&str) -> Option<T>,
) -> (Child, T, BufReader<std::process::ChildStderr>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_everylayer"))
        .args(options)
        .env_remove("EVERYLAYER_API_KEY")
        .env_remove("EVERYLAYER_DEVICE")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let said = lines.by_ref().lines().find_map(|line| find(&line.unwrap()));
    (child, said.expect("the server says where it listens"), lines)
}

pub fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Waits for the end, a minute at most.
pub fn ended(child: &mut Child) -> ExitStatus {
    let mut status = None;
    within(Duration::from_secs(60), "the process ends", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap()
}

/// Status, head and body.
pub type Answer = (u16, String, Vec<u8>);

/// One exchange on a connection of its own.
pub fn call(address: &str, method: &str, path: &str, head: &str, body: &[u8]) -> Answer {
    let stream = TcpStream::connect(address).unwrap();
    exchange(stream, method, path, head, body).expect("an answer has a head")
}

/// One exchange on `stream`; nothing where it breaks off.
pub fn exchange(
    mut stream: impl Read + Write,
    method: &str,
    path: &str,
    head: &str,
    body: &[u8],
) -> Option<Answer> {
    let length = body.len();
    let lines = "host: localhost\r\nconnection: close\r\n";
    write!(stream, "{method} {path} HTTP/1.1\r\n{lines}content-length: {length}\r\n{head}\r\n")
        .ok()?;
    // A server that refuses early may close before all is written.
    let _ = stream.write_all(body);
    answer(stream, method != "HEAD")
}

/// The answer on `stream`, to its end; nothing where it breaks off.
pub fn read(stream: impl Read) -> Option<Answer> {
    answer(stream, true)
}

/// The answer on `stream`, which ends before its body unless that `follows`.
fn answer(mut stream: impl Read, follows: bool) -> Option<Answer> {
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    let split = all.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&all[..split]).into_owned();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let mut body = all[split + 4..].to_vec();
    if follows && head.contains("transfer-encoding: chunked") {
        body = joined(&body)?;
    }
    let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")?.parse().ok());
    length
        .is_none_or(|length: usize| !follows || length == body.len())
        .then_some((status, head, body))
}

/// The chunks of a body; nothing where the last one is missing.
fn joined(mut chunks: &[u8]) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let end = chunks.windows(2).position(|w| w == b"\r\n")?;
        let length = std::str::from_utf8(&chunks[..end]).ok()?;
        let length = usize::from_str_radix(length, 16).ok()?;
        let chunk = chunks.get(end + 2..end + 2 + length)?;
        if length == 0 {
            return Some(all);
        }
        all.extend_from_slice(chunk);
        chunks = chunks.get(end + 4 + length..)?;
    }
}

pub fn post(address: &str, path: &str, body: &Value) -> (u16, Value) {
    let (status, _, body) = call(address, "POST", path, "", body.to_string().as_bytes());
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

/// A number of `/metrics`; all with that name together.
pub fn metric(address: &str, name: &str) -> u64 {
    let (status, _, body) = call(address, "GET", "/metrics", "", b"");
    assert_eq!(status, 200);
    let text = String::from_utf8(body).unwrap();
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        rest.starts_with(['{', ' ']).then(|| rest.rsplit(' ').next()?.parse::<u64>().ok())?
    });
    let values: Vec<u64> = values.collect();
    assert!(!values.is_empty(), "there is no {name} in\n{text}");
    values.iter().sum()
}

/// Waits until `done` says so, and fails after `limit`.
pub fn within(limit: Duration, what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until nothing is under way, waits or runs at `address`.
pub fn at_rest(address: &str) {
    within(Duration::from_secs(30), "nothing is under way", || {
        ["everylayer_requests_under_way", "te_queue_size", "everylayer_running_texts"]
            .iter()
            .all(|name| metric(address, name) == 0)
    });
}

/// All numbers of nested lists.
pub fn numbers(value: &Value) -> Vec<f32> {
    match value {
        Value::Array(all) => all.iter().flat_map(numbers).collect(),
        Value::Number(n) => vec![n.as_f64().unwrap() as f32],
        _ => panic!("not a number: {value}"),
    }
}

/// Notes where `got` is not `want`, within 1e-6.
pub fn check(what: &str, got: &[f32], want: &[f32], failures: &mut Vec<String>) {
    let far = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    if got.len() != want.len() || far > 1e-6 {
        failures.push(format!("{what}: {} numbers for {}, {far} apart", got.len(), want.len()));
    }
}
