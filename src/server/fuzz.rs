//! Fuzz targets of what clients send, in process: bodies to every route, frames of ZeroMQ. The
//! harness is that of `tests/fuzz`.

#[path = "../../tests/fuzz/damage.rs"]
mod damage;
#[path = "../../tests/fuzz/harness.rs"]
mod harness;
#[path = "../../tests/fuzz/memory.rs"]
mod memory;
#[path = "../../tests/fuzz/mutate.rs"]
mod mutate;
#[path = "../../tests/fuzz/rng.rs"]
mod rng;
#[path = "../../tests/fuzz/zmtp.rs"]
mod zmtp;

use std::path::Path;

use axum::body::Body;
use axum::http::Request;
use tower::ServiceExt;

use super::{Service, Settings, bert, http};
use crate::model::directory::Directory;
use crate::server::api::bert::Sequences;
use crate::server::api::body::{self, Items};
use crate::server::core::error::Refusal;
use crate::server::transport::zmq::frames;
use crate::{Device, Encoder, LoadOptions};
use damage::damaged;
use harness::fuzz;

#[global_allocator]
static ALLOCATOR: memory::Counted = memory::Counted;

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
        let (path, body) = damaged(rng);
        let request = Request::post(path).header("host", "localhost").body(Body::from(body));
        let answer = runtime.block_on(router.clone().oneshot(request.unwrap())).unwrap();
        if let Some(refusal) = answer.extensions().get::<Refusal>() {
            assert!(refusal.status() != 500, "{}", refusal.message);
        }
    });
}

#[test]
fn fuzz_frames() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    fuzz("frames", |rng| {
        let bytes: Vec<u8> = (0..=rng.below(3)).flat_map(|_| zmtp::wrong(rng)).collect();
        let mut rest = &bytes[..];
        // Every message takes at least the two bytes of a frame.
        for _ in 0..=bytes.len() / 2 {
            let Ok(message) = runtime.block_on(frames::receive(&mut rest, 100_000, None)) else {
                return;
            };
            for frame in message.0.into_iter().flatten() {
                let _ = body::read_any::<Items<Sequences>>(&frame);
            }
        }
        assert!(rest.is_empty(), "{} bytes are left", rest.len());
    });
}
