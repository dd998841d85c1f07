//! One text: what the server adds to the library's call, over a connection that is kept.
//!
//! `EVERYLAYER_QUIET=1` says that the machine is quiet: then the bar is the issue's, a millisecond at the
//! median; elsewhere another process may take as long as it likes, and only a stall is caught.
#![cfg(all(feature = "server", feature = "bundled", target_os = "linux"))]

#[path = "fuzz/server.rs"]
#[allow(dead_code, reason = "the other tests use the rest")]
mod server;

use std::time::{Duration, Instant};

use everylayer::{Capture, Device, Encoder, LoadOptions};
use server::{Connection, Server};

const TEXT: &str = "How does a contextual embedding of one sentence get to its client?";
const ROUNDS: usize = 400;

fn at(times: &mut [Duration], part: f64) -> Duration {
    times.sort_unstable();
    times[((times.len() - 1) as f64 * part) as usize]
}

#[test]
fn the_server_adds_less_than_a_millisecond_to_one_text() {
    let server = Server::http(&[]);
    let encoder =
        Encoder::open_blocking("bundled", &LoadOptions::default().device(Device::Cpu)).unwrap();
    let capture = Capture::default();
    let mut connection = Connection::open(&server.addresses[0]);
    let embed = format!("{{\"inputs\":\"{TEXT}\"}}");
    let openai = format!("{{\"input\":\"{TEXT}\",\"encoding_format\":\"base64\"}}");
    let layers = format!("{{\"input\":\"{TEXT}\",\"outputs\":[{{}}]}}");
    let routes = [("/embed", embed), ("/v1/embeddings", openai), ("/v1/layers", layers)];
    let (mut alone, mut served) = (Vec::new(), vec![Vec::new(); routes.len()]);
    // In turns, so that what else the machine does falls on both alike; the first are not counted.
    for round in 0..ROUNDS + 20 {
        let began = Instant::now();
        encoder.embed_blocking([TEXT], &capture).unwrap();
        let took = began.elapsed();
        for ((path, body), times) in routes.iter().zip(&mut served) {
            let began = Instant::now();
            let answer = connection.post(path, body.as_bytes()).unwrap();
            assert_eq!(answer.status, 200);
            if round >= 20 {
                times.push(began.elapsed());
            }
        }
        if round >= 20 {
            alone.push(took);
        }
    }
    let micros = |d: Duration| d.as_micros();
    let library = at(&mut alone, 0.5);
    println!("library: p50 {} us, p99 {} us", micros(library), micros(at(&mut alone, 0.99)));
    let quiet = std::env::var_os("EVERYLAYER_QUIET").is_some();
    let bar = if quiet { Duration::from_millis(1) } else { Duration::from_millis(20) };
    for ((path, _), times) in routes.iter().zip(&mut served) {
        let (half, most) = (at(times, 0.5), at(times, 0.99));
        let added = half.saturating_sub(library);
        println!(
            "{path}: p50 {} us, p99 {} us, {} us added",
            micros(half),
            micros(most),
            micros(added)
        );
        assert!(added < bar, "{path} adds {added:?} to one text");
    }
}
