//! HTTP/1.1 over TCP or a Unix socket: connections from their beginning to their end.
//!
//! Routes are a `match` in `routes.rs`; what they do is in the files of their dialects. TLS is a proxy's matter.

mod answer;
mod crowd;
mod listener;
mod patient;
mod routes;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::sync::watch;
use tracing::Instrument;

pub use answer::{Answer, aside, empty, of_bytes, of_json, parse};
pub use listener::Listener;

use super::batcher::Client;
use super::service::Service;
use crowd::Crowd;
use patient::Patient;
use routes::route;

/// Serves until `stop` says so: then new work gets 503, and accepted work is finished.
pub async fn serve(service: Arc<Service>, listener: Listener, mut stop: watch::Receiver<bool>) {
    let crowd = Crowd::new(service.settings.max_connections);
    let graceful = GracefulShutdown::new();
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
        let client = service.client();
        let shared = Arc::clone(&service);
        let seat = Arc::clone(&seated.seat);
        let answer = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            let service = Arc::clone(&shared);
            request.extensions_mut().insert(Arc::clone(&seat));
            async move { Ok::<_, Infallible>(reply(&service, client, request).await) }
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

async fn reply(service: &Service, client: Client, request: Request<Incoming>) -> Answer {
    let span = tracing::info_span!(
        "request",
        method = %request.method(),
        path = request.uri().path().chars().take(200).collect::<String>(),
        status = tracing::field::Empty,
    );
    #[cfg(feature = "otel")]
    super::otel::adopt(&span, request.headers());
    replied(service, client, request).instrument(span).await
}

async fn replied(service: &Service, client: Client, request: Request<Incoming>) -> Answer {
    let began = Instant::now();
    service.under_way.fetch_add(1, Relaxed);
    let _under_way = UnderWay(service);
    let method = request.method().clone();
    let origin = allowed(service, request.headers());
    let mut answer = match &method {
        &Method::OPTIONS if origin.is_some() => empty(StatusCode::NO_CONTENT),
        _ => route(service, client, request).await,
    };
    if let Some(origin) = origin {
        let headers = answer.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::VARY, HeaderValue::from_static("origin"));
        let allow = "authorization, content-type, accept";
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(allow));
        let allow = HeaderValue::from_static("GET, POST, OPTIONS");
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, allow);
    }
    let time = HeaderValue::from(began.elapsed().as_millis() as u64);
    answer.headers_mut().insert(HeaderName::from_static("x-total-time"), time);
    if service.is_closing() {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let status = answer.status();
    tracing::Span::current().record("status", status.as_u16());
    let work = method == Method::POST;
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

/// The origin to name, where the request has one and it may call.
fn allowed(service: &Service, headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let known = |allowed: &String| allowed == "*" || allowed.as_bytes() == origin.as_bytes();
    service.settings.cors.iter().any(known).then(|| origin.clone())
}
