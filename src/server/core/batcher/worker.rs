//! One device that serves a queue: its thread, and what it does when the device is lost.
//!
//! On the CPU a batch is run in turns: between two of them short texts that came meanwhile are run,
//! so that they do not wait for the end of a long one.
//!
//! A device that is lost is opened again at once, and the texts it was working on wait once more,
//! before all others: this device or another runs them. Texts whose second device is lost too are
//! refused. A device that cannot be opened, or is lost again at its first text, is tried again
//! later and later, and what waits meanwhile is refused unless another device is left.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::pace::Pace;
use super::queue::Item;
use super::{Batcher, SHORT};
use crate::capture::Capture;
use crate::encoder::{Encoder, Job, JobResults};
use crate::error::{ErrorKind, Result, fail};
use crate::server::core::error::ApiError;
use crate::server::core::metrics::Counter;

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

/// Of the device's time, the part that short texts may take between the turns of others: what they
/// take there is dear, as a batch of few tokens reads all weights.
const PART: i64 = 11;
/// Microseconds of it that they may save up. They may overdraw twice as much, and wait until it is
/// earned back.
const SAVED: i64 = 16_000;

/// A device with the model on it.
pub struct Worker {
    encoder: RwLock<Arc<Encoder>>,
    open: Open,
    state: AtomicU8,
    /// Of the device.
    name: String,
    /// Texts it has run.
    texts: Counter,
    /// Its rate.
    pub(super) pace: Pace,
    /// Microseconds that short texts may be run between the turns of others.
    credit: AtomicI64,
}

impl Worker {
    /// Opens the model with `open`.
    pub(super) fn open(open: Open, target: Option<Duration>) -> Result<Self> {
        let encoder = open()?;
        let name = encoder.device();
        let encoder = RwLock::new(Arc::new(encoder));
        let (state, texts, pace) = (AtomicU8::new(WELL), Counter::default(), Pace::new(target));
        let credit = AtomicI64::new(SAVED);
        Ok(Self { encoder, open, state, name, texts, pace, credit })
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
            let Some(items) = batcher.take(self) else { return };
            if self.batch(batcher, items, true) {
                pause = PAUSE.0;
            }
        }
    }

    /// Runs a batch; whether the device still works. With `in_turns` others may be run meanwhile.
    fn batch(&self, batcher: &Batcher, mut items: Vec<Item>, in_turns: bool) -> bool {
        let span = tracing::info_span!("batch", texts = items.len(), device = self.name);
        let _entered = span.enter();
        let now = Instant::now();
        for item in &items {
            item.request.state().taken.get_or_insert(now);
        }
        let jobs: Vec<Job<'_>> = items.iter().map(Item::job).collect();
        let encoder = self.encoder();
        let tokens: usize = items.iter().map(Item::tokens).sum();
        let work: usize = items.iter().map(|item| item.work).sum();
        let mut between = Between { worker: self, batcher, took: Duration::ZERO };
        let run = || match in_turns && encoder.is_on_cpu() {
            // On a thread of the CPU's pool: to go there from outside for each turn takes longer than
            // its small kernels.
            true => rayon::scope(|_| between.run(&encoder, &jobs, work)),
            false => pollster::block_on(encoder.embed_jobs(&jobs)),
        };
        let ran = catch_unwind(AssertUnwindSafe(run))
            .unwrap_or_else(|_| Err(fail!(Gpu, "the model failed on this batch (a panic)")));
        let took = now.elapsed().saturating_sub(between.took);
        let rerun = ran.as_ref().map_or(0, |ran| ran.rerun);
        if ran.is_ok() {
            self.pace.ran(work, took);
        }
        if in_turns && work <= SHORT && batcher.waiting().0 > 0 {
            self.spend(took);
        }
        batcher.count(items.len(), tokens, took, rerun);
        let count = items.len();
        match ran {
            Ok(ran) => {
                for (item, result) in items.iter().zip(ran.results) {
                    // Windows of it are still to come where there is no result.
                    let Some(result) = result.transpose() else { continue };
                    self.texts.add(1);
                    batcher.metrics.texts.add(1);
                    item.request.land(item.index, result.map_err(ApiError::from));
                }
            }
            Err(e) if e.kind() == ErrorKind::DeviceLost => {
                tracing::error!(error = %e, texts = count, "the device is lost");
                self.state.store(LOST, Relaxed);
                let (spent, mut fresh): (Vec<_>, Vec<_>) = items.drain(..).partition(|i| i.again);
                for item in &spent {
                    item.request.land(item.index, Err(ApiError::lost()));
                }
                fresh.iter_mut().for_each(|item| item.again = true);
                batcher.done(spent.len());
                batcher.give_back(fresh);
                return false;
            }
            Err(e) => {
                tracing::error!(error = %e, texts = count, "a batch failed");
                let said = ApiError::from(e);
                items.iter().for_each(|item| item.request.land(item.index, Err(said.clone())));
            }
        }
        batcher.done(count);
        true
    }

    /// Short texts took so much of the time of others.
    fn spend(&self, took: Duration) {
        let credit = self.credit.load(Relaxed) - took.as_micros() as i64;
        self.credit.store(credit.max(-2 * SAVED), Relaxed);
    }

    /// Others ran for so long.
    fn earn(&self, took: Duration) {
        let credit = self.credit.load(Relaxed) + took.as_micros() as i64 / PART;
        self.credit.store(credit.min(SAVED), Relaxed);
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

/// A batch that is run in turns, with short texts between them.
struct Between<'a> {
    worker: &'a Worker,
    batcher: &'a Batcher,
    /// What all of those took.
    took: Duration,
}

impl Between<'_> {
    /// Runs the batch, which is so much work.
    fn run(&mut self, encoder: &Encoder, jobs: &[Job<'_>], work: usize) -> Result<JobResults> {
        let short = SHORT.min(work / 2);
        let mut batch = std::pin::pin!(encoder.embed_jobs_in_turns(jobs));
        pollster::block_on(std::future::poll_fn(|context| {
            let began = Instant::now();
            let polled = batch.as_mut().poll(context);
            self.worker.earn(began.elapsed());
            if polled.is_pending() && self.worker.credit.load(Relaxed) > 0 {
                self.others(short);
            }
            polled
        }))
    }

    /// Runs short texts that wait, if there are any.
    fn others(&mut self, short: usize) {
        let items = self.batcher.take_short(short);
        if items.is_empty() {
            return;
        }
        let began = Instant::now();
        self.worker.batch(self.batcher, items, false);
        self.worker.spend(began.elapsed());
        self.took += began.elapsed();
    }
}
