//! BERT-as-Service over ZeroMQ: frames that are wrong, and the end. The real client is in
//! tests/clients.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Child;
use std::time::Duration;

use serde_json::Value;

use crate::client::{ended, signal, spawn};

/// A server with its two sockets.
struct Server {
    child: Child,
    input: String,
    output: String,
}

impl Server {
    fn start() -> Self {
        Self::with(&[])
    }

    /// With these options beside its own.
    fn with(options: &[&str]) -> Self {
        let own =
            ["serve", "bert-as-service", "-port", "0", "-port_out", "0", "-cpu", "-log", "off"];
        let (child, (input, output)) = spawn(&[&own, options].concat(), |line| {
            let (_, places) = line.split_once("listening on tcp://")?;
            let (input, rest) = places.split_once(" for requests, tcp://")?;
            Some((input.to_owned(), rest.split(' ').next()?.to_owned()))
        });
        Self { child, input, output }
    }

    fn push(&self) -> TcpStream {
        hello(&self.input, "PUSH")
    }

    /// Hears what is sent to `identity`.
    fn subscribe(&self, identity: &str) -> TcpStream {
        let mut stream = hello(&self.output, "SUB");
        let topic = [b"\x01", identity.as_bytes()].concat();
        send(&mut stream, &[&topic]);
        // The subscription is heard before the answer is sent.
        std::thread::sleep(Duration::from_millis(300));
        stream
    }

    fn files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection that has said who it is.
fn hello(address: &str, socket: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut greeting = [0; 64];
    (greeting[0], greeting[9], greeting[10]) = (0xff, 0x7f, 3);
    greeting[12..16].copy_from_slice(b"NULL");
    stream.write_all(&greeting).unwrap();
    let mut ready = b"\x05READY\x0bSocket-Type".to_vec();
    ready.extend((socket.len() as u32).to_be_bytes());
    ready.extend(socket.bytes());
    stream.write_all(&[4, ready.len() as u8]).unwrap();
    stream.write_all(&ready).unwrap();
    stream.read_exact(&mut greeting).unwrap();
    let (flags, body) = frame(&mut stream);
    assert!(flags == 4 && body.starts_with(b"\x05READY"), "{flags} {body:?}");
    stream
}

/// Sends a message of these frames.
fn send(stream: &mut TcpStream, frames: &[&[u8]]) {
    for (i, frame) in frames.iter().enumerate() {
        let more = u8::from(i + 1 < frames.len());
        match u8::try_from(frame.len()) {
            Ok(length) => stream.write_all(&[more, length]).unwrap(),
            Err(_) => {
                stream.write_all(&[more | 2]).unwrap();
                stream.write_all(&(frame.len() as u64).to_be_bytes()).unwrap();
            }
        }
        stream.write_all(frame).unwrap();
    }
}

fn frame(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    stream.read_exact(&mut head).unwrap();
    let mut length = usize::from(head[1]);
    if head[0] & 2 != 0 {
        let mut rest = [0; 8];
        rest[0] = head[1];
        stream.read_exact(&mut rest[1..]).unwrap();
        length = u64::from_be_bytes(rest) as usize;
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    (head[0], body)
}

fn message(stream: &mut TcpStream) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    loop {
        let (flags, body) = frame(stream);
        frames.push(body);
        if flags & 1 == 0 {
            return frames;
        }
    }
}

/// A right request, which is answered whatever came before.
fn works(server: &Server, identity: &str) {
    let mut answers = server.subscribe(identity);
    let mut requests = server.push();
    send(&mut requests, &[identity.as_bytes(), b"[\"some words\", \"more\"]", b"7", b"2"]);
    let answer = message(&mut answers);
    assert_eq!(answer.len(), 4);
    assert_eq!((&answer[0][..], &answer[3][..]), (identity.as_bytes(), &b"7"[..]));
    let info: Value = serde_json::from_slice(&answer[1]).unwrap();
    assert_eq!(info["dtype"], "float32", "{info}");
    assert_eq!(info["shape"], serde_json::json!([2, 384]));
    assert_eq!(answer[2].len(), 2 * 384 * 4);
}

#[test]
fn wrong_frames_wedge_nothing() {
    let server = Server::start();
    works(&server, "first");
    let files = server.files();
    let mut requests = server.push();
    let wrong: &[&[&[u8]]] = &[
        &[b"a"],
        &[b"a", b"[\"x\"]", b"1"],
        &[b"a", b"[\"x\"]", b"1", b"1", b"1"],
        &[b"a", b"[\"x\"]", b"one", b"1"],
        &[b"a", b"[\"x\"]", b"", b"1"],
        &[b"a", b"[\"x\"]", b"1", b"-1"],
        &[b"", b"", b"", b""],
        &[&[b'a'; 300], b"[\"x\"]", b"1", b"1"],
        &[&b"a"[..]; 100],
    ];
    for frames in wrong {
        send(&mut requests, frames);
    }
    // What has four frames and makes no sense is answered with what the client turns into an error.
    let mut answers = server.subscribe("b");
    for said in [&b"{}"[..], b"[", b"[1]", b"\xff\xfe", b"[]", b"[[\"a\"], \"b\"]"] {
        send(&mut requests, &[b"b", said, b"3", b"1"]);
        let answer = message(&mut answers);
        let info: Value = serde_json::from_slice(&answer[1]).unwrap();
        assert!(info["dtype"].as_str().unwrap().starts_with("error: "), "{said:?}: {info}");
    }
    // Greetings that are none, frames that are never sent, and lengths that are too much.
    for noise in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 64], &[0; 200], b""] {
        for address in [&server.input, &server.output] {
            let mut stream = TcpStream::connect(address).unwrap();
            let _ = stream.write_all(noise);
        }
    }
    let mut huge = server.push();
    huge.write_all(&[2]).unwrap();
    huge.write_all(&u64::MAX.to_be_bytes()).unwrap();
    let mut half = server.push();
    half.write_all(&[1, 200]).unwrap();
    half.write_all(b"only this").unwrap();
    let mut topics = hello(&server.output, "SUB");
    for _ in 0..100 {
        send(&mut topics, &[b"\x01", b"\x07", b""]);
    }
    works(&server, "after");
    drop((requests, answers, huge, half, topics));
    crate::client::within(Duration::from_secs(20), "files are closed", || server.files() <= files);
    works(&server, "last");
}

#[test]
fn answers_are_for_the_one_who_asked() {
    let server = Server::start();
    // All that PUB would send: every topic, and a beginning of the other's.
    let mut nosy = hello(&server.output, "SUB");
    for topic in [&b"\x01"[..], b"\x01s", b"\x01some", b"\x01somebody-else"] {
        send(&mut nosy, &[topic]);
    }
    works(&server, "somebody");
    // The first that it hears is its own.
    let mut requests = server.push();
    send(&mut requests, &[b"somebody-else", b"[\"mine\"]", b"9", b"1"]);
    let heard = message(&mut nosy);
    assert_eq!((&heard[0][..], &heard[3][..]), (&b"somebody-else"[..], &b"9"[..]));
}

#[test]
fn only_where_it_is_allowed_a_client_ends_the_server() {
    for (allowed, flag) in [(false, "-show_tokens_to_client"), (true, "-allow_terminate")] {
        let mut server = Server::with(&["-host", "0.0.0.0", flag]);
        let mut requests = server.push();
        send(&mut requests, &[b"0", b"TERMINATION", b"0", b"0"]);
        if allowed {
            assert_eq!(ended(&mut server.child).code(), Some(0));
        } else {
            works(&server, "still");
        }
    }
}

/// Whether the server has ended the connection, which is waited for.
fn is_left(mut stream: TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    match stream.read_to_end(&mut Vec::new()) {
        Ok(_) => true,
        Err(e) => e.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn peers_that_say_nothing_whole_are_left() {
    let server = Server::with(&["-read_timeout", "1"]);
    let mut answers = server.subscribe("me");
    let mut requests = server.push();
    send(&mut requests, &[b"a message of one frame"]);
    let mut left: Vec<_> = [&server.input, &server.output]
        .into_iter()
        .flat_map(|address| {
            let silent = TcpStream::connect(address).unwrap();
            let mut half = TcpStream::connect(address).unwrap();
            half.write_all(&[0xff; 30]).unwrap();
            let mut message = hello(address, "PUSH");
            message.write_all(&[1, 200]).unwrap();
            message.write_all(b"only this").unwrap();
            [silent, half, hello(address, "PUSH"), message]
        })
        .collect();
    // A message that has begun has as long as one that is the first.
    let mut begun = server.push();
    send(&mut begun, &[b"a message of one frame"]);
    begun.write_all(&[1]).unwrap();
    left.push(begun);
    let kept = left.into_iter().map(is_left).filter(|left| !left).count();
    assert_eq!(kept, 0, "connections are kept");
    // Those that have sent one stay.
    send(&mut requests, &[b"me", b"[\"some words\"]", b"5", b"1"]);
    assert_eq!(message(&mut answers)[3], b"5");
}

#[test]
fn the_longest_silent_makes_room_and_no_one_with_a_request() {
    let server = Server::with(&["-max_connections", "4"]);
    // Two that have said something, and nothing since.
    let idle = [server.subscribe("idle"), server.push()];
    let mut answers = server.subscribe("busy");
    let mut requests = server.push();
    let texts = serde_json::to_vec(&vec!["words of a text ".repeat(20); 3000]).unwrap();
    send(&mut requests, &[b"busy", &texts, b"1", b"3000"]);
    let began = std::time::Instant::now();
    works(&server, "late");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    answers.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    assert_eq!(message(&mut answers)[2].len(), 3000 * 384 * 4);
    assert!(idle.into_iter().all(is_left));
}

#[test]
fn it_ends_when_told_and_finishes_what_it_accepted() {
    for way in ["SIGTERM", "TERMINATION"] {
        let mut server = Server::start();
        let mut answers = server.subscribe("me");
        let mut requests = server.push();
        let texts = serde_json::to_vec(&vec!["words of a text that takes a while"; 2000]).unwrap();
        send(&mut requests, &[b"me", &texts, b"1", b"2000"]);
        // It is there before the end is: they come by one connection, or the signal comes later.
        match way {
            "SIGTERM" => {
                std::thread::sleep(Duration::from_millis(300));
                signal(&server.child, "TERM");
            }
            _ => send(&mut requests, &[b"0", b"TERMINATION", b"0", b"0"]),
        }
        let answer = message(&mut answers);
        assert_eq!(answer[2].len(), 2000 * 384 * 4, "{way}");
        assert_eq!(ended(&mut server.child).code(), Some(0), "{way}");
    }
}
