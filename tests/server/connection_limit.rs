//! More clients than connections: those that ask are answered, those that say nothing are evicted.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::{Server, call, exchange, read};

/// A server of so many connections.
fn connections(count: &str) -> Server {
    Server::start(&["--max-connections", count])
}

/// What became of `clients` that connect together and work as `one` does.
fn together<T: Send>(clients: usize, one: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let one = &one;
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..clients).map(|i| scope.spawn(move || one(i))).collect();
        all.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// Asks on `stream`, which is kept, and whether it may be.
fn ask(stream: &mut TcpStream) -> Option<(u16, bool)> {
    let body = br#"{"inputs":"a text"}"#;
    write!(
        stream,
        "POST /embed HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .and_then(|()| stream.write_all(body))
    .ok()?;
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")?.parse().ok())?;
    stream.read_exact(&mut vec![0; length]).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, !head.contains("connection: close")))
}

#[test]
fn every_client_that_asks_is_answered() {
    let server = connections("16");
    let body = json!({ "inputs": "a text" }).to_string();
    // One request each, some of them a moment after they have connected.
    let statuses = together(128, |i| {
        let stream = TcpStream::connect(&server.address).unwrap();
        std::thread::sleep(Duration::from_millis(if i % 4 == 0 { 800 } else { 0 }));
        exchange(stream, "POST", "/embed", "", body.as_bytes()).map(|(status, ..)| status)
    });
    assert!(statuses.iter().all(|&status| status == Some(200)), "{statuses:?}");
    // Connections that are kept as long as the server keeps them.
    let answers = together(48, |_| {
        let mut stream = TcpStream::connect(&server.address).unwrap();
        let mut statuses = Vec::new();
        for _ in 0..4 {
            let answer = ask(&mut stream);
            statuses.push(answer.map(|(status, _)| status));
            if answer.is_none_or(|(_, kept)| !kept) {
                stream = TcpStream::connect(&server.address).unwrap();
            }
        }
        statuses
    });
    let answers = answers.concat();
    assert!(answers.iter().all(|&status| status == Some(200)), "{answers:?}");
}

#[test]
fn those_who_say_nothing_make_room() {
    let server = connections("8");
    let began = Instant::now();
    let mut silent: Vec<_> = (0..8).map(|_| TcpStream::connect(&server.address).unwrap()).collect();
    for stream in &mut silent[4..] {
        write!(stream, "POST /embed HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9999\r\n\r\n{{")
            .unwrap();
    }
    std::thread::sleep(Duration::from_millis(300));
    let body = json!({ "inputs": "a text" }).to_string();
    let statuses = together(16, |_| call(&server.address, "POST", "/embed", "", body.as_bytes()).0);
    assert_eq!(statuses, [200; 16]);
    // Sooner than the read timeout, which is all that ends them where nobody waits.
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
    // One that has begun to ask is told.
    let told = silent.into_iter().skip(4).filter_map(|stream| {
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        read(stream)
    });
    let told: Vec<_> = told.collect();
    assert!(!told.is_empty());
    for (status, head, _) in told {
        assert!(status == 503 && head.contains("retry-after: 1"), "{head}");
    }
}

#[test]
fn an_early_answer_is_not_lost_to_a_reset() {
    let server = Server::start(&["--api-key", "k", "--payload-limit", "100000"]);
    let large = json!({ "inputs": "a".repeat(12 << 20) }).to_string();
    // No key, and a body beyond the limit with one: neither is read, all of it is sent.
    for (head, want) in [("", 401), ("authorization: Bearer k\r\n", 413)] {
        let statuses = together(8, |_| {
            let mut stream = TcpStream::connect(&server.address).unwrap();
            let length = large.len();
            let lines = format!("host: localhost\r\ncontent-length: {length}\r\n{head}");
            write!(stream, "POST /embed HTTP/1.1\r\n{lines}\r\n").unwrap();
            let sent = stream.write_all(large.as_bytes()).is_ok();
            (sent, read(stream).map(|(status, ..)| status))
        });
        assert!(statuses.iter().all(|&one| one == (true, Some(want))), "{statuses:?}");
    }
}
