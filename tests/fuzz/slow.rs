//! Crowds of connections that say nothing, or say it slowly: others are still answered.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::server::Server;

/// What one of the crowd says before it falls silent.
const BEGINNINGS: [&[u8]; 4] = [
    b"",
    b"POST /embed HT",
    b"POST /embed HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n",
    b"POST /embed HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{\"inputs\":",
];

/// What this process and the server may have open, less what they need besides.
fn most() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|l| l.starts_with("Max open files")).unwrap();
    line.split_whitespace()
        .nth(3)
        .unwrap()
        .parse::<usize>()
        .map_or(100_000, |n| n.saturating_sub(300))
}

#[test]
fn a_crowd_of_slow_connections_shuts_nobody_out() {
    let wanted = std::env::var("EVERYLAYER_SLOW").map_or(2_000, |n| n.parse::<usize>().unwrap());
    let count = wanted.min(most());
    let mut server = Server::http(&["--read-timeout", "5"]);
    let want = server.sound();
    let (files, memory) = (server.files(), server.memory());
    let began = Instant::now();
    let (mut crowd, mut slowest) = (Vec::with_capacity(count), Duration::ZERO);
    for i in 0..count {
        let mut stream = TcpStream::connect(&server.addresses[0]).unwrap();
        // It may have been shown out already, for others to come in.
        let _ = stream.write_all(BEGINNINGS[i % BEGINNINGS.len()]);
        crowd.push(stream);
        if i % 500 == 499 {
            let asked = Instant::now();
            assert_eq!(server.sound(), want, "with {i} slow connections");
            slowest = slowest.max(asked.elapsed());
        }
    }
    let opened = began.elapsed();
    let held = server.files();
    println!(
        "{count} slow connections ({wanted} wanted) in {:.1} s, {held} files open; a sound request took at most {} ms",
        opened.as_secs_f64(),
        slowest.as_millis()
    );
    // Where all connections are taken, one is free once its connection was silent for three seconds.
    assert!(slowest < Duration::from_secs(5), "a sound request took {slowest:?}");
    // Patience runs out for all of them, however they began.
    server.settles_at(files + 1);
    for stream in &mut crowd {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(!rest.starts_with(b"HTTP/1.1 200"), "half a request was answered");
    }
    drop(crowd);
    assert!(server.is_alive());
    assert_eq!(server.sound(), want);
    let grown = server.memory().saturating_sub(memory);
    println!("memory: {} MiB, {} MiB more", memory >> 20, grown >> 20);
    assert!(grown < 64 << 20, "memory grew by {grown} bytes");
}
