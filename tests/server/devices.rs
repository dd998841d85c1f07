//! Devices that are lost, several at once, and one that is slow: simulated by executors around the
//! CPU's.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use everylayer::execute::{Around, Execute, NotFinite, Sink, Task};
use everylayer::server::batcher::Open;
use everylayer::server::http::{self, Listener};
use everylayer::server::{Service, Settings, bert};
use everylayer::{Capture, Device, Encoder, Error, ErrorKind, LoadOptions, Recording, Result};
use serde_json::json;
use tokio::sync::watch;

use crate::client::{Server, at_rest, call, metric, numbers, post, within};

/// What a test does to a device.
#[derive(Default)]
struct Fate {
    /// Runs that are lost from now on.
    losses: AtomicUsize,
    /// Whether it cannot be opened.
    shut: AtomicUsize,
    /// How often it was opened, and how many runs it did.
    opened: AtomicUsize,
    runs: AtomicUsize,
    /// Runs wait while it is true.
    held: Mutex<bool>,
    released: Condvar,
}

impl Fate {
    fn hold(&self, on: bool) {
        *self.held.lock().unwrap() = on;
        self.released.notify_all();
    }
}

/// The CPU executor under a fate.
struct Fated {
    inner: Arc<dyn Execute>,
    fate: Arc<Fate>,
}

impl Around for Fated {
    fn inner(&self) -> &dyn Execute {
        self.inner.as_ref()
    }

    fn run<'a>(
        &'a self,
        recording: &'a Recording,
        sink: Sink<'a>,
    ) -> Task<'a, Result<Option<NotFinite>>> {
        Box::pin(async move {
            let held = self.fate.held.lock().unwrap();
            drop(self.fate.released.wait_while(held, |held| *held).unwrap());
            let lose = |left: usize| left.checked_sub(1);
            if self.fate.losses.fetch_update(SeqCst, SeqCst, lose).is_ok() {
                return Err(Error::new(ErrorKind::DeviceLost, "the device is lost (a test)"));
            }
            self.fate.runs.fetch_add(1, SeqCst);
            self.inner.run(recording, sink).await
        })
    }
}

/// A server in this process, on devices under these fates.
struct Local {
    address: String,
    stop: watch::Sender<bool>,
    runtime: Option<tokio::runtime::Runtime>,
    served: Option<tokio::task::JoinHandle<()>>,
}

impl Local {
    fn start(fates: &[Arc<Fate>], settings: Settings) -> Self {
        let open = |fate: &Arc<Fate>| -> Open {
            let fate = Arc::clone(fate);
            Box::new(move || {
                if fate.shut.load(SeqCst) > 0 {
                    return Err(Error::new(ErrorKind::NoAdapter, "there is no adapter (a test)"));
                }
                fate.opened.fetch_add(1, SeqCst);
                let options = LoadOptions::default().device(Device::Cpu);
                let fate = Arc::clone(&fate);
                Ok(Encoder::open_blocking("bundled", &options)?
                    .with_executor(|inner| Arc::new(Fated { inner, fate })))
            })
        };
        let opens = fates.iter().map(open).collect();
        let models = vec![("bundled".to_owned(), "bundled".to_owned(), opens)];
        let service = Service::host(models, settings, bert::Config::default()).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let (stop, stopped) = watch::channel(false);
        let listener = runtime.block_on(Listener::tcp("127.0.0.1:0".parse().unwrap())).unwrap();
        let address = listener.place().replace("http://", "");
        let served = runtime.spawn(http::serve(service, listener, stopped));
        Self { address, stop, runtime: Some(runtime), served: Some(served) }
    }

    fn health(&self) -> u16 {
        let (status, _, body) = call(&self.address, "GET", "/health", "", b"");
        println!("health: {status} {}", String::from_utf8_lossy(&body));
        status
    }

    /// Ends the server, which must not take long.
    fn end(mut self) {
        self.stop.send(true).unwrap();
        let (runtime, served) = (self.runtime.take().unwrap(), self.served.take().unwrap());
        let ended = async { tokio::time::timeout(Duration::from_secs(20), served).await };
        runtime.block_on(ended).expect("the server ends").unwrap();
    }
}

fn text(i: usize) -> String {
    format!("text {i} of some words {}", "and more ".repeat(i % 5))
}

/// `count` clients at once, a text each; what each was told, in order.
fn together(address: &str, count: usize) -> Vec<(u16, Vec<f32>)> {
    std::thread::scope(|scope| {
        let ask = |i| {
            scope.spawn(move || {
                let (status, answer) = post(address, "/embed", &json!({ "inputs": text(i) }));
                (status, if status == 200 { numbers(&answer) } else { Vec::new() })
            })
        };
        let threads: Vec<_> = (0..count).map(ask).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// What the library gives for the same.
fn alone(count: usize) -> Vec<(u16, Vec<f32>)> {
    let options = LoadOptions::default().device(Device::Cpu);
    let encoder = Encoder::open_blocking("bundled", &options).unwrap();
    let result = encoder.embed_blocking((0..count).map(text), &Capture::default()).unwrap();
    (0..count).map(|i| (200, result.vector(i, 0, 0).unwrap().to_vec())).collect()
}

#[test]
fn requests_outlive_a_device_that_is_lost_once() {
    let fate = Arc::new(Fate::default());
    let server = Local::start(&[Arc::clone(&fate)], Settings::default());
    assert_eq!(server.health(), 200);
    fate.losses.store(1, SeqCst);
    // The same bits as the library, by the way.
    assert_eq!(together(&server.address, 12), alone(12));
    assert_eq!(fate.opened.load(SeqCst), 2);
    assert_eq!(metric(&server.address, "everylayer_device_rebuilt_total"), 1);
    assert_eq!(metric(&server.address, "everylayer_device_lost"), 0);
    assert_eq!(metric(&server.address, "te_request_failure"), 0);
    assert_eq!(server.health(), 200);
    at_rest(&server.address);
    server.end();
}

#[test]
fn a_device_that_stays_lost_is_told_of_and_waited_for() {
    let fate = Arc::new(Fate::default());
    let server = Local::start(&[Arc::clone(&fate)], Settings::default());
    fate.losses.store(usize::MAX, SeqCst);
    let got = together(&server.address, 12);
    assert!(got.iter().all(|(status, _)| *status == 503), "{got:?}");
    let (status, head, _) = call(&server.address, "GET", "/health", "", b"");
    assert_eq!(status, 503);
    assert!(head.contains("retry-after"), "{head}");
    assert_eq!(metric(&server.address, "everylayer_device_lost"), 1);
    at_rest(&server.address);
    // Then it cannot even be opened.
    fate.shut.store(1, SeqCst);
    fate.losses.store(0, SeqCst);
    let (status, answer) = post(&server.address, "/v1/embeddings", &json!({ "input": "a" }));
    assert_eq!((status, &answer["error"]["type"]), (503, &json!("server_error")), "{answer}");
    // Routes that need no device go on.
    assert_eq!(post(&server.address, "/tokenize", &json!({ "inputs": "a" })).0, 200);
    fate.shut.store(0, SeqCst);
    within(Duration::from_secs(30), "the device is back", || server.health() == 200);
    assert_eq!(together(&server.address, 3), alone(3));
    at_rest(&server.address);
    server.end();
}

#[test]
fn one_device_of_two_is_enough() {
    let [lost, well] = [Arc::new(Fate::default()), Arc::new(Fate::default())];
    let server = Local::start(&[Arc::clone(&lost), Arc::clone(&well)], Settings::default());
    assert_eq!(together(&server.address, 24), alone(24));
    lost.losses.store(usize::MAX, SeqCst);
    for _ in 0..5 {
        assert_eq!(together(&server.address, 12), alone(12));
    }
    // A worker that waits for its device once took the calls that were for the other.
    (0..20).for_each(|_| assert_eq!(server.health(), 200));
    within(Duration::from_secs(30), "the loss was noticed", || {
        together(&server.address, 12);
        metric(&server.address, "everylayer_device_lost") == 1
    });
    at_rest(&server.address);
    server.end();
}

#[test]
fn both_devices_work_off_one_queue() {
    let fates = [Arc::new(Fate::default()), Arc::new(Fate::default())];
    let settings = Settings { max_batch_tokens: Some(64), ..Settings::default() };
    let server = Local::start(&fates, settings);
    assert_eq!(together(&server.address, 48), alone(48));
    let runs: Vec<usize> = fates.iter().map(|fate| fate.runs.load(SeqCst)).collect();
    assert!(runs.iter().all(|&runs| runs > 0), "{runs:?}");
    server.end();
}

#[test]
fn the_processor_and_software_vulkan_share_a_queue() {
    if cfg!(not(feature = "gpu")) || everylayer_has_no_adapter() {
        println!("skipped: there is no adapter beside the CPU executor");
        return;
    }
    let server = Server::on(&["--device", "cpu", "--device", "gpu", "--batch-tokens", "64"]);
    let want = alone(24);
    for _ in 0..4 {
        for (got, want) in together(&server.address, 24).iter().zip(&want) {
            assert_eq!(got.0, 200);
            let far = got.1.iter().zip(&want.1).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            // The bar of a state against another implementation; vectors of length 1 are closer.
            assert!(far < 5e-5, "{far}");
        }
    }
    let (_, _, body) = call(&server.address, "GET", "/metrics", "", b"");
    let text = String::from_utf8(body).unwrap();
    let ran: Vec<&str> =
        text.lines().filter(|l| l.starts_with("everylayer_device_texts_total{")).collect();
    assert!(ran.len() == 2 && ran.iter().all(|l| !l.ends_with(" 0")), "{ran:?}");
}

fn everylayer_has_no_adapter() -> bool {
    let options = LoadOptions::default().device(Device::Gpu);
    match Encoder::open_blocking("bundled", &options) {
        Ok(_) => false,
        Err(e) if e.kind() == ErrorKind::NoAdapter => true,
        Err(e) => panic!("{e}"),
    }
}

#[test]
fn a_busy_device_holds_up_no_route_and_a_full_queue_says_so() {
    let fate = Arc::new(Fate::default());
    let settings = Settings { max_queue: 4, ..Settings::default() };
    let server = Local::start(&[Arc::clone(&fate)], settings);
    let address = server.address.as_str();
    fate.hold(true);
    std::thread::scope(|scope| {
        let ask = |i: usize| {
            let run = move || post(address, "/embed", &json!({ "inputs": text(i) })).0;
            scope.spawn(run)
        };
        let running = ask(0);
        within(Duration::from_secs(10), "a text runs", || {
            metric(address, "everylayer_running_texts") == 1
        });
        let waiting: Vec<_> = (1..5).map(ask).collect();
        within(Duration::from_secs(10), "four wait", || metric(address, "te_queue_size") == 4);
        let body = json!({ "inputs": "one more" }).to_string();
        let (status, head, _) = call(address, "POST", "/embed", "", body.as_bytes());
        assert_eq!(status, 429);
        assert!(head.contains("retry-after: 1"), "{head}");
        let (status, answer) = post(address, "/v1/embeddings", &json!({ "input": "one more" }));
        assert_eq!((status, &answer["error"]["type"]), (429, &json!("rate_limit_error")));
        assert_eq!(metric(address, "everylayer_overloaded_total"), 2);
        assert_eq!(post(address, "/tokenize", &json!({ "inputs": "a" })).0, 200);
        fate.hold(false);
        assert_eq!(running.join().unwrap(), 200);
        assert!(waiting.into_iter().all(|thread| thread.join().unwrap() == 200));
    });
    at_rest(address);
    server.end();
}

#[test]
fn texts_of_a_client_that_left_are_not_run() {
    use std::io::Write;

    let fate = Arc::new(Fate::default());
    let server = Local::start(&[Arc::clone(&fate)], Settings::default());
    let address = server.address.as_str();
    fate.hold(true);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| post(address, "/embed", &json!({ "inputs": "first" })).0);
        within(Duration::from_secs(10), "a text runs", || {
            metric(address, "everylayer_running_texts") == 1
        });
        let body = json!({ "inputs": vec!["waits"; 20] }).to_string();
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        let length = body.len();
        write!(
            stream,
            "POST /embed HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        within(Duration::from_secs(10), "they wait", || metric(address, "te_queue_size") == 20);
        drop(stream);
        within(Duration::from_secs(10), "the client is missed", || {
            metric(address, "everylayer_requests_under_way") == 1
        });
        fate.hold(false);
        assert_eq!(first.join().unwrap(), 200);
    });
    at_rest(address);
    assert_eq!(metric(address, "everylayer_abandoned_total"), 20);
    assert_eq!(metric(address, "everylayer_texts_total"), 1);
    server.end();
}
