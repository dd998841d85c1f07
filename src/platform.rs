//! What differs between native builds and the browser for all rooms: the clock, and letting other
//! work run. In a browser the system's clock is out of reach, and one thread does everything.

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
    page::turn().await;
}

#[cfg(all(feature = "web", target_arch = "wasm32"))]
mod page {
    use js_sys::{Function, Promise};
    use wasm_bindgen::prelude::*;
    use wasm_bindgen_futures::JsFuture;

    #[wasm_bindgen]
    extern "C" {
        type MessageChannel;
        #[wasm_bindgen(constructor)]
        fn new() -> MessageChannel;
        #[wasm_bindgen(method, getter)]
        fn port1(this: &MessageChannel) -> MessagePort;
        #[wasm_bindgen(method, getter)]
        fn port2(this: &MessageChannel) -> MessagePort;

        type MessagePort;
        #[wasm_bindgen(method, setter)]
        fn set_onmessage(this: &MessagePort, heard: &Function);
        #[wasm_bindgen(method, js_name = postMessage)]
        fn post_message(this: &MessagePort, message: &JsValue);
        #[wasm_bindgen(method)]
        fn close(this: &MessagePort);
    }

    /// Lets the page do what waits. A message comes back at once, a timer after 4 ms at the earliest.
    pub async fn turn() {
        let channel = MessageChannel::new();
        let (here, there) = (channel.port1(), channel.port2());
        let promise = Promise::new(&mut |resolve, _| here.set_onmessage(&resolve));
        there.post_message(&JsValue::UNDEFINED);
        // It is never rejected.
        drop(JsFuture::from(promise).await);
        here.close();
    }
}
