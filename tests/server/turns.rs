//! Who asks for little does not wait for who asks for much, and work has its bounds.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Server, at_rest, post, within};

/// The longest that a small request took while `heavy` was under way, and how long that took.
fn beside(server: &Server, path: &'static str, heavy: Value) -> (Duration, Duration) {
    let address = server.address.clone();
    let small = json!({ "inputs": "a small one" });
    assert_eq!(server.post("/embed", &small).0, 200);
    let began = Instant::now();
    let heavy = std::thread::spawn(move || {
        assert_eq!(post(&address, path, &heavy).0, 200);
        began.elapsed()
    });
    within(Duration::from_secs(60), "the heavy request runs", || {
        server.metric("everylayer_running_texts") > 0
    });
    let (mut longest, mut count) = (Duration::ZERO, 0);
    while !heavy.is_finished() {
        let began = Instant::now();
        assert_eq!(server.post("/embed", &small).0, 200);
        // The last one may have had the device for itself.
        if !heavy.is_finished() {
            longest = longest.max(began.elapsed());
            count += 1;
        }
    }
    assert!(count > 5, "{count} small requests");
    (longest, heavy.join().unwrap())
}

#[test]
fn a_small_request_does_not_wait_for_a_large_one() {
    let server = Server::start(&[]);
    let texts = vec!["the quiet river bends ".repeat(25); 200];
    let (longest, all) = beside(&server, "/embed", json!({ "inputs": texts }));
    assert!(4 * longest < all, "{longest:?} beside {all:?}");
    // One text of many windows is no other thing.
    let text = "the quiet river bends ".repeat(3000);
    let (longest, all) =
        beside(&server, "/v1/layers", json!({ "input": text, "overflow": "window" }));
    assert!(4 * longest < all, "{longest:?} beside {all:?}");
}

#[test]
fn work_ends_when_its_client_leaves() {
    let server = Server::start(&[]);
    let text = "the quiet river bends ".repeat(20_000);
    let body = json!({ "input": text, "overflow": "window" }).to_string();
    let mut stream = TcpStream::connect(&server.address).unwrap();
    let head = format!("POST /v1/layers HTTP/1.1\r\nhost: {}\r\n", server.address);
    write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
    within(Duration::from_secs(60), "it runs", || server.metric("everylayer_running_texts") > 0);
    assert!(server.metric("everylayer_queue_tokens") > 50_000);
    drop(stream);
    let began = Instant::now();
    at_rest(&server.address);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(server.metric("everylayer_texts_total"), 0);
}

#[test]
fn a_request_is_bounded_by_its_work() {
    let server = Server::start(&["--max-request-tokens", "600"]);
    let words = |count: usize| "river ".repeat(count);
    assert_eq!(server.post("/embed", &json!({ "inputs": [words(250), words(250)] })).0, 200);
    let refused = |(status, answer): (u16, Value), part: &str| {
        assert_eq!(status, 413, "{answer}");
        assert!(answer.to_string().contains(part), "{answer}");
    };
    refused(server.post("/embed", &json!({ "inputs": vec![words(250); 3] })), "600");
    // Windows count with what they share.
    let windows = |count: usize, overflow: &str| {
        server.post("/v1/layers", &json!({ "input": words(count), "overflow": overflow }))
    };
    assert_eq!(windows(290, "window:20").0, 200);
    refused(windows(600, "window"), "windows");
    // And two that share nearly all are no windows.
    let (status, answer) = windows(290, "window:253");
    assert_eq!(status, 400, "{answer}");
    let said = answer.to_string();
    assert!(said.contains("window:222") && said.contains("overflow"), "{said}");
    assert_eq!(windows(260, "window:222").0, 200);
}
