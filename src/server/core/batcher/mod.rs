//! The one queue under every front end: texts of all clients, packed together by tokens.
//!
//! Clients take turns by work, so that a client with a million texts, or one that is a million
//! windows long, holds nobody up. A text whose client has left is dropped where it waits. The queue
//! is bounded by texts and by work, and so is a request. One thread a device takes batches off it,
//! as large as the time that one may take; it never waits for a client.

mod pace;
mod queue;
mod request;
mod worker;

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

pub use request::Done;
pub use worker::{Open, Worker};

use crate::capture::Capture;
use crate::encoder::{Encoder, PreparedText, Windowed};
use crate::error::{Result, fail};
use crate::server::core::error::{ApiError, ErrorCode};
use crate::server::core::metrics::Metrics;
use queue::{Item, Queue};
use request::{Request, RequestState};

/// Who asks: what takes turns. A connection, or an identity on ZeroMQ.
pub type Client = u64;

/// Tokens that one of several devices takes at least: less is not worth the sharing.
const SHARE: usize = 1024;
/// Work of a text that is short.
const SHORT: usize = 64;
/// Work of windows that are one item, so that turns are fair inside a long text.
const SLICE: usize = 256;
/// Tokens of a batch on a GPU.
const GPU_TOKENS: usize = 8192;
/// On the CPU, which larger batches make no faster.
const CPU_TOKENS: usize = 4096;

/// How much may wait.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Texts.
    pub texts: usize,
    /// Work, in tokens of texts of usual length.
    pub waiting: usize,
    /// The same, of one request.
    pub request: usize,
    /// Tokens of one batch; the device's own where it is `None`.
    pub batch_tokens: Option<usize>,
    /// What one batch may take, by the rate that its device shows; any where it is `None`.
    pub batch_time: Option<Duration>,
}

/// A model with its queue and a thread for each device that serves it.
pub struct Batcher {
    workers: Vec<Worker>,
    bounds: Bounds,
    batch_tokens: usize,
    queue: Mutex<Queue>,
    /// There is work.
    wake: Condvar,
    /// The queue is closed: for those who wait for no work, and must not take a call to it.
    end: Condvar,
    metrics: Arc<Metrics>,
}

impl Batcher {
    /// Opens the model with each of `opens`, one a device, and starts a queue for all.
    ///
    /// # Errors
    ///
    /// What an opener says; `Io` where the system gives no thread.
    pub fn start(opens: Vec<Open>, bounds: Bounds, metrics: Arc<Metrics>) -> Result<Arc<Self>> {
        let workers = opens
            .into_iter()
            .map(|open| Worker::open(open, bounds.batch_time))
            .collect::<Result<Vec<_>>>()?;
        if workers.is_empty() {
            return Err(fail!(Usage, "there is no device to serve from: name one"));
        }
        let is_cpu = workers.iter().all(|w| w.encoder().is_on_cpu());
        let own = if is_cpu { CPU_TOKENS } else { GPU_TOKENS };
        let batch_tokens = bounds.batch_tokens.unwrap_or(own);
        for worker in &workers {
            if let Err(e) = worker.encoder().reserve(batch_tokens) {
                tracing::warn!(error = %e, tokens = batch_tokens, "no memory for a full batch");
            }
        }
        let (queue, wake, end) = (Mutex::default(), Condvar::new(), Condvar::new());
        let batcher = Arc::new(Self { workers, bounds, batch_tokens, queue, wake, end, metrics });
        for number in 0..batcher.workers.len() {
            let shared = Arc::clone(&batcher);
            std::thread::Builder::new()
                .name(format!("device {number}"))
                .spawn(move || shared.workers[number].serve(&shared))
                .map_err(|e| crate::Error::io("the thread of a device", e))?;
        }
        Ok(batcher)
    }

    /// Refuses what could not wait in any case, before anything is done for it.
    ///
    /// # Errors
    ///
    /// `ErrorCode::Overloaded` where `texts` texts are more than the queue takes now.
    pub fn has_room(&self, texts: usize) -> Result<(), ApiError> {
        let queue = self.queue();
        let full = queue.items + texts > self.bounds.texts || queue.work > self.bounds.waiting;
        if full && queue.items > 0 {
            return Err(ApiError::busy());
        }
        Ok(())
    }

    /// The first device's encoder of now.
    pub fn encoder(&self) -> Arc<Encoder> {
        self.workers[0].encoder()
    }

    /// The devices.
    pub fn workers(&self) -> &[Worker] {
        &self.workers
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tokens of a batch at most.
    pub fn batch_tokens(&self) -> usize {
        self.batch_tokens
    }

    /// Texts that wait, or stretches of windows of one, and their work in tokens.
    pub fn waiting(&self) -> (usize, usize) {
        let queue = self.queue();
        (queue.items, queue.work)
    }

    /// Texts that devices work on.
    pub fn running(&self) -> usize {
        self.queue().running
    }

    /// Whether nothing waits and nothing runs.
    pub fn is_idle(&self) -> bool {
        let queue = self.queue();
        queue.items == 0 && queue.running == 0
    }

    /// Whether every device is lost and none was opened again yet.
    pub fn is_lost(&self) -> bool {
        self.workers.iter().all(Worker::is_lost)
    }

    /// Ends the threads once the queue is empty; what comes after is refused.
    pub fn close(&self) {
        self.queue().closed = true;
        self.wake.notify_all();
        self.end.notify_all();
    }

    /// The results of `texts`, each with every one of `captures`; longer ones than `window` says are
    /// run in windows. Dropped, what still waits of it is not run.
    ///
    /// # Errors
    ///
    /// `ErrorCode::TooLarge` for more work than a request may be, `ErrorCode::Overloaded` where the queue is full, `ErrorCode::Unhealthy` where no device is left, else
    /// what the encoder says of the texts.
    pub async fn submit(
        &self,
        client: Client,
        texts: Vec<Arc<PreparedText>>,
        captures: Vec<Capture>,
        window: Option<(usize, Option<usize>)>,
    ) -> Result<Done, ApiError> {
        if texts.is_empty() {
            return Err(ApiError::new(ErrorCode::Empty, "there is no text to embed"));
        }
        let (reply, answer) = oneshot::channel();
        let state = RequestState {
            texts: (0..texts.len()).map(|_| None).collect(),
            left: texts.len(),
            taken: None,
            reply: Some(reply),
        };
        let (began, state) = (Instant::now(), Mutex::new(state));
        let request = Arc::new(Request { captures, began, state });
        let items = self.items(&request, texts, window)?;
        let (count, work) = (items.len(), items.iter().map(|item| item.work).sum::<usize>());
        {
            let mut queue = self.queue();
            if queue.closed {
                return Err(ApiError::closing());
            }
            if self.workers.iter().all(Worker::is_gone) {
                return Err(ApiError::lost());
            }
            // A request that is larger than the queue itself can only come when nothing waits.
            let full = queue.items + count > self.bounds.texts
                || queue.work.saturating_add(work) > self.bounds.waiting;
            if full && queue.items > 0 {
                return Err(ApiError::busy());
            }
            queue.push(client, items.into_iter());
        }
        self.wake.notify_one();
        answer.await.unwrap_or_else(|_| Err(ApiError::closing()))
    }

    /// What waits of a request: each text, or some windows at a time of one that is run in windows.
    ///
    /// # Errors
    ///
    /// `ErrorCode::TooLarge` for more work than one request may be.
    fn items(
        &self,
        request: &Arc<Request>,
        texts: Vec<Arc<PreparedText>>,
        window: Option<(usize, Option<usize>)>,
    ) -> Result<Vec<Item>, ApiError> {
        let (encoder, most) = (self.encoder(), self.bounds.request);
        let (mut items, mut all) = (Vec::with_capacity(texts.len()), 0usize);
        let mut add = |item: Item| {
            all = all.saturating_add(item.work);
            items.push(item);
            if all <= most {
                return Ok(());
            }
            let said = format!(
                "the texts are more work than {most} tokens, the limit of one request here (windows \
                 count with what they share, long texts by what their attention costs): send fewer \
                 or shorter texts at a time"
            );
            Err(ApiError::new(ErrorCode::TooLarge, said))
        };
        for (index, text) in texts.into_iter().enumerate() {
            let item = |text: &Arc<PreparedText>, windows, work| Item {
                request: Arc::clone(request),
                index,
                text: Arc::clone(text),
                windows,
                work,
                again: false,
            };
            let tokens = &text.tokens;
            let windows = window.and_then(|(limit, stride)| {
                Windowed::new(tokens, limit, stride, &request.captures)
            });
            let Some(windows) = windows.map(Arc::new) else {
                add(item(&text, None, encoder.work(tokens.len())))?;
                continue;
            };
            let (mut first, mut work) = (0, 0);
            for k in 0..windows.len() {
                work += encoder.work(windows.tokens(k));
                if work >= SLICE || k + 1 == windows.len() {
                    add(item(&text, Some((Arc::clone(&windows), first..k + 1)), work))?;
                    (first, work) = (k + 1, 0);
                }
            }
        }
        Ok(items)
    }

    /// The next batch for `worker`, once there is one; `None` once all is done and nothing more will
    /// come.
    fn take(&self, worker: &Worker) -> Option<Vec<Item>> {
        let mut queue = self.queue();
        loop {
            while queue.items == 0 && !queue.closed {
                queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            if queue.items == 0 {
                return None;
            }
            let budget = worker.pace.budget(self.share(queue.work));
            // Where not all fits, short texts do not wait for a batch of long ones.
            let short = match queue.work > budget {
                true => queue.take_short(budget, SHORT),
                false => Vec::new(),
            };
            let (items, dropped) = match short.is_empty() {
                true => queue.take(budget),
                false => (short, 0),
            };
            self.metrics.abandoned.add(dropped);
            if !items.is_empty() {
                // What is left is for the others.
                if queue.items > 0 {
                    self.wake.notify_one();
                }
                return Some(items);
            }
        }
    }

    /// Texts that wait and are next, each and all of no more work than `short`.
    fn take_short(&self, short: usize) -> Vec<Item> {
        self.queue().take_short(short, short)
    }

    /// The work of a batch while so much waits: all that fits, but no more than this device's part
    /// where there are others.
    fn share(&self, waiting: usize) -> usize {
        let well = self.workers.iter().filter(|w| !w.is_lost()).count().max(1);
        let part = if well == 1 { waiting } else { waiting.div_ceil(well).max(SHARE) };
        part.min(self.batch_tokens)
    }

    /// The texts of a batch are done with.
    fn done(&self, texts: usize) {
        self.queue().running -= texts;
    }

    /// Has the texts of a batch wait again, before all others.
    fn give_back(&self, items: Vec<Item>) {
        self.queue().give_back(items);
        self.wake.notify_one();
    }

    /// Refuses all that waits, where no device is left to run it.
    fn refuse_if_gone(&self) {
        if !self.workers.iter().all(Worker::is_gone) {
            return;
        }
        let (items, _) = self.queue().take(usize::MAX);
        for item in &items {
            item.request.land(item.index, Err(ApiError::lost()));
        }
        self.done(items.len());
    }

    /// Waits `pause`, or until the end; whether it is the end.
    fn rest(&self, pause: Duration) -> bool {
        let queue = self.queue();
        let over = |queue: &mut Queue| !queue.closed;
        let (queue, _) =
            self.end.wait_timeout_while(queue, pause, over).unwrap_or_else(PoisonError::into_inner);
        queue.closed
    }

    /// Counts a batch.
    fn count(&self, texts: usize, tokens: usize, took: Duration, rerun: usize) {
        let metrics = &self.metrics;
        metrics.device_micros.add(took.as_micros() as u64);
        metrics.tokens.add(tokens as u64);
        metrics.batch_tokens.see(tokens as f64);
        metrics.batch_duration.took(took);
        metrics.last_batch.0.store(texts as u64, Relaxed);
        metrics.last_batch.1.store(tokens as u64, Relaxed);
        metrics.overflowed.add(rerun as u64);
        tracing::debug!(texts, tokens, micros = took.as_micros() as u64, "batch");
    }
}
