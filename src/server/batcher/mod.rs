//! The one queue under every front end: texts of all clients, packed together by tokens.
//!
//! Clients take turns, a text each, so that a client with a million texts holds nobody up. A text
//! whose client has left is dropped where it waits. The queue is bounded by texts and by tokens.
//! One thread a device takes batches off it; it never waits for a client.

mod queue;
mod request;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use tokio::sync::oneshot;

pub use request::{Done, Ready};

use super::metrics::Metrics;
use super::refusal::{Refusal, Why};
use crate::capture::Capture;
use crate::encoder::{Encoder, Order};
use crate::error::{ErrorKind, Result};
use queue::{Item, Queue};
use request::{Request, State};

/// Who asks: what takes turns. A connection, or an identity on ZeroMQ.
pub type Client = u64;

/// How much may wait.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Texts.
    pub texts: usize,
    /// Tokens.
    pub tokens: usize,
    /// Tokens of one batch.
    pub batch_tokens: usize,
}

/// Makes the encoder anew once its device is lost.
pub type Reopen = Box<dyn Fn() -> Result<Encoder> + Send + Sync>;

/// A model with its queue and the thread that serves it.
pub struct Batcher {
    encoder: RwLock<Arc<Encoder>>,
    reopen: Reopen,
    bounds: Bounds,
    queue: Mutex<Queue>,
    wake: Condvar,
    lost: AtomicBool,
    metrics: Arc<Metrics>,
}

impl Batcher {
    /// A queue for `encoder`, and its thread.
    ///
    /// # Errors
    ///
    /// `Io` where the system gives no thread.
    pub fn start(
        encoder: Encoder,
        reopen: Reopen,
        bounds: Bounds,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>> {
        let batcher = Arc::new(Self {
            encoder: RwLock::new(Arc::new(encoder)),
            reopen,
            bounds,
            queue: Mutex::default(),
            wake: Condvar::new(),
            lost: AtomicBool::new(false),
            metrics,
        });
        let worker = Arc::clone(&batcher);
        std::thread::Builder::new()
            .name("batcher".into())
            .spawn(move || worker.serve())
            .map_err(|e| crate::Error::io("the batcher's thread", e))?;
        Ok(batcher)
    }

    /// The encoder of now.
    pub fn encoder(&self) -> Arc<Encoder> {
        Arc::clone(&self.encoder.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Texts and tokens that wait.
    pub fn waiting(&self) -> (usize, usize) {
        let queue = self.queue();
        (queue.texts, queue.tokens)
    }

    /// Whether nothing waits and nothing runs.
    pub fn is_idle(&self) -> bool {
        let queue = self.queue();
        queue.texts == 0 && queue.running == 0
    }

    /// Whether the device is lost and was not opened again yet.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Relaxed)
    }

    /// Ends the thread once the queue is empty; what comes after is refused.
    pub fn close(&self) {
        self.queue().closed = true;
        self.wake.notify_all();
    }

    /// The results of `texts`, each with every one of `captures`. Dropped, what still waits of it
    /// is not run.
    ///
    /// # Errors
    ///
    /// [`Why::Overloaded`] where the queue is full, else what the encoder says of the texts.
    pub async fn submit(
        &self,
        client: Client,
        texts: Vec<Ready>,
        captures: Vec<Capture>,
    ) -> Result<Done, Refusal> {
        if texts.is_empty() {
            return Err(Refusal::new(Why::Empty, "there is no text to embed"));
        }
        let (reply, answer) = oneshot::channel();
        let count = texts.len();
        let tokens: usize = texts.iter().map(|t| t.tokens.len()).sum();
        let state = State {
            texts: (0..count).map(|_| None).collect(),
            left: count,
            taken: None,
            reply: Some(reply),
        };
        let state = Mutex::new(state);
        let request = Arc::new(Request { captures, began: Instant::now(), state });
        {
            let mut queue = self.queue();
            if queue.closed {
                return Err(Refusal::closing());
            }
            // A request that is larger than the queue itself can only come when nothing waits.
            let full = queue.texts + count > self.bounds.texts
                || queue.tokens + tokens > self.bounds.tokens;
            if full && queue.texts > 0 {
                self.metrics.overloaded.add(1);
                return Err(Refusal::busy());
            }
            let items = texts.into_iter().enumerate();
            queue.push(
                client,
                items.map(|(index, ready)| Item { request: Arc::clone(&request), index, ready }),
            );
        }
        self.wake.notify_one();
        answer.await.unwrap_or_else(|_| Err(Refusal::closing()))
    }

    fn serve(&self) {
        loop {
            let (items, dropped) = {
                let mut queue = self.queue();
                while queue.texts == 0 && !queue.closed {
                    queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
                }
                if queue.texts == 0 {
                    return;
                }
                queue.take(self.bounds.batch_tokens)
            };
            self.metrics.abandoned.add(dropped);
            if items.is_empty() {
                continue;
            }
            let work = std::panic::AssertUnwindSafe(|| self.batch(&items));
            if std::panic::catch_unwind(work).is_err() {
                let said = Refusal::new(Why::Backend, "the model failed on this batch (a panic)");
                items.iter().for_each(|item| item.request.land(item.index, Err(said.clone())));
            }
            self.queue().running -= items.len();
        }
    }

    fn batch(&self, items: &[Item]) {
        let now = Instant::now();
        for item in items {
            item.request.state().taken.get_or_insert(now);
        }
        let orders: Vec<Order<'_>> = items.iter().map(order).collect();
        let mut results = pollster::block_on(self.encoder().embed_orders(&orders));
        if matches!(&results, Err(e) if e.kind() == ErrorKind::DeviceLost) {
            tracing::error!("the device is lost: it is opened again");
            self.lost.store(true, Relaxed);
            results = self
                .rebuild()
                .and_then(|encoder| pollster::block_on(encoder.embed_orders(&orders)));
            self.lost
                .store(matches!(&results, Err(e) if e.kind() == ErrorKind::DeviceLost), Relaxed);
        }
        let tokens: usize = items.iter().map(|item| item.ready.tokens.len()).sum();
        let (metrics, took) = (&self.metrics, now.elapsed());
        metrics.device_micros.add(took.as_micros() as u64);
        metrics.texts.add(items.len() as u64);
        metrics.tokens.add(tokens as u64);
        metrics.batch_tokens.see(tokens as f64);
        metrics.last_batch.0.store(items.len() as u64, Relaxed);
        metrics.last_batch.1.store(tokens as u64, Relaxed);
        tracing::debug!(texts = items.len(), tokens, micros = took.as_micros() as u64, "batch");
        match results {
            Ok(results) => {
                for (item, result) in items.iter().zip(results) {
                    item.request.land(item.index, result.map_err(Refusal::from));
                }
            }
            Err(e) => {
                tracing::error!(error = %e, texts = items.len(), "a batch failed");
                let said = Refusal::from(e);
                items.iter().for_each(|item| item.request.land(item.index, Err(said.clone())));
            }
        }
    }

    fn rebuild(&self) -> Result<Arc<Encoder>> {
        let encoder = Arc::new((self.reopen)()?);
        *self.encoder.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&encoder);
        self.metrics.rebuilt.add(1);
        Ok(encoder)
    }
}

fn order(item: &Item) -> Order<'_> {
    Order {
        tokens: &item.ready.tokens,
        positions: item.ready.positions.as_deref(),
        words: &item.ready.words,
        skip: item.ready.skip,
        hidden: item.ready.hidden,
        captures: &item.request.captures,
    }
}
