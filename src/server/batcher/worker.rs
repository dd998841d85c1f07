//! One device that serves a queue: its thread, and what it does when the device is lost.
//!
//! A device that is lost is opened again at once, and the texts it was working on wait once more,
//! before all others: this device or another runs them. Texts whose second device is lost too are
//! refused. A device that cannot be opened, or is lost again at its first text, is tried again
//! later and later, and what waits meanwhile is refused unless another device is left.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::Batcher;
use super::queue::Item;
use crate::capture::Capture;
use crate::encoder::{Encoder, Order};
use crate::error::{ErrorKind, Result, fail};
use crate::server::metrics::Counter;
use crate::server::refusal::Refusal;

/// Opens the model on a device, at the start and once the device is lost.
pub type Open = Box<dyn Fn() -> Result<Encoder> + Send + Sync>;

/// Between two attempts to open a lost device: the first, and the most it grows to.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// The device works.
const WELL: u8 = 0;
/// It is lost and being opened again.
const LOST: u8 = 1;
/// It could not be opened again.
const GONE: u8 = 2;

/// A device with the model on it.
pub struct Worker {
    encoder: RwLock<Arc<Encoder>>,
    open: Open,
    state: AtomicU8,
    /// Of the device.
    name: String,
    /// Texts it has run.
    texts: Counter,
}

impl Worker {
    /// Opens the model with `open`.
    pub(super) fn open(open: Open) -> Result<Self> {
        let encoder = open()?;
        let name = encoder.device();
        let encoder = RwLock::new(Arc::new(encoder));
        Ok(Self { encoder, open, state: AtomicU8::new(WELL), name, texts: Counter::default() })
    }

    /// The encoder of now.
    pub fn encoder(&self) -> Arc<Encoder> {
        Arc::clone(&self.encoder.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many texts it has run.
    pub fn texts(&self) -> u64 {
        self.texts.get()
    }

    /// Whether the device is lost.
    pub fn is_lost(&self) -> bool {
        self.state.load(Relaxed) != WELL
    }

    /// Whether it is lost and an attempt to open it again has failed.
    pub fn is_gone(&self) -> bool {
        self.state.load(Relaxed) == GONE
    }

    /// Takes batches until the queue says that it is the end.
    pub(super) fn serve(&self, batcher: &Batcher) {
        let mut pause = PAUSE.0;
        loop {
            if self.is_lost() {
                match self.reopen() {
                    Ok(()) => {
                        tracing::warn!("the device was opened again");
                        batcher.metrics.rebuilt.add(1);
                        self.state.store(WELL, Relaxed);
                    }
                    Err(e) => {
                        tracing::error!(error = %e, "the device cannot be opened again");
                        self.state.store(GONE, Relaxed);
                        batcher.refuse_if_gone();
                        if batcher.rest(pause) {
                            // Others may still serve what waits.
                            return;
                        }
                        pause = (2 * pause).min(PAUSE.1);
                        continue;
                    }
                }
            }
            let Some(items) = batcher.take() else { return };
            if self.batch(batcher, items) {
                pause = PAUSE.0;
            }
        }
    }

    /// Runs a batch; whether the device still works.
    fn batch(&self, batcher: &Batcher, mut items: Vec<Item>) -> bool {
        let span = tracing::info_span!("batch", texts = items.len(), device = self.name);
        let _entered = span.enter();
        let now = Instant::now();
        for item in &items {
            item.request.state().taken.get_or_insert(now);
        }
        let orders: Vec<Order<'_>> = items.iter().map(order).collect();
        let encoder = self.encoder();
        let run = || pollster::block_on(encoder.embed_orders(&orders));
        let served = catch_unwind(AssertUnwindSafe(run))
            .unwrap_or_else(|_| Err(fail!(Gpu, "the model failed on this batch (a panic)")));
        let tokens: usize = items.iter().map(|item| item.ready.tokens.len()).sum();
        let rerun = served.as_ref().map_or(0, |served| served.rerun);
        batcher.count(items.len(), tokens, now.elapsed(), rerun);
        let count = items.len();
        match served {
            Ok(served) => {
                self.texts.add(count as u64);
                for (item, result) in items.iter().zip(served.results) {
                    item.request.land(item.index, result.map_err(Refusal::from));
                }
            }
            Err(e) if e.kind() == ErrorKind::DeviceLost => {
                tracing::error!(error = %e, texts = count, "the device is lost");
                self.state.store(LOST, Relaxed);
                let (spent, mut fresh): (Vec<_>, Vec<_>) = items.drain(..).partition(|i| i.again);
                for item in &spent {
                    item.request.land(item.index, Err(Refusal::lost()));
                }
                fresh.iter_mut().for_each(|item| item.again = true);
                batcher.done(spent.len());
                batcher.give_back(fresh);
                return false;
            }
            Err(e) => {
                tracing::error!(error = %e, texts = count, "a batch failed");
                let said = Refusal::from(e);
                items.iter().for_each(|item| item.request.land(item.index, Err(said.clone())));
            }
        }
        batcher.done(count);
        true
    }

    /// Opens the model again and runs a word through it.
    fn reopen(&self) -> Result<()> {
        let open = || -> Result<()> {
            let encoder = (self.open)()?;
            let capture = Capture::default().normalize(false);
            encoder.embed_blocking(["well"], &capture)?;
            *self.encoder.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(encoder);
            Ok(())
        };
        let failed = |_| -> Result<()> { Err(fail!(DeviceLost, "opening it failed (a panic)")) };
        catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(failed)
    }
}

fn order(item: &Item) -> Order<'_> {
    Order {
        tokens: &item.ready.tokens,
        positions: item.ready.positions.as_deref(),
        words: &item.ready.words,
        skip: item.ready.skip,
        hidden: item.ready.hidden,
        window: item.request.window,
        captures: &item.request.captures,
    }
}
