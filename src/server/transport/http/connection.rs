//! One connection: its requests, the word that it must leave, and an end after which its client can
//! still read what it was sent.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use serde_json::json;
use tokio::sync::Semaphore;
use tower::ServiceExt;
use tracing::Instrument;

use super::routes::{Peer, router};
use super::wire::{Shared, Wire};
use crate::quote::quote;
use crate::server::api::dialects::{error_answer, with_field};
use crate::server::core::error::ApiError;
use crate::server::core::service::Service;
use crate::server::transport::connection_limit::{SlotGuard, Working};
use crate::server::transport::write_timeout::WriteTimeout;

/// What is the same for all connections.
pub struct Acceptor {
    service: Arc<Service>,
    router: Router,
    graceful: GracefulShutdown,
    /// Connections that are done with and wait for their clients to close them.
    lingering: Arc<Semaphore>,
    slots: usize,
}

impl Acceptor {
    /// To the routes of `service`.
    pub fn new(service: &Arc<Service>) -> Self {
        let slots = service.settings.max_connections.clamp(1, Semaphore::MAX_PERMITS);
        let lingering = Arc::new(Semaphore::new(slots));
        let (service, router) = (Arc::clone(service), router(service));
        Self { service, router, graceful: GracefulShutdown::new(), lingering, slots }
    }

    /// Serves a connection to its end.
    pub fn admit(&self, wire: Wire, guard: SlotGuard) -> impl Future<Output = ()> + 'static {
        let (shared, router) = (Arc::clone(&self.service), self.router.clone());
        let peer = Peer { client: shared.client(), slot: Arc::clone(&guard.slot) };
        let timeout = shared.settings.read_timeout;
        let answer = hyper::service::service_fn(move |request: Request<Incoming>| {
            let (service, router, peer) = (Arc::clone(&shared), router.clone(), peer.clone());
            async move { Ok::<_, Infallible>(reply(&service, router, peer, request).await) }
        });
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(timeout);
        builder.max_buf_size(64 << 10);
        let wire = Arc::new(wire);
        let stream = Shared { wire: Arc::clone(&wire), slot: Arc::clone(&guard.slot) };
        let stream = TokioIo::new(WriteTimeout::new(stream, timeout));
        let connection = self.graceful.watch(builder.serve_connection(stream, answer));
        let lingering = Arc::clone(&self.lingering);
        async move {
            let slot = Arc::clone(&guard.slot);
            let mut connection = Box::pin(connection);
            loop {
                tokio::select! {
                    biased;
                    ended = &mut connection => {
                        if let Err(e) = ended {
                            tracing::debug!(error = %e, "a connection ended early");
                        }
                        break;
                    }
                    () = slot.evicted() => {
                        if wire.has_unread() || !slot.is_silent() {
                            slot.stay();
                            continue;
                        }
                        tracing::debug!("an idle connection was closed to accept another");
                        if slot.has_asked() {
                            reject(&wire, &ApiError::evicted());
                        }
                        break;
                    }
                }
            }
            drop(connection);
            // The slot is free; what is left is to have the client read its answer.
            drop(guard);
            if let Ok(_permit) = lingering.try_acquire() {
                wire.linger().await;
            }
        }
    }

    /// Ends the connections that have nothing to do.
    pub async fn close(self) {
        let ended = async {
            self.graceful.shutdown().await;
            let all = u32::try_from(self.slots).unwrap_or(u32::MAX);
            let _ = self.lingering.acquire_many(all).await;
        };
        let _ = tokio::time::timeout(Duration::from_secs(2), ended).await;
    }
}

/// Answers a connection whose request is not read to its end.
pub fn reject(wire: &Wire, error: &ApiError) {
    let status = error.status();
    let body = json!({ "error": error.message, "error_type": error.code.tei_type() }).to_string();
    let length = body.len();
    wire.send_last(
        format!(
            "HTTP/1.1 {status} Service Unavailable\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\nretry-after: 1\r\nconnection: close\r\n\r\n{body}"
        )
        .as_bytes(),
    );
}

/// The body of an answer; until it is sent, its connection is at work.
struct Answering {
    body: Body,
    _working: Working,
}

impl HttpBody for Answering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
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
    peer: Peer,
    request: Request<Incoming>,
) -> Response {
    let span = tracing::info_span!(
        "request",
        method = quote(request.method()),
        path = quote(request.uri().path()),
        status = tracing::field::Empty,
    );
    #[cfg(feature = "otel")]
    crate::server::core::otel::adopt(&span, request.headers());
    replied(service, router, peer, request).instrument(span).await
}

async fn replied(
    service: &Service,
    router: Router,
    peer: Peer,
    mut request: Request<Incoming>,
) -> Response {
    let began = Instant::now();
    // With a body, its reader says when the request is whole.
    let whole = request.body().is_end_stream().then(|| Arc::clone(&peer.slot).work());
    request.extensions_mut().insert(peer.clone());
    service.under_way.fetch_add(1, Relaxed);
    let _under_way = UnderWay(service);
    let work = request.method() == Method::POST;
    let path = request.uri().path().to_owned();
    let Ok(mut answer) = router.oneshot(request).await;
    if let Some(error) = answer.extensions_mut().remove::<ApiError>() {
        let error = with_field(&path, error);
        service.metrics.error_answer(&error);
        // What the layers around a route said of it, such as whose page may read it, stays.
        let mut said = std::mem::take(answer.headers_mut());
        said.remove(header::CONTENT_LENGTH);
        answer = error_answer(&path, &error);
        answer.headers_mut().extend(said);
    }
    let time = HeaderValue::from(began.elapsed().as_millis() as u64);
    answer.headers_mut().insert(HeaderName::from_static("x-total-time"), time);
    if service.is_closing() || peer.slot.is_wanted() {
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
    tracing::info!(status = status.as_u16(), micros, client = peer.client, "answered");
    let working = whole.unwrap_or_else(|| peer.slot.work());
    answer.map(|body| Body::new(Answering { body, _working: working }))
}
