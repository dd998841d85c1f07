//! Fuzz targets of what clients send, in process: bodies to every route, frames of ZeroMQ. The
//! harness is that of `tests/fuzz`.

#[path = "../../tests/fuzz/damage.rs"]
mod damage;
#[path = "../../tests/fuzz/zmtp.rs"]
mod zmtp;

use std::path::Path;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use tower::ServiceExt;

use super::{Service, Settings, bert, http};
use crate::fuzz::harness::fuzz;
use crate::fuzz::mutate;
use crate::fuzz::rng::{self, Rng};
use crate::model::directory::Directory;
use crate::quote;
use crate::server::api::bert::Sequences;
use crate::server::api::body::{self, Items};
use crate::server::core::error::ApiError;
use crate::server::transport::zmq::frames;
use crate::{Device, Encoder, LoadOptions};
use damage::damaged;

#[test]
fn fuzz_http_bodies() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let open = || {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pipelines/mean");
        let options = LoadOptions::default().device(Device::Cpu);
        Encoder::load_blocking(&Directory::open(folder)?, &options)
    };
    let settings = Settings { payload_limit: 100_000, max_client_batch: 64, ..Settings::default() };
    let models = vec![("tiny".into(), "tiny".into(), vec![Box::new(open) as _])];
    let service = Service::host(models, settings, bert::Config::default()).unwrap();
    let router = http::router(&service);
    fuzz("http_bodies", |rng| {
        let (path, mut body) = damaged(rng);
        if rng.once_in(4) {
            long(rng, &mut body);
        }
        let request = Request::post(path).header("host", "localhost").body(Body::from(body));
        let answer = runtime.block_on(router.clone().oneshot(request.unwrap())).unwrap();
        if let Some(error) = answer.extensions().get::<ApiError>() {
            assert!(error.status() != 500, "{}", error.message);
            let said = [&error.message, error.field.as_ref().unwrap_or(&error.message)];
            said.into_iter().for_each(|said| is_short(said));
        }
    });
}

/// Until a message begins, and for its parts.
const TIMES: (Option<Duration>, Duration) = (None, Duration::from_secs(9));

/// What no message of ours has in it, and what is written in its place.
const STRANGE: [(&str, &str); 3] = [("Ж", "Ж"), ("\u{9b}", "\\u009b"), ("\u{202e}", "\\u202e")];

/// Makes a name or a string long.
fn long(rng: &mut Rng, body: &mut Vec<u8>) {
    let quotes: Vec<usize> = (0..body.len()).filter(|&at| body[at] == b'"').collect();
    if !quotes.is_empty() {
        let at = rng.pick(&quotes) + 1;
        let before = if rng.once_in(2) { "" } else { *rng.pick(&["weighted=", "window:", "0,"]) };
        let text = [before, &rng.pick(&STRANGE).0.repeat(1 + rng.below(1000))].concat();
        body.splice(at..at, text.into_bytes());
    }
}

/// Holds a message to 200 characters of its client's text, and to what is shown.
fn is_short(said: &str) {
    let characters =
        |(_, shown): &(&str, &str)| said.matches(shown).count() * shown.chars().count();
    let quoted: usize = STRANGE.iter().map(characters).sum();
    assert!(quoted <= 2 * quote::MOST, "{quoted} characters: {said}");
    assert!(!said.chars().any(quote::is_hidden) && said.chars().count() < 700, "{said:?}");
}

#[test]
fn fuzz_frames() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    fuzz("frames", |rng| {
        let bytes: Vec<u8> = (0..=rng.below(3)).flat_map(|_| zmtp::wrong(rng)).collect();
        let mut rest = &bytes[..];
        // Every message takes at least the two bytes of a frame.
        for _ in 0..=bytes.len() / 2 {
            let Ok(message) = runtime.block_on(frames::receive(&mut rest, 100_000, TIMES, None))
            else {
                return;
            };
            for frame in message.0.into_iter().flatten() {
                let _ = body::read_any::<Items<Sequences>>(&frame);
            }
        }
        assert!(rest.is_empty(), "{} bytes are left", rest.len());
    });
}
