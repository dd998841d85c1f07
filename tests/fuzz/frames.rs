//! Wrong frames on both sockets of BERT-as-Service, at random.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::rng::Rng;
use crate::server::Server;
use crate::zmtp::{frame, message, wrong};

/// ZMTP 3.0: signature, version, mechanism, no server, filler.
fn greeting() -> Vec<u8> {
    let mut bytes = vec![0; 64];
    (bytes[0], bytes[9], bytes[10]) = (0xff, 0x7f, 3);
    bytes[12..16].copy_from_slice(b"NULL");
    bytes
}

fn ready(socket: &str) -> Vec<u8> {
    let mut body = b"\x05READY\x0bSocket-Type".to_vec();
    body.extend((socket.len() as u32).to_be_bytes());
    body.extend(socket.bytes());
    frame(4, &body)
}

/// A peer that has said who it is, as `socket`.
fn peer(address: &str, socket: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(&[greeting(), ready(socket)].concat()).unwrap();
    let mut theirs = [0; 64];
    stream.read_exact(&mut theirs).unwrap();
    read_frame(&mut stream);
    stream
}

/// A frame's flags and body.
fn read_frame(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    stream.read_exact(&mut head).unwrap();
    let length = match head[0] & 2 {
        0 => u64::from(head[1]),
        _ => {
            let mut rest = [0; 7];
            stream.read_exact(&mut rest).unwrap();
            u64::from_be_bytes([&[head[1]], &rest[..]].concat().try_into().unwrap())
        }
    };
    let mut body = vec![0; length as usize];
    stream.read_exact(&mut body).unwrap();
    (head[0], body)
}

/// The frames of the answer to `msg`.
fn encode(server: &Server, identity: &[u8], msg: &[u8]) -> Vec<Vec<u8>> {
    let mut sub = peer(&server.addresses[1], "SUB");
    sub.write_all(&frame(0, &[b"\x01", identity].concat())).unwrap();
    // The server must have read the subscription before it answers.
    std::thread::sleep(Duration::from_millis(50));
    let mut push = peer(&server.addresses[0], "PUSH");
    push.write_all(&message(&[identity, msg, b"7", b"2"])).unwrap();
    let mut frames = Vec::new();
    loop {
        let (flags, body) = read_frame(&mut sub);
        frames.push(body);
        if flags & 1 == 0 {
            return frames;
        }
    }
}

#[test]
fn wrong_frames_wedge_nobody() {
    let count = std::env::var("EVERYLAYER_FUZZ").map_or(5_000, |n| n.parse::<usize>().unwrap()) / 5;
    let words = ["bert-as-service", "-cpu", "-port", "0", "-port_out", "0", "-log", "off"];
    let mut server = Server::start(&words, 1);
    let texts = br#"["a sound text", "and another"]"#;
    let want = encode(&server, b"sound", texts);
    assert_eq!(want.len(), 4);
    let (files, mut memory) = (server.files(), server.memory());
    let mut rng = Rng(3);
    for i in 0..count {
        let at = rng.below(2);
        let address = &server.addresses[at];
        let mut stream = TcpStream::connect(address).unwrap();
        let socket = ["PUSH", "SUB"][if rng.once_in(10) { 1 - at } else { at }];
        let mut bytes = match rng.below(8) {
            0 => Vec::new(),
            1 => greeting(),
            2 => [greeting(), frame(4, b"\x05ERROR\x03bad")].concat(),
            _ => [greeting(), ready(socket)].concat(),
        };
        for _ in 0..=rng.below(3) {
            bytes.extend(wrong(&mut rng));
        }
        // It may have hung up already. Sometimes nothing of what it says is read.
        let _ = stream.write_all(&bytes);
        if rng.once_in(2) {
            let _ = stream.set_read_timeout(Some(Duration::from_millis(1)));
            let _ = stream.read(&mut [0; 4096]);
        }
        drop(stream);
        if i % 200 == 199 {
            assert!(server.is_alive(), "the server died at input {i}");
            assert_eq!(encode(&server, b"sound", texts), want, "after input {i}");
        }
        if i == count / 5 {
            memory = server.memory();
        }
    }
    assert_eq!(encode(&server, b"sound", texts), want);
    let config = encode(&server, b"sound", b"SHOW_CONFIG");
    assert!(serde_json::from_slice::<serde_json::Value>(&config[1]).is_ok());
    server.settles_at(files);
    let grown = server.memory().saturating_sub(memory);
    println!("{count} wrong peers; memory: {} MiB, {} MiB more", memory >> 20, grown >> 20);
    assert!(grown < 32 << 20, "memory grew by {grown} bytes");
}
