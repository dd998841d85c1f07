//! HTTP/1.1 over TCP or a Unix socket: connections, keys, limits, and which route answers.
//!
//! Routes are a `match`; what they do is in the files of their dialects. TLS is a proxy's matter.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use serde_json::json;
use subtle::ConstantTimeEq;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};

use super::batcher::Client;
use super::refusal::{Refusal, Why};
use super::service::Service;
use super::{bert, docs, layers, openai, tei};

/// An answer.
pub type Answer = Response<Full<Bytes>>;

/// Where connections come from.
pub enum Listener {
    /// A port.
    Tcp(tokio::net::TcpListener),
    /// A path.
    #[cfg(unix)]
    Unix(tokio::net::UnixListener),
}

/// What a connection is to hyper.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Listener {
    /// Opens a port; 0 takes a free one.
    ///
    /// # Errors
    ///
    /// `Io`, naming the address.
    pub async fn tcp(address: SocketAddr) -> crate::Result<Self> {
        let open = tokio::net::TcpListener::bind(address).await;
        open.map(Self::Tcp).map_err(|e| crate::Error::io(address, e))
    }

    /// Opens a path, in the place of a socket that nobody serves any more.
    ///
    /// # Errors
    ///
    /// `Io`, naming the path.
    #[cfg(unix)]
    pub fn unix(path: &std::path::Path) -> crate::Result<Self> {
        use std::os::unix::fs::FileTypeExt;
        let old = std::fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket());
        if old && std::os::unix::net::UnixStream::connect(path).is_err() {
            let _ = std::fs::remove_file(path);
        }
        let open = tokio::net::UnixListener::bind(path);
        open.map(Self::Unix).map_err(|e| crate::Error::io(path.display(), e))
    }

    /// Where clients connect to, for people.
    pub fn place(&self) -> String {
        match self {
            Self::Tcp(l) => {
                l.local_addr().map_or_else(|e| e.to_string(), |a| format!("http://{a}"))
            }
            #[cfg(unix)]
            Self::Unix(l) => {
                let address = l.local_addr().ok();
                let path = address.and_then(|a| a.as_pathname().map(|p| p.display().to_string()));
                format!("unix:{}", path.unwrap_or_default())
            }
        }
    }

    async fn accept(&self) -> std::io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Tcp(l) => {
                let (stream, _) = l.accept().await?;
                let _ = stream.set_nodelay(true);
                Box::new(stream)
            }
            #[cfg(unix)]
            Self::Unix(l) => Box::new(l.accept().await?.0),
        })
    }
}

/// Serves until `stop` says so: then new work gets 503, and accepted work is finished.
pub async fn serve(service: Arc<Service>, listener: Listener, mut stop: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(service.settings.max_connections.max(1)));
    let graceful = GracefulShutdown::new();
    let mut deadline = None;
    loop {
        let place = Arc::clone(&room).acquire_owned();
        let accept = async {
            // Beyond the bound, connections wait in the system's own queue.
            let permit = place.await.ok();
            listener.accept().await.map(|stream| (stream, permit))
        };
        let (stream, permit) = tokio::select! {
            biased;
            _ = ended(&mut stop), if deadline.is_none() => {
                service.close();
                deadline = Some(Instant::now() + service.settings.grace);
                continue;
            }
            () = drained(&service, deadline), if deadline.is_some() => break,
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
        let answer = hyper::service::service_fn(move |request| {
            let service = Arc::clone(&shared);
            async move { Ok::<_, Infallible>(reply(&service, client, request).await) }
        });
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(service.settings.patience);
        builder.max_buf_size(64 << 10);
        let connection = graceful.watch(builder.serve_connection(TokioIo::new(stream), answer));
        tokio::spawn(async move {
            if let Err(e) = connection.await {
                tracing::debug!(error = %e, "a connection ended early");
            }
            drop(permit);
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(Duration::from_secs(2), graceful.shutdown()).await;
}

async fn ended(stop: &mut watch::Receiver<bool>) {
    while !*stop.borrow_and_update() {
        if stop.changed().await.is_err() {
            return;
        }
    }
}

/// Ends once nothing is under way, or the time is up.
async fn drained(service: &Service, deadline: Option<Instant>) {
    let deadline = deadline.unwrap_or_else(Instant::now);
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
    let began = Instant::now();
    service.under_way.fetch_add(1, Relaxed);
    let _under_way = UnderWay(service);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
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
    let work = method == Method::POST;
    if work {
        service.metrics.requests.add(1);
        service.metrics.duration.took(began.elapsed());
        let counter =
            if status.is_success() { &service.metrics.success } else { &service.metrics.failure };
        counter.add(1);
    }
    let micros = began.elapsed().as_micros() as u64;
    let path: String = path.chars().take(200).collect();
    tracing::info!(%method, path, status = status.as_u16(), micros, client, "request");
    answer
}

/// The origin to name, where the request has one and it may call.
fn allowed(service: &Service, headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let known = |allowed: &String| allowed == "*" || allowed.as_bytes() == origin.as_bytes();
    service.settings.cors.iter().any(known).then(|| origin.clone())
}

/// The dialects that routes speak.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    OpenAi,
    Tei,
}

async fn route(service: &Service, client: Client, request: Request<Incoming>) -> Answer {
    let path = request.uri().path().trim_end_matches('/').to_owned();
    let dialect = if path.starts_with("/v1") { Dialect::OpenAi } else { Dialect::Tei };
    match answer(service, client, &path, request).await {
        Ok(answer) => answer,
        Err(refusal) => refused(dialect, &refusal),
    }
}

async fn answer(
    service: &Service,
    client: Client,
    path: &str,
    request: Request<Incoming>,
) -> Result<Answer, Refusal> {
    let method = request.method().clone();
    if !matches!((&method, path), (&Method::GET, "/health" | "/ping")) {
        authorize(service, request.headers())?;
    }
    let get = [
        "",
        "/health",
        "/ping",
        "/metrics",
        "/info",
        "/docs",
        "/api-doc/openapi.json",
        "/openapi.json",
        "/v1/models",
        "/status/server",
        "/status/client",
    ];
    let known_get = get.contains(&path) || path.starts_with("/v1/models/");
    let post = [
        "",
        "/embed",
        "/embed_all",
        "/embed_sparse",
        "/predict",
        "/rerank",
        "/similarity",
        "/tokenize",
        "/decode",
        "/embeddings",
        "/v1/embeddings",
        "/v1/layers",
        "/encode",
    ];
    match method {
        Method::GET | Method::HEAD if known_get => match path {
            "" => Ok(docs::page(service)),
            "/docs" => Ok(docs::page(service)),
            "/api-doc/openapi.json" | "/openapi.json" => Ok(docs::openapi(service)),
            "/health" | "/ping" => tei::health(service).await,
            "/metrics" => Ok(tei::metrics(service)),
            "/info" => Ok(tei::info(service)),
            "/status/server" => Ok(bert::status_server(service)),
            "/status/client" => Ok(bert::status_client(service)),
            "/v1/models" => Ok(openai::models(service)),
            _ => openai::model(service, &path["/v1/models/".len()..]),
        },
        Method::POST if post.contains(&path) => {
            if service.is_closing() {
                return Err(Refusal::closing());
            }
            let accept = request.headers().get(header::ACCEPT).cloned();
            let body = body(service, request).await?;
            match path {
                "/v1/embeddings" | "/embeddings" => {
                    openai::embeddings(service, client, &body).await
                }
                "/v1/layers" => {
                    let accept = accept.as_ref().and_then(|a| a.to_str().ok());
                    layers::layers(service, client, &body, accept).await
                }
                "" | "/embed" => tei::embed(service, client, &body).await,
                "/embed_all" => tei::embed_all(service, client, &body).await,
                "/similarity" => tei::similarity(service, client, &body).await,
                "/tokenize" => tei::tokenize(service, &body),
                "/decode" => tei::decode(service, &body),
                "/encode" => bert::encode(service, client, &body).await,
                _ => Err(tei::other_head(path)),
            }
        }
        _ if known_get || post.contains(&path) => {
            Err(Refusal::new(Why::Method, format!("{path} does not take {method}")))
        }
        _ => {
            let shown: String = path.chars().take(100).collect();
            Err(Refusal::new(Why::NotFound, format!("there is no route {shown}: see /docs")))
        }
    }
}

/// Holds the key of a request against those that are allowed, in constant time.
fn authorize(service: &Service, headers: &HeaderMap) -> Result<(), Refusal> {
    let keys = &service.settings.api_keys;
    if keys.is_empty() {
        return Ok(());
    }
    let given = headers.get(header::AUTHORIZATION).map_or(&b""[..], HeaderValue::as_bytes);
    let given = given.strip_prefix(b"Bearer ").unwrap_or_default();
    let right = keys.iter().fold(0, |right, key| right | key.as_bytes().ct_eq(given).unwrap_u8());
    match right {
        1 => Ok(()),
        _ => {
            let said = "the API key is missing or wrong: send `Authorization: Bearer KEY`";
            Err(Refusal::new(Why::Unauthorized, said))
        }
    }
}

/// The whole body, held to the limit as it comes.
async fn body(service: &Service, request: Request<Incoming>) -> Result<Bytes, Refusal> {
    let limit = service.settings.payload_limit;
    let too_large = || {
        let said = format!("the body is larger than {limit} bytes, the limit of this server");
        Refusal::new(Why::TooLarge, said)
    };
    let mut body = request.into_body();
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    let mut all = BytesMut::new();
    // However it trickles, a body has some time in all.
    let deadline = tokio::time::Instant::now() + service.settings.patience * 4;
    loop {
        let next = tokio::time::timeout(service.settings.patience, body.frame());
        let next = tokio::time::timeout_at(deadline, next).await;
        let Ok(Ok(frame)) = next else {
            return Err(Refusal::new(Why::Timeout, "the body did not come in time"));
        };
        match frame {
            None => return Ok(all.freeze()),
            Some(Err(e)) => {
                return Err(Refusal::new(Why::Malformed, format!("the body broke off: {e}")));
            }
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    if all.len() + data.len() > limit {
                        return Err(too_large());
                    }
                    all.extend_from_slice(data);
                }
            }
        }
    }
}

fn refused(dialect: Dialect, refusal: &Refusal) -> Answer {
    let (status, body) = match dialect {
        Dialect::OpenAi => {
            let code = match refusal.why {
                Why::Unauthorized => Some("invalid_api_key"),
                Why::NotFound => Some("model_not_found"),
                _ => None,
            };
            let error = json!({
                "message": refusal.message, "type": refusal.openai_type(), "param": null,
                "code": code,
            });
            (refusal.status(), json!({ "error": error }))
        }
        Dialect::Tei => {
            let body = json!({ "error": refusal.message, "error_type": refusal.tei_type() });
            (refusal.tei_status(), body)
        }
    };
    let mut answer = of_json(&body);
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    let headers = answer.headers_mut();
    if matches!(refusal.why, Why::Overloaded | Why::Unhealthy) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if refusal.why == Why::Unauthorized {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    // What is left of the body is not read.
    if matches!(refusal.why, Why::TooLarge | Why::Timeout) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

/// An answer without a body.
pub fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}

/// An answer of these bytes.
pub fn of_bytes(bytes: impl Into<Bytes>, kind: &'static str) -> Answer {
    let mut answer = Response::new(Full::new(bytes.into()));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// An answer in JSON.
pub fn of_json(value: &impl serde::Serialize) -> Answer {
    // What is serialised here are strings and finite numbers.
    of_bytes(serde_json::to_vec(value).unwrap_or_default(), "application/json")
}

/// Reads JSON of the form that a route takes.
///
/// # Errors
///
/// [`Why::Malformed`], with the place in the text.
pub fn parse<'a, T: serde::Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|e| {
        Refusal::new(Why::Malformed, format!("the body is not as this route takes it: {e}"))
    })
}
