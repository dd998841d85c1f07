//! Damaged requests to every route, over connections that are kept.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::damage::damaged;
use crate::rng::Rng;
use crate::server::{Connection, Server};

/// Connections at once.
const CLIENTS: u64 = 8;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |n| n.parse().expect("a number"))
}

#[test]
fn damaged_requests_are_refused_and_leave_nothing_behind() {
    let count = number("EVERYLAYER_FUZZ", 5_000);
    let mut server = Server::http(&["--payload-limit", "100000", "--max-client-batch-size", "64"]);
    let want = server.sound();
    // What the first requests take stays.
    run(&server, 0xfeed, count / 10);
    let (files, memory) = (server.files(), server.memory());
    let seen = run(&server, 1, count);
    println!("{count} damaged requests: {seen:?}");
    assert!(server.is_alive(), "the server died");
    assert_eq!(server.sound(), want, "a sound request is answered otherwise than before");
    server.settles_at(files);
    let grown = server.memory().saturating_sub(memory);
    println!("memory: {} MiB, {} MiB more than before", memory >> 20, grown >> 20);
    // The allocator keeps what a larger batch needed; a leak of a request's body would be 20 times this.
    assert!(grown < 64 << 20, "memory grew by {grown} bytes");
}

/// Sends `count` damaged requests; how often each status came.
fn run(server: &Server, seed: u64, count: u64) -> BTreeMap<u16, u64> {
    let all = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let all = &all;
            scope.spawn(move || {
                let seen = one(server, seed * 1000 + client, count / CLIENTS);
                let mut all = all.lock().unwrap();
                seen.into_iter().for_each(|(status, n)| *all.entry(status).or_default() += n);
            });
        }
    });
    all.into_inner().unwrap()
}

fn one(server: &Server, seed: u64, count: u64) -> BTreeMap<u16, u64> {
    let (mut rng, mut seen) = (Rng(seed), BTreeMap::new());
    let mut connection = Connection::open(&server.addresses[0]);
    for i in 0..count {
        let (path, body) = damaged(&mut rng);
        let said = || format!("{seed}/{i} {path} {}", String::from_utf8_lossy(&body));
        let answer = connection.post(path, &body).unwrap_or_else(|e| panic!("{e}: {}", said()));
        *seen.entry(answer.status).or_default() += 1;
        let text = || String::from_utf8_lossy(&answer.body).into_owned();
        // 424 is the answer of routes for models of another kind, and elsewhere a fault of the model.
        let other = ["/rerank", "/predict", "/embed_sparse"].contains(&path);
        match answer.status {
            200 => assert!(serde_json::from_slice::<serde_json::Value>(&answer.body).is_ok()),
            400 | 413 | 422 | 404 => {}
            424 if other => {}
            status => panic!("{status} {}: {}", text(), said()),
        }
        if answer.status != 200 {
            let told: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            let told = [&told["error"], &told["error"]["message"]];
            assert!(told.iter().any(|t| t.is_string()), "{}: {}", text(), said());
        }
        if !answer.stays {
            connection = Connection::open(&server.addresses[0]);
        }
    }
    seen
}
