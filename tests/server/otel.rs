//! Spans that reach a collector.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use serde_json::json;

use crate::client::Server;

#[test]
fn spans_are_sent_to_the_collector() {
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", collector.local_addr().unwrap());
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in collector.incoming().take(20) {
            let mut stream = stream.unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let (mut all, mut part) = (Vec::new(), [0; 4096]);
            while let Ok(count @ 1..) = stream.read(&mut part) {
                all.extend(&part[..count]);
                let text = String::from_utf8_lossy(&all).to_lowercase();
                let head = text.find("\r\n\r\n");
                let length = text.split("content-length: ").nth(1);
                let length = length.and_then(|l| l.split("\r\n").next()?.parse::<usize>().ok());
                if let (Some(head), Some(length)) = (head, length)
                    && all.len() >= length + head + 4
                {
                    break;
                }
            }
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let _ = tell.send(all);
        }
    });
    let options = ["--otlp-endpoint", &endpoint, "--otlp-service-name", "our-vectors"];
    let mut server = Server::start(&options);
    let head = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";
    let body = json!({ "inputs": "a" }).to_string();
    assert_eq!(server.call("POST", "/embed", head, body.as_bytes()).0, 200);
    server.tell("TERM");
    assert_eq!(server.ended().code(), Some(0));
    let mut sent = Vec::new();
    while let Ok(part) = told.recv_timeout(Duration::from_secs(10)) {
        sent.extend(part);
        let holds = |what: &[u8]| sent.windows(what.len()).any(|w| w == what);
        let trace = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes();
        let names: [&[u8]; 6] =
            [b"POST /v1/traces", b"our-vectors", b"request", b"tokenize", b"batch", &trace];
        if names.iter().all(|name| holds(name)) {
            return;
        }
    }
    panic!("the spans did not come: {}", String::from_utf8_lossy(&sent));
}
