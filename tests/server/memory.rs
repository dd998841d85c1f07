//! What a server holds for its clients: bodies, answers, lines of its log; and what it says of its
//! health meanwhile.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Server, numbers, read, within};

/// The head of a request whose body is `length` bytes, and `body`.
fn send(server: &Server, path: &str, length: usize, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(&server.address).unwrap();
    let lines = format!("host: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n");
    write!(stream, "POST {path} HTTP/1.1\r\n{lines}\r\n{body}").unwrap();
    stream
}

#[test]
fn a_large_answer_is_held_against_the_bound_until_it_is_read() {
    let server = Server::start(&["--read-timeout", "3", "--max-result-bytes", "12000000"]);
    // 6 texts of 256 tokens, 3 states of 384 numbers: 7 MB of vectors, some 20 MB of JSON.
    let texts = vec!["many words of one text ".repeat(80); 6];
    let outputs = json!([{ "layers": "0..2", "pool": "tokens" }]);
    let body = json!({ "input": texts, "outputs": outputs, "tokens": true }).to_string();
    let unread = send(&server, "/v1/layers", body.len(), &body);
    within(Duration::from_secs(60), "it is made", || {
        server.metric("te_request_success") == 1 && server.metric("te_queue_size") == 0
    });
    let ask = || read(send(&server, "/v1/layers", body.len(), &body));
    assert_eq!(ask().unwrap().0, 429, "the first is not read");
    // It is given up, and its place is free.
    let mut answer = None;
    within(Duration::from_secs(60), "the first is given up", || {
        answer = ask().filter(|(status, ..)| *status == 200);
        answer.is_some()
    });
    drop(unread);
    let (_, head, body) = answer.unwrap();
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    let answer: Value = serde_json::from_slice(&body).unwrap();
    let results = &answer["outputs"][0]["results"];
    assert_eq!(numbers(&results[5]["vectors"]).len(), 3 * 256 * 384);
    assert_eq!(answer["texts"][5]["tokens"].as_array().unwrap().len(), 256);
}

#[test]
fn bodies_are_bounded_together() {
    let server = Server::start(&["--read-timeout", "2", "--max-body-bytes", "1000000"]);
    let body = json!({ "inputs": "a", "other": "x".repeat(900_000) }).to_string();
    let ask = |body: &str| {
        let began = Instant::now();
        let (status, head, _) = read(send(&server, "/embed", body.len(), body)).expect("an answer");
        (status, head, began.elapsed())
    };
    assert_eq!(ask(&body).0, 200);
    // One that stops in its middle holds the room, until its time is over.
    let half = send(&server, "/embed", body.len(), &body[..500_000]);
    std::thread::sleep(Duration::from_millis(300));
    let small = json!({ "inputs": "a" }).to_string();
    assert_eq!(ask(&small).0, 200, "a small one needs none");
    let (status, head, waited) = ask(&body);
    assert!(
        status == 200 && waited > Duration::from_secs(1)
            || status == 429 && head.contains("retry-after: 1"),
        "{waited:?} {head}"
    );
    drop(half);
    within(Duration::from_secs(10), "the room is free", || ask(&body).0 == 200);
}

#[test]
fn a_body_makes_room_once_its_texts_are_tokens() {
    let server = Server::start(&["--read-timeout", "2", "--max-body-bytes", "1000000"]);
    let body = |texts: usize| {
        let (inputs, other) =
            (vec!["many words of one text ".repeat(60); texts], "x".repeat(800_000));
        json!({ "inputs": inputs, "other": other }).to_string()
    };
    // Seconds of work, whose body is not needed for it.
    let (large, small) = (body(80), body(0).replace("[]", "\"a\""));
    let busy = send(&server, "/embed", large.len(), &large);
    within(Duration::from_secs(30), "it is queued", || server.metric("te_queue_size") > 20);
    let ask = || read(send(&server, "/embed", small.len(), &small)).expect("an answer").0;
    assert_eq!(ask(), 200);
    assert!(server.metric("te_queue_size") > 0, "the first is still at work");
    // Nor does a client keep it that leaves, whole or half.
    for part in [small.len() / 2, small.len()] {
        for _ in 0..10 {
            drop(send(&server, "/embed", small.len(), &small[..part]));
        }
    }
    within(Duration::from_secs(20), "the room is free", || ask() == 200);
    drop(busy);
}

#[test]
fn tokens_are_counted_as_results() {
    let server = Server::start(&["--max-result-bytes", "30000000", "--read-timeout", "5"]);
    // 500,000 tokens, of which the answer says some 30 MB.
    let body = json!({ "inputs": "!".repeat(500_000) }).to_string();
    let ask = || read(send(&server, "/tokenize", body.len(), &body)).expect("an answer");
    let unread = send(&server, "/tokenize", body.len(), &body);
    within(Duration::from_secs(30), "it is made", || server.metric("te_request_success") == 1);
    assert_eq!(ask().0, 429, "the first is not read");
    let (status, head, answer) = read(unread).unwrap();
    assert!(status == 200 && head.contains("transfer-encoding: chunked"), "{head}");
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer[0].as_array().unwrap().len(), 500_002);
    assert_eq!(ask().0, 200);
    // Those of `/v1/layers`, where they are told.
    let server = Server::start(&["--max-result-bytes", "500000"]);
    let ask = |tokens: bool| {
        let texts = vec!["many words of one text ".repeat(80); 16];
        server.post("/v1/layers", &json!({ "input": texts, "tokens": tokens })).0
    };
    assert_eq!((ask(false), ask(true)), (200, 413));
}

#[test]
fn many_who_want_tokens_take_no_more_than_there_is() {
    let server = Server::start(&["--max-result-bytes", "150000000"]);
    let body = json!({ "inputs": "!".repeat(1_000_000) }).to_string();
    let sequences = json!({ "texts": vec!["!".repeat(250_000); 4] }).to_string();
    let before = server.peak();
    let statuses = std::thread::scope(|scope| {
        let ask = |i: usize| {
            let (path, body) =
                if i.is_multiple_of(4) { ("/encode", &sequences) } else { ("/tokenize", &body) };
            read(send(&server, path, body.len(), body)).expect("an answer").0
        };
        let all: Vec<_> = (0..40).map(|i| scope.spawn(move || ask(i))).collect();
        all.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<u16>>()
    });
    assert!(statuses.iter().all(|status| [200, 429].contains(status)), "{statuses:?}");
    assert!(statuses.contains(&200));
    let grown = server.peak() - before;
    // The results, the bodies, and what is worked on.
    assert!(grown < 400 << 20, "{} MB more", grown >> 20);
}

#[test]
fn a_log_that_nobody_reads_holds_up_nothing() {
    let (server, unread) = Server::unread(&["--log", "info"]);
    let mut stream = TcpStream::connect(&server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let path = "long".repeat(40);
    stream.set_nodelay(true).unwrap();
    for i in 0..1200 {
        let head = format!("GET /{path}/{i} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap_or_else(|e| panic!("answer {i}: {e}"));
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut body).unwrap();
    }
    drop((server, unread));
}

#[test]
fn health_waits_for_no_queue_and_asks_for_little_work() {
    let server = Server::start(&[]);
    let health = || {
        let began = Instant::now();
        (server.call("GET", "/health", "", b"").0, began.elapsed())
    };
    for _ in 0..50 {
        assert_eq!(health().0, 200);
    }
    let texts = server.metric("everylayer_texts_total");
    assert!(texts <= 1, "{texts} texts were run to say it");
    // Seconds of work.
    let body = json!({ "inputs": vec!["words of a text ".repeat(60); 200] }).to_string();
    let busy: Vec<_> = (0..3).map(|_| send(&server, "/embed", body.len(), &body)).collect();
    within(Duration::from_secs(30), "they wait", || server.metric("te_queue_size") > 100);
    for _ in 0..10 {
        let (status, took) = health();
        assert!(status == 200 && took < Duration::from_secs(1), "{status} {took:?}");
    }
    assert!(server.metric("te_queue_size") > 0, "it was under load all the time");
    drop(busy);
}

#[test]
fn hung_up_on_it_finishes_what_it_accepted() {
    // A server that `nohup` started goes on, and so do the children of a test that it started.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.map_or(0, |mask| u64::from_str_radix(mask.trim(), 16).unwrap());
    if ignored & 1 == 1 {
        println!("skipped: SIGHUP is ignored here, as under nohup");
        return;
    }
    let mut server = Server::start(&[]);
    let body = json!({ "inputs": vec!["words of a text ".repeat(60); 32] }).to_string();
    let accepted = send(&server, "/embed", body.len(), &body);
    within(Duration::from_secs(30), "it is accepted", || {
        server.metric("te_queue_size") + server.metric("everylayer_running_texts") > 0
    });
    server.tell("HUP");
    assert_eq!(read(accepted).expect("an answer").0, 200);
    assert_eq!(server.ended().code(), Some(0));
}
