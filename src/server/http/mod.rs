//! HTTP/1.1 over TCP or a Unix socket: connections from their beginning to their end.
//!
//! Routes are axum's, in `routes.rs`; what they do is in the files of their dialects. TLS is a proxy's
//! matter. Connections are served on hyper itself: who may sit, and for how long nothing may come or be
//! taken, is not axum's to bound.

pub mod accept;
mod answer;
mod coding;
mod crowd;
mod listener;
mod patient;
mod routes;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use axum::Router;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::sync::watch;
use tower::ServiceExt;
use tracing::Instrument;

pub use answer::{Answer, Dialect, aside, empty, of_bytes, of_json, parse};
pub use listener::Listener;

use super::batcher::Client;
use super::refusal::Refusal;
use super::service::Service;
use answer::refused;
use crowd::Crowd;
use patient::Patient;
use routes::{Guest, router};

/// Serves until `stop` says so: then new work gets 503, and accepted work is finished.
pub async fn serve(service: Arc<Service>, listener: Listener, mut stop: watch::Receiver<bool>) {
    let crowd = Crowd::new(service.settings.max_connections);
    let graceful = GracefulShutdown::new();
    let router = router(&service);
    // One future from beginning to end: connections that keep coming must not begin it anew.
    let over = async {
        ended(&mut stop).await;
        service.close();
        drained(&service).await;
    };
    tokio::pin!(over);
    loop {
        let accept = async {
            let stream = listener.accept().await?;
            Ok::<_, std::io::Error>((stream, crowd.seat().await))
        };
        let (stream, seated) = tokio::select! {
            biased;
            () = &mut over => break,
            accepted = accept => match accepted {
                Ok(accepted) => accepted,
                Err(e) => {
                    // Out of file descriptors: those who are here must leave first.
                    tracing::warn!(error = %e, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let guest = Guest { client: service.client(), seat: Arc::clone(&seated.seat) };
        let (shared, router) = (Arc::clone(&service), router.clone());
        let answer = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            let (service, router) = (Arc::clone(&shared), router.clone());
            let client = guest.client;
            request.extensions_mut().insert(guest.clone());
            async move { Ok::<_, Infallible>(reply(&service, router, client, request).await) }
        });
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(service.settings.patience);
        builder.max_buf_size(64 << 10);
        let stream = TokioIo::new(Patient::new(stream, service.settings.patience));
        let connection = graceful.watch(builder.serve_connection(stream, answer));
        tokio::spawn(async move {
            tokio::select! {
                ended = connection => if let Err(e) = ended {
                    tracing::debug!(error = %e, "a connection ended early");
                },
                () = seated.seat.shown_out() => tracing::debug!("a silent connection made room"),
            }
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(Duration::from_secs(2), graceful.shutdown()).await;
    service.models.iter().for_each(|model| model.batcher.close());
}

async fn ended(stop: &mut watch::Receiver<bool>) {
    while !*stop.borrow_and_update() {
        if stop.changed().await.is_err() {
            return;
        }
    }
}

/// Ends once nothing is under way, or the time is up.
async fn drained(service: &Service) {
    let deadline = Instant::now() + service.settings.grace;
    loop {
        // A moment for answers on their way, and for those who do not know yet.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let idle = service.models.iter().all(|m| m.batcher.is_idle());
        if Instant::now() > deadline || idle && service.under_way.load(Relaxed) == 0 {
            return;
        }
    }
}

/// A request under way, however it ends.
struct UnderWay<'a>(&'a Service);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Relaxed);
    }
}

async fn reply(
    service: &Service,
    router: Router,
    client: Client,
    request: Request<Incoming>,
) -> Response {
    let span = tracing::info_span!(
        "request",
        method = %request.method(),
        path = request.uri().path().chars().take(200).collect::<String>(),
        status = tracing::field::Empty,
    );
    #[cfg(feature = "otel")]
    super::otel::adopt(&span, request.headers());
    replied(service, router, client, request).instrument(span).await
}

async fn replied(
    service: &Service,
    router: Router,
    client: Client,
    request: Request<Incoming>,
) -> Response {
    let began = Instant::now();
    service.under_way.fetch_add(1, Relaxed);
    let _under_way = UnderWay(service);
    let work = request.method() == Method::POST;
    let dialect = Dialect::of(request.uri().path());
    let Ok(mut answer) = router.oneshot(request).await;
    if let Some(refusal) = answer.extensions_mut().remove::<Refusal>() {
        // What the layers around a route said of it, such as whose page may read it, stays.
        let mut said = std::mem::take(answer.headers_mut());
        said.remove(header::CONTENT_LENGTH);
        answer = refused(dialect, &refusal).map(axum::body::Body::new);
        answer.headers_mut().extend(said);
    }
    let time = HeaderValue::from(began.elapsed().as_millis() as u64);
    answer.headers_mut().insert(HeaderName::from_static("x-total-time"), time);
    if service.is_closing() {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let status = answer.status();
    tracing::Span::current().record("status", status.as_u16());
    if work {
        service.metrics.requests.add(1);
        service.metrics.duration.took(began.elapsed());
        let counter =
            if status.is_success() { &service.metrics.success } else { &service.metrics.failure };
        counter.add(1);
    }
    let micros = began.elapsed().as_micros() as u64;
    tracing::info!(status = status.as_u16(), micros, client, "answered");
    answer
}
