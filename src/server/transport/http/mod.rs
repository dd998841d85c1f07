//! HTTP/1.1 over TCP or a Unix socket: connections from their beginning to their end.
//!
//! Routes are axum's, in `routes.rs`; what they do is in the files of their dialects. TLS is a proxy's
//! matter. Connections are served on hyper itself: how many there are, and for how long nothing may come or
//! be taken, is not axum's to bound.

mod coding;
mod connection;
mod listener;
mod origin;
mod routes;
mod wire;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

pub use listener::Listener;
#[cfg(test)]
pub(in crate::server) use routes::router;

use super::connection_limit::ConnectionLimit;
use crate::server::core::error::ApiError;
use crate::server::core::health;
use crate::server::core::service::Service;
use connection::{Acceptor, reject};

/// Serves until `stop` says so: then new work gets 503, and accepted work is finished.
pub async fn serve(service: Arc<Service>, listener: Listener, mut stop: watch::Receiver<bool>) {
    let limit = ConnectionLimit::new(service.settings.max_connections);
    let acceptor = Acceptor::new(&service);
    let watched = Arc::clone(&service);
    let watch = tokio::spawn(async move { health::watch(&watched).await });
    // One future from beginning to end: connections that keep coming must not begin it anew.
    let over = async {
        ended(&mut stop).await;
        service.close();
        drained(&service).await;
    };
    tokio::pin!(over);
    loop {
        // It is kept here while it waits for a slot, so that the end does not reset it.
        let mut waits = None;
        let guard = async {
            waits = Some(listener.accept().await?);
            Ok::<_, std::io::Error>(limit.slot().await)
        };
        let guard = tokio::select! {
            biased;
            () = &mut over => None,
            guard = guard => Some(guard),
        };
        match (guard, waits) {
            (Some(Ok(guard)), Some(wire)) => _ = tokio::spawn(acceptor.admit(wire, guard)),
            (Some(Err(e)), _) => {
                // Out of file descriptors: those who are here must leave first.
                tracing::warn!(error = %e, "a connection could not be accepted");
                limit.make_room();
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            (_, waits) => {
                drop(listener);
                if let Some(wire) = waits {
                    reject(&wire, &ApiError::closing());
                    wire.linger().await;
                }
                break;
            }
        }
    }
    watch.abort();
    acceptor.close().await;
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
        if Instant::now() > deadline || service.is_at_rest() {
            return;
        }
    }
}
