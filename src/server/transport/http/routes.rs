//! Which route answers, and to whom: the table of routes, keys, and the bodies of requests.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::Uri;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode};
use subtle::ConstantTimeEq;
use tokio::sync::OwnedSemaphorePermit;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer, ExposeHeaders};
use tower_http::normalize_path::NormalizePath;

use super::coding::{coding, expanded};
use super::origin::{self, is_allowed};
use crate::quote::quote;
use crate::server::api::accept::{self, JSON};
use crate::server::api::answer::{Answer, empty};
use crate::server::api::dialect::{Call, Posted, Reply, Route};
use crate::server::api::{dialects, web};
use crate::server::core::batcher::Client;
use crate::server::core::bodies::{self, Caller, roomed, shrink};
use crate::server::core::error::{ApiError, ErrorCode};
use crate::server::core::service::Service;
use crate::server::transport::connection_limit::{Slot, Working};

/// What routes share.
pub type Shared = Arc<Service>;
/// The rest of a path, where a route takes one.
type Rest = Result<Path<String>, PathRejection>;

/// Who is at the other end of a connection: an extension of its requests.
#[derive(Clone)]
pub struct Peer {
    /// What takes turns.
    pub client: Client,
    /// Its place.
    pub slot: Arc<Slot>,
}

/// A request that is whole; while it is kept, its connection is not shown out.
struct Whole {
    caller: Caller,
    body: Bytes,
    /// The media type of the answer, of those that the route has.
    kind: &'static str,
    _working: Option<Working>,
}

/// The media type of an answer.
#[derive(Clone, Copy)]
struct Kind(&'static str);

/// `route` for clients that take one of `kinds`: 406 for others.
fn gives(kinds: &'static [&'static str], route: MethodRouter<Shared>) -> MethodRouter<Shared> {
    route.route_layer(middleware::from_fn(async move |mut request: Request, next: Next| {
        let Some(kind) = accept::choose(request.headers(), kinds) else {
            let said = format!(
                "no type in Accept is available for this response: use {}",
                kinds.join(", ")
            );
            return Err(ApiError::new(ErrorCode::Accept, said));
        };
        request.extensions_mut().insert(Kind(kind));
        Ok(next.run(request).await)
    }))
}

/// Every route. An error leaves as an extension of its answer: the caller knows the dialect.
pub fn router(service: &Shared) -> Router {
    let api =
        dialects::routes().fold(Router::new(), |router, route| router.route(route.path, of(route)));
    let api = api
        .method_not_allowed_fallback(other_method)
        .fallback(nowhere)
        .layer(middleware::from_fn_with_state(Arc::clone(service), authorize))
        .with_state(Arc::clone(service));
    // The pages ask for no key, and to them `/web/demo` is not `/web/demo/`.
    let pages = match service.settings.web {
        None => Router::new(),
        Some(_) => ["/web", "/web/", "/web/{*path}"]
            .into_iter()
            .fold(Router::new(), |pages, path| pages.route(path, get(page))),
    };
    let all = pages
        .method_not_allowed_fallback(other_method)
        .with_state(Arc::clone(service))
        .fallback_service(NormalizePath::trim_trailing_slash(api))
        .layer(CatchPanicLayer::custom(|_| {
            ApiError::new(ErrorCode::Backend, "the server failed on this request (a panic)")
                .into_response()
        }));
    let all = match service.settings.cors.is_empty() {
        true => all,
        false => all.layer(cors(&service.settings.cors)),
    };
    all.layer(middleware::from_fn_with_state(Arc::clone(service), origin::hold))
}

/// What pages of these origins may ask; `*` is any. An answer names the origin it is for.
fn cors(origins: &[String]) -> CorsLayer {
    let origins = origins.to_vec();
    let known = move |origin: &HeaderValue| is_allowed(&origins, origin.as_bytes());
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin, _| known(origin)))
        .allow_methods([Method::GET, Method::POST])
        // Clients send headers of their own, such as OpenAI's x-stainless-lang.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(ExposeHeaders::any())
}

/// What answers at the path of `route`: its dialect's function, once the request is read whole.
fn of(route: &'static Route) -> MethodRouter<Shared> {
    match &route.call {
        Call::Post(asked) => {
            let run = async move |State(service): State<Shared>, whole: Whole| {
                let Whole { caller, body, kind, _working } = whole;
                (asked.run)(service, Posted { caller, body, kind }).await
            };
            gives(asked.kinds, post(run))
        }
        Call::Get(asked) => {
            let run = async move |State(service): State<Shared>, uri: Uri, rest: Rest| {
                let rest = match route.path.contains('{') {
                    // It may have slashes, as they are or escaped; what is no text names nothing.
                    true => rest.map_err(|_| no_route(&Method::GET, uri.path()))?.0,
                    false => String::new(),
                };
                (asked.run)(service, rest).await
            };
            // Probes of health send whatever they like in Accept, and their document has no 406.
            match asked.statuses.contains(&406) {
                true => gives(std::slice::from_ref(&asked.kind), get(run)),
                false => get(run),
            }
        }
    }
}

async fn page(State(service): State<Shared>, request: Request) -> Reply {
    match &service.settings.web {
        Some(site) => web::answer(site, &service, request.uri().path(), request.headers()).await,
        None => Err(no_route(request.method(), request.uri().path())),
    }
}

/// The router says in `Allow` which methods there are.
async fn other_method(method: Method, uri: Uri) -> Result<Answer, ApiError> {
    match method {
        Method::OPTIONS => Ok(empty(StatusCode::NO_CONTENT)),
        _ => {
            let (path, method) = (quote(uri.path()), quote(method));
            let said = format!("{path} does not support {method}: see Allow");
            Err(ApiError::new(ErrorCode::Method, said))
        }
    }
}

async fn nowhere(method: Method, uri: Uri) -> ApiError {
    no_route(&method, uri.path())
}

fn no_route(method: &Method, path: &str) -> ApiError {
    let instead = match path == "/web" || path.starts_with("/web/") {
        true => "the demo is served with `serve --web`",
        false => "see /docs",
    };
    let said = format!("there is no route {} {}: {instead}", quote(method), quote(path));
    ApiError::new(ErrorCode::NoRoute, said)
}

/// Holds the key of a request against those that are allowed, in constant time. A probe of
/// `/health` needs none, nor does the page, which says nothing of this server and asks for the key.
async fn authorize(
    State(service): State<Shared>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let is_read = matches!(request.method(), &Method::GET | &Method::HEAD);
    let is_open = matches!(request.uri().path(), "/health" | "/ping" | "/docs" | "/");
    if !(is_read && is_open) {
        hold_key(&service, request.headers())?;
    }
    Ok(next.run(request).await)
}

fn hold_key(service: &Service, headers: &HeaderMap) -> Result<(), ApiError> {
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
            Err(ApiError::new(ErrorCode::Unauthorized, said))
        }
    }
}

impl FromRequest<Shared> for Whole {
    type Rejection = ApiError;

    async fn from_request(request: Request, service: &Shared) -> Result<Self, ApiError> {
        if service.is_closing() {
            return Err(ApiError::closing());
        }
        let peer = request.extensions().get::<Peer>().cloned();
        let kind = request.extensions().get::<Kind>().map_or(JSON, |kind| kind.0);
        let coding = coding(request.headers());
        // Read first: a client that is answered before it has sent all may not see the answer.
        let is_coded = matches!(coding, Ok(Some(_)));
        let (mut body, mut room) = body(service, request, is_coded).await?;
        if let Some(coding) = coding? {
            let limit = service.settings.payload_limit;
            if room.is_none() {
                room = Some(service.bodies.room(limit, service.settings.read_timeout).await?);
            }
            body = expanded(coding, body, limit).await?;
        }
        if let Some(room) = &mut room {
            shrink(room, body.len());
        }
        let client = peer.as_ref().map_or(0, |peer| peer.client);
        let _working = peer.map(|peer| peer.slot.work());
        let room = room.map(Arc::new);
        if let Some(room) = &room {
            body = roomed(body, Arc::clone(room));
        }
        Ok(Self { caller: Caller { client, room }, body, kind, _working })
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = Response::default();
        response.extensions_mut().insert(self);
        response
    }
}

/// The whole body, held to the limit as it comes, and the room that it takes beyond a little; where
/// it `is_coded`, with what it is expanded to.
async fn body(
    service: &Service,
    request: Request,
    is_coded: bool,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), ApiError> {
    let limit = service.settings.payload_limit;
    let too_large = || {
        let said = format!("the body is larger than {limit} bytes, the limit of this server");
        ApiError::new(ErrorCode::TooLarge, said)
    };
    let mut body = request.into_body();
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    let most = body.size_hint().exact().map_or(limit, |length| length as usize);
    let (mut all, mut room) = (BytesMut::new(), None);
    // However it trickles, a body has some time in all.
    let deadline = tokio::time::Instant::now() + service.settings.read_timeout * 4;
    loop {
        let next = tokio::time::timeout(service.settings.read_timeout, body.frame());
        let next = tokio::time::timeout_at(deadline, next).await;
        let Ok(Ok(frame)) = next else {
            return Err(ApiError::new(ErrorCode::Timeout, "the body did not come in time"));
        };
        match frame {
            None => return Ok((all.freeze(), room)),
            Some(Err(e)) => {
                return Err(ApiError::new(
                    ErrorCode::Malformed,
                    format!("the body was interrupted: {e}"),
                ));
            }
            Some(Ok(frame)) => {
                let Some(data) = frame.data_ref() else { continue };
                if all.len() + data.len() > limit {
                    return Err(too_large());
                }
                if all.len() + data.len() > bodies::FREE && room.is_none() {
                    let bytes = if is_coded { most.saturating_add(limit) } else { most };
                    room = Some(service.bodies.room(bytes, service.settings.read_timeout).await?);
                    // A buffer that grows by doubling would take twice as much.
                    all.reserve(most - all.len());
                }
                all.extend_from_slice(data);
            }
        }
    }
}
