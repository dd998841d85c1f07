//! Clients that leave, stall, send halves or too much; and the end under load.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Server, at_rest, exchange, numbers, read, within};

/// Sends the head of a request whose body is `length` bytes, and `part` of it.
fn begin(server: &Server, length: usize, part: &str) -> TcpStream {
    let mut stream = TcpStream::connect(&server.address).unwrap();
    write!(
        stream,
        "POST /embed HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{part}"
    )
    .unwrap();
    stream
}

/// Nothing under way, and no more open files than before.
fn nothing_leaks(server: &Server, files: usize) {
    at_rest(&server.address);
    within(Duration::from_secs(10), "files are closed", || server.files() <= files);
    let (status, answer) = server.post("/embed", &json!({ "inputs": "after all that" }));
    assert_eq!((status, numbers(&answer).len()), (200, 384));
}

/// Open files once the server has served, and rests.
fn files(server: &Server) -> usize {
    assert_eq!(server.post("/embed", &json!({ "inputs": "before" })).0, 200);
    at_rest(&server.address);
    std::thread::sleep(Duration::from_millis(200));
    server.files()
}

#[test]
fn clients_that_leave_leave_nothing() {
    let server = Server::start(&[]);
    let files = files(&server);
    let body = json!({ "inputs": vec!["some words that nobody waits for"; 64] }).to_string();
    for round in 0..40 {
        let mut stream = begin(&server, body.len(), &body);
        // Some leave at once, some while their texts wait or run.
        std::thread::sleep(Duration::from_millis(round % 8));
        if round % 2 == 0 {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        let _ = stream.flush();
    }
    nothing_leaks(&server, files);
}

#[test]
fn halves_of_requests_are_given_up() {
    // The flag by its former name.
    let server = Server::start(&["--patience", "1"]);
    let files = files(&server);
    let began = Instant::now();
    // Half a body, half a head, no head, and a body that breaks off.
    let bodies: Vec<_> = (0..50).map(|_| begin(&server, 1000, "{\"inputs\": ")).collect();
    let mut heads: Vec<_> = (0..50).map(|_| TcpStream::connect(&server.address).unwrap()).collect();
    for (i, stream) in heads.iter_mut().enumerate().filter(|(i, _)| i % 2 == 0) {
        write!(stream, "POST /embed HTTP/1.1\r\nx-{i}: ").unwrap();
    }
    for _ in 0..20 {
        drop(begin(&server, 1000, "{\"inputs\": "));
    }
    // Others are served meanwhile.
    assert_eq!(server.post("/embed", &json!({ "inputs": "meanwhile" })).0, 200);
    for stream in bodies {
        let (status, head, _) = read(stream).expect("an answer");
        assert_eq!(status, 408, "{head}");
    }
    for stream in heads {
        // Closed, with or without a word.
        let _ = read(stream);
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    nothing_leaks(&server, files);
}

#[test]
fn a_body_that_trickles_has_an_end() {
    let server = Server::start(&["--read-timeout", "1"]);
    let mut stream = begin(&server, 100_000, "{\"inputs\": \"");
    let began = Instant::now();
    // Each byte comes in time, all of them never.
    while began.elapsed() < Duration::from_secs(15) && stream.write_all(b"a").is_ok() {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    at_rest(&server.address);
}

#[test]
fn bodies_over_the_limit_are_refused_unread() {
    let server = Server::start(&["--payload-limit", "10000"]);
    let files = files(&server);
    let large = json!({ "inputs": "a".repeat(20_000) }).to_string();
    for path in ["/embed", "/v1/embeddings", "/v1/layers", "/tokenize", "/encode"] {
        assert_eq!(server.call("POST", path, "", large.as_bytes()).0, 413, "{path}");
    }
    // A length that is only promised, and one that is not told.
    let mut stream = begin(&server, usize::MAX >> 1, "{");
    let (status, ..) = read(&mut stream).expect("an answer");
    assert_eq!(status, 413);
    let mut stream = TcpStream::connect(&server.address).unwrap();
    write!(stream, "POST /embed HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n")
        .unwrap();
    let part = "a".repeat(1000);
    for _ in 0..20_000 {
        write!(stream, "3e8\r\n{part}\r\n").expect("the connection is not reset");
    }
    // No reset overtakes the answer, though the body is not taken in.
    let mut head = [0; 12];
    stream.read_exact(&mut head).expect("an answer");
    assert_eq!(&head, b"HTTP/1.1 413");
    nothing_leaks(&server, files);
}

#[test]
fn what_is_no_http_is_hung_up_on() {
    let server = Server::start(&["--read-timeout", "1"]);
    let files = files(&server);
    for noise in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /embed HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST /embed HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 7\r\n\r\nabcde",
        b"POST /embed HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET /\x00 HTTP/1.1\r\n\r\n",
        &[b'a'; 100_000],
    ] {
        let mut stream = TcpStream::connect(&server.address).unwrap();
        let _ = stream.write_all(noise);
        if let Some((status, ..)) = read(stream) {
            assert!((400..500).contains(&status) || status == 505, "{status}");
        }
    }
    nothing_leaks(&server, files);
}

#[test]
fn an_answer_that_nobody_reads_is_given_up() {
    let server = Server::start(&["--read-timeout", "1"]);
    let files = files(&server);
    // Some 25 MB of answer, more than the system's buffers take.
    let texts = vec!["many words of one text ".repeat(40); 6];
    let body = json!({ "input": texts, "outputs": [{ "layers": "all", "pool": "tokens" }] });
    let body = body.to_string();
    let mut stream = TcpStream::connect(&server.address).unwrap();
    let length = body.len();
    write!(
        stream,
        "POST /v1/layers HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    // The connection, which is still open here, is closed there.
    within(Duration::from_secs(30), "the answer is made", || {
        server.metric("te_request_success") == 2
    });
    within(Duration::from_secs(10), "the connection is closed", || server.files() <= files);
    drop(stream);
    nothing_leaks(&server, files);
}

#[test]
fn told_to_end_it_finishes_what_it_accepted() {
    let mut server = Server::start(&["--grace", "60"]);
    // Some seconds of work on a processor.
    let body = json!({ "inputs": vec!["words of a text ".repeat(60); 64] }).to_string();
    let (accepted, late) = std::thread::scope(|scope| {
        let ask = || {
            let stream = TcpStream::connect(&server.address).unwrap();
            exchange(stream, "POST", "/embed", "", body.as_bytes())
        };
        let accepted: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        within(Duration::from_secs(30), "all are accepted", || {
            server.metric("te_queue_size") + server.metric("everylayer_running_texts") > 192
        });
        let address = server.address.clone();
        // Clients that keep coming, each on a connection of its own.
        let late: Vec<_> = (0..4)
            .map(|_| {
                let address = address.clone();
                scope.spawn(move || {
                    let mut got = Vec::new();
                    while got.len() < 5000 {
                        let Ok(stream) = TcpStream::connect(&address) else { break };
                        let body = b"{\"inputs\": \"late\"}";
                        got.extend(exchange(stream, "POST", "/embed", "", body).map(|a| a.0));
                        std::thread::sleep(Duration::from_millis(2));
                    }
                    got
                })
            })
            .collect();
        server.tell("TERM");
        let accepted: Vec<_> = accepted.into_iter().map(|t| t.join().unwrap()).collect();
        let late: Vec<u16> = late.into_iter().flat_map(|t| t.join().unwrap()).collect();
        (accepted, late)
    });
    let status = server.ended();
    for answer in accepted {
        let (status, _, body) = answer.expect("what was accepted is answered");
        let answer: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((status, numbers(&answer).len()), (200, 64 * 384));
    }
    assert!(late.iter().all(|s| matches!(s, 200 | 503)), "{late:?}");
    assert!(late.iter().filter(|&&s| s == 503).count() > 10, "{late:?}");
    assert_eq!(status.code(), Some(0), "{status}");
}

#[test]
fn a_unix_socket_is_served_and_taken_away() {
    use std::os::unix::net::UnixStream;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("everylayer.sock");
    let words = ["serve", "--device", "cpu", "--uds-path", path.to_str().unwrap()];
    for _ in 0..2 {
        let (mut child, ()) =
            crate::client::spawn(&words, |line| line.contains("listening on unix:").then_some(()));
        let stream = UnixStream::connect(&path).unwrap();
        let (status, ..) = exchange(stream, "POST", "/embed", "", b"{\"inputs\": \"a\"}").unwrap();
        assert_eq!(status, 200);
        crate::client::signal(&child, "TERM");
        assert_eq!(crate::client::ended(&mut child).code(), Some(0));
        assert!(!path.exists());
        // A socket that was left behind is in nobody's way.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
    }
}
