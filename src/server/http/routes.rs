//! Which route answers, and to whom: keys, and the bodies of requests.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request};
use subtle::ConstantTimeEq;

use super::answer::{Answer, Dialect, refused};
use super::crowd::Seat;
use crate::server::batcher::Client;
use crate::server::refusal::{Refusal, Why};
use crate::server::service::Service;
use crate::server::{about, bert, docs, layers, openai, tei};

/// The answer of the route that a request names, or the refusal in its dialect.
pub async fn route(service: &Service, client: Client, request: Request<Incoming>) -> Answer {
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
    if let (Some(site), true) = (&service.settings.web, path == "/web" || path.starts_with("/web/"))
    {
        return site.answer(&method, request.uri().path(), request.headers()).await;
    }
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
    let seat = request.extensions().get::<Arc<Seat>>().cloned();
    match method {
        Method::GET | Method::HEAD if known_get => match path {
            "" => Ok(docs::page(service)),
            "/docs" => Ok(docs::page(service)),
            "/api-doc/openapi.json" | "/openapi.json" => Ok(docs::openapi(service)),
            "/health" | "/ping" => {
                let _working = seat.map(Seat::work);
                about::health(service).await
            }
            "/metrics" => Ok(about::metrics(service)),
            "/info" => Ok(about::info(service)),
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
            let _working = seat.map(Seat::work);
            match path {
                "/v1/embeddings" | "/embeddings" => openai::embeddings(service, client, body).await,
                "/v1/layers" => {
                    let accept = accept.as_ref().and_then(|a| a.to_str().ok());
                    layers::layers(service, client, body, accept).await
                }
                "" | "/embed" => tei::embed(service, client, body).await,
                "/embed_all" => tei::embed_all(service, client, body).await,
                "/similarity" => tei::similarity(service, client, body).await,
                "/tokenize" => tei::tokenize(service, body).await,
                "/decode" => tei::decode(service, body).await,
                "/encode" => bert::encode(service, client, body).await,
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
    let given = match given.split_at_checked(7) {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case(b"Bearer ") => key,
        _ => b"",
    };
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
