//! Time: the clock that devices are timed by, and giving way to what else is to be done.
//!
//! In a browser the system's clock is out of reach, and one thread does everything.

#[cfg(not(target_arch = "wasm32"))]
pub use std::time::Instant;
#[cfg(target_arch = "wasm32")]
pub use web_time::Instant;

/// Is pending once, for a caller that has something else to do between two polls.
pub async fn yield_once() {
    let mut gave = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut gave, true) {
            return std::task::Poll::Ready(());
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

/// Lets a page hear what came meanwhile: that a call is to stop, that a device is lost. Elsewhere
/// other threads do, and nothing waits here.
pub async fn turn() {
    #[cfg(all(feature = "web", target_arch = "wasm32"))]
    crate::web::turn().await;
}
