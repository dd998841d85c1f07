//! The one queue under every front end: texts of all clients, packed together by tokens.
//!
//! Clients take turns, a text each, so that a client with a million texts holds nobody up. A text
//! whose client has left is dropped where it waits. The queue is bounded by texts and by tokens.
//! One thread a device takes batches off it; it never waits for a client.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::metrics::Metrics;
use super::refusal::{Refusal, Why};
use crate::capture::Capture;
use crate::embeddings::TextEmbedding;
use crate::encoder::{Encoder, Order};
use crate::error::{ErrorKind, Result};
use crate::text::{Tokens, Word};

/// Who asks: what takes turns. A connection, or an identity on ZeroMQ.
pub type Client = u64;

/// A text that has its tokens.
#[derive(Debug, Clone, Default)]
pub struct Ready {
    /// Its tokens.
    pub tokens: Tokens,
    /// Place of each token where it is not its number.
    pub positions: Option<Vec<u32>>,
    /// Its words, where they are asked for.
    pub words: Vec<Word>,
    /// Tokens at its start that are not pooled.
    pub skip: usize,
    /// Tokens at its end that look at the others and are not looked at.
    pub hidden: usize,
}

/// What came of a request: for each text, a result a capture, in f32.
#[derive(Debug)]
pub struct Done {
    /// (texts, captures)
    pub texts: Vec<Vec<TextEmbedding>>,
    /// Until the first text was taken.
    pub queued: Duration,
    /// From then to the last result.
    pub ran: Duration,
}

/// A request under way.
struct Request {
    captures: Vec<Capture>,
    began: Instant,
    state: Mutex<State>,
}

struct State {
    texts: Vec<Option<Vec<TextEmbedding>>>,
    left: usize,
    taken: Option<Instant>,
    reply: Option<oneshot::Sender<Result<Done, Refusal>>>,
}

impl Request {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody waits any more.
    fn is_over(&self) -> bool {
        self.state().reply.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    fn land(&self, index: usize, result: Result<Vec<TextEmbedding>, Refusal>) {
        let mut state = self.state();
        match result {
            Ok(mut texts) => {
                texts.iter_mut().for_each(|text| text.index = index);
                state.left -= usize::from(state.texts[index].is_none());
                state.texts[index] = Some(texts);
                if state.left == 0
                    && let Some(reply) = state.reply.take()
                {
                    let texts = state.texts.iter_mut().filter_map(Option::take).collect();
                    let taken = state.taken.unwrap_or(self.began);
                    let (queued, ran) = (taken - self.began, taken.elapsed());
                    let _ = reply.send(Ok(Done { texts, queued, ran }));
                }
            }
            Err(refusal) => {
                if let Some(reply) = state.reply.take() {
                    let place = match state.texts.len() {
                        1 => refusal.message,
                        _ => format!("text {index}: {}", refusal.message),
                    };
                    let _ = reply.send(Err(Refusal::new(refusal.why, place)));
                }
            }
        }
    }
}

/// A text in the queue.
struct Item {
    request: Arc<Request>,
    index: usize,
    ready: Ready,
}

/// The texts that wait.
#[derive(Default)]
struct Queue {
    /// Front is next to be served.
    clients: VecDeque<(Client, VecDeque<Item>)>,
    texts: usize,
    tokens: usize,
    /// Texts that were taken and are not done.
    running: usize,
    closed: bool,
}

impl Queue {
    fn push(&mut self, client: Client, items: impl Iterator<Item = Item>) {
        let at = self.clients.iter().position(|(c, _)| *c == client).unwrap_or_else(|| {
            self.clients.push_back((client, VecDeque::new()));
            self.clients.len() - 1
        });
        for item in items {
            self.texts += 1;
            self.tokens += item.ready.tokens.len();
            self.clients[at].1.push_back(item);
        }
    }

    /// A text of each client in turn, up to `budget` tokens but one text at least; and how many were
    /// dropped, their clients having left.
    fn take(&mut self, budget: usize) -> (Vec<Item>, u64) {
        let (mut taken, mut tokens, mut dropped) = (Vec::new(), 0, 0);
        while let Some((client, mut items)) = self.clients.pop_front() {
            let Some(item) = items.front() else { continue };
            let count = item.ready.tokens.len();
            let over = item.request.is_over();
            if !over && !taken.is_empty() && tokens + count > budget {
                self.clients.push_front((client, items));
                break;
            }
            let item = items.pop_front();
            if !items.is_empty() {
                self.clients.push_back((client, items));
            }
            self.texts -= 1;
            self.tokens -= count;
            match item {
                Some(item) if !over => {
                    tokens += count;
                    taken.push(item);
                }
                _ => dropped += 1,
            }
        }
        self.running += taken.len();
        (taken, dropped)
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn request(texts: usize) -> (Arc<Request>, oneshot::Receiver<Result<Done, Refusal>>) {
        let (reply, answer) = oneshot::channel();
        let texts = (0..texts).map(|_| None).collect();
        let state = Mutex::new(State { texts, left: 1, taken: None, reply: Some(reply) });
        (Arc::new(Request { captures: Vec::new(), began: Instant::now(), state }), answer)
    }

    fn items(request: &Arc<Request>, lengths: &[usize]) -> Vec<Item> {
        let item = |(index, &length): (usize, &usize)| Item {
            request: Arc::clone(request),
            index,
            ready: Ready {
                tokens: Tokens { ids: vec![0; length], ..Tokens::default() },
                ..Ready::default()
            },
        };
        lengths.iter().enumerate().map(item).collect()
    }

    #[test]
    fn clients_take_turns_up_to_the_budget() {
        let mut queue = Queue::default();
        let ((a, _wait_a), (b, _wait_b)) = (request(4), request(1));
        queue.push(1, items(&a, &[5; 4]).into_iter());
        queue.push(2, items(&b, &[7]).into_iter());
        let (taken, dropped) = queue.take(17);
        let whose: Vec<_> = taken.iter().map(|i| (Arc::ptr_eq(&i.request, &a), i.index)).collect();
        assert_eq!(whose, [(true, 0), (false, 0), (true, 1)]);
        assert_eq!((dropped, queue.texts, queue.tokens), (0, 2, 10));
        // One text at least, however long.
        assert_eq!(queue.take(1).0.len(), 1);
    }

    #[test]
    fn texts_whose_client_left_are_dropped() {
        let mut queue = Queue::default();
        let ((a, wait_a), (b, _wait_b)) = (request(3), request(1));
        queue.push(1, items(&a, &[5; 3]).into_iter());
        queue.push(2, items(&b, &[7]).into_iter());
        drop(wait_a);
        let (taken, dropped) = queue.take(100);
        assert_eq!((taken.len(), dropped, queue.texts, queue.tokens), (1, 3, 0, 0));
    }
}
