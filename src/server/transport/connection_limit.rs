//! The limit of connections: others wait in the system's queue.
//!
//! While one waits, connections end with the answer they are given, and the one that has been silent
//! for longest, and for [`QUIET`] at least, is evicted: many connections that send little keep nobody
//! out for long, and no client with a request is evicted.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// A connection is silent once it has sent less than [`STEP`] bytes in so long.
const QUIET: Duration = Duration::from_secs(3);
/// Bytes of a request that are some progress.
const STEP: usize = 4 << 10;

/// All connections.
pub struct ConnectionLimit {
    most: usize,
    slots: Mutex<Vec<Arc<Slot>>>,
    left: Notify,
    shared: Arc<LimitState>,
}

/// What slots know of each other.
struct LimitState {
    /// Whether somebody waits for a slot.
    full: AtomicBool,
    began: Instant,
}

/// A connection's place.
pub struct Slot {
    /// Requests that are whole and being answered.
    works: AtomicUsize,
    /// Since when it is silent, in microseconds since the limit began.
    since: AtomicU64,
    /// Bytes of a request whose answer has not begun: since the last answer, and since the last step.
    asked: AtomicUsize,
    step: AtomicUsize,
    evicting: AtomicBool,
    out: Notify,
    shared: Arc<LimitState>,
}

/// A slot, until it is dropped.
pub struct SlotGuard {
    limit: Arc<ConnectionLimit>,
    /// The slot.
    pub slot: Arc<Slot>,
}

/// A request that is whole and being answered: its connection stays.
pub struct Working(Arc<Slot>);

impl ConnectionLimit {
    /// Room for `most` connections, one at least.
    pub fn new(most: usize) -> Arc<Self> {
        let (slots, left) = (Mutex::default(), Notify::new());
        let shared = Arc::new(LimitState { full: AtomicBool::new(false), began: Instant::now() });
        Arc::new(Self { most: most.max(1), slots, left, shared })
    }

    fn slots(&self) -> MutexGuard<'_, Vec<Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A slot. It waits while no other is silent for long enough.
    pub async fn slot(self: &Arc<Self>) -> SlotGuard {
        loop {
            {
                let mut slots = self.slots();
                if slots.len() < self.most {
                    let slot = Arc::new(Slot::new(&self.shared));
                    slots.push(Arc::clone(&slot));
                    self.shared.full.store(false, Relaxed);
                    return SlotGuard { limit: Arc::clone(self), slot };
                }
                self.shared.full.store(true, Relaxed);
                evict(&slots);
            }
            // Whoever left before this line left a permit behind. One may have become silent.
            let pause = Duration::from_millis(50);
            let _ = tokio::time::timeout(pause, self.left.notified()).await;
        }
    }

    /// Has a silent connection leave, and the others end with their answers, where the system has no
    /// more files for new ones.
    pub fn make_room(&self) {
        self.shared.full.store(true, Relaxed);
        evict(&self.slots());
    }
}

/// Tells the longest silent of `slots` to leave; one at a time: who was told is on the way.
fn evict(slots: &[Arc<Slot>]) {
    if slots.iter().any(|slot| slot.evicting.load(Relaxed)) {
        return;
    }
    let silent = slots.iter().filter(|slot| slot.is_silent());
    if let Some(slot) = silent.min_by_key(|slot| slot.since.load(Relaxed)) {
        slot.evicting.store(true, Relaxed);
        slot.out.notify_one();
    }
}

impl Slot {
    fn new(shared: &Arc<LimitState>) -> Self {
        let slot = Self {
            works: AtomicUsize::new(0),
            since: AtomicU64::new(0),
            asked: AtomicUsize::new(0),
            step: AtomicUsize::new(0),
            evicting: AtomicBool::new(false),
            out: Notify::new(),
            shared: Arc::clone(shared),
        };
        slot.stir();
        slot
    }

    fn now(&self) -> u64 {
        self.shared.began.elapsed().as_micros() as u64
    }

    /// It is not silent now.
    fn stir(&self) {
        self.since.store(self.now(), Relaxed);
        self.step.store(0, Relaxed);
    }

    /// Whether it has asked for nothing, or not gone on asking, for long enough to make room.
    pub fn is_silent(&self) -> bool {
        let silent = self.now().saturating_sub(self.since.load(Relaxed));
        self.works.load(Relaxed) == 0 && u128::from(silent) >= QUIET.as_micros()
    }

    /// Ends once its connection is told to leave.
    pub async fn evicted(&self) {
        self.out.notified().await;
    }

    /// It was told to leave, and has something to say.
    pub fn stay(&self) {
        self.stir();
        self.evicting.store(false, Relaxed);
    }

    /// Whether others wait for a slot, so that a connection ends with its answer.
    pub fn is_wanted(&self) -> bool {
        self.shared.full.load(Relaxed)
    }

    /// Whether a part of a request came that is not answered.
    pub fn has_asked(&self) -> bool {
        self.asked.load(Relaxed) > 0
    }

    /// Its client sent `count` bytes.
    pub fn heard(&self, count: usize) {
        let first = self.asked.fetch_add(count, Relaxed) == 0;
        if self.step.fetch_add(count, Relaxed) + count >= STEP || first {
            self.stir();
        }
    }

    /// Its client took some bytes.
    pub fn sent(&self) {
        self.stir();
    }

    /// Its request is whole.
    pub fn work(self: Arc<Self>) -> Working {
        self.works.fetch_add(1, Relaxed);
        Working(self)
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.asked.store(0, Relaxed);
        self.0.stir();
        self.0.works.fetch_sub(1, Relaxed);
    }
}

impl Drop for SlotGuard {
    fn drop(&mut self) {
        self.limit.slots().retain(|slot| !Arc::ptr_eq(slot, &self.slot));
        self.limit.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Has `slot` be silent since the beginning.
    fn long_silent(limit: &mut ConnectionLimit, by: Duration) {
        let began = limit.shared.began.checked_sub(by).expect("the machine runs for longer");
        limit.shared = Arc::new(LimitState { full: AtomicBool::new(false), began });
    }

    #[tokio::test]
    async fn the_longest_silent_is_shown_out_and_no_one_at_work() {
        let mut limit = Arc::into_inner(ConnectionLimit::new(2)).expect("one owner");
        long_silent(&mut limit, QUIET * 2);
        let limit = Arc::new(limit);
        let (first, second) = (limit.slot().await, limit.slot().await);
        let working = Arc::clone(&first.slot).work();
        let third = tokio::spawn({
            let limit = Arc::clone(&limit);
            async move { limit.slot().await }
        });
        // Neither has been silent for long.
        tokio::time::sleep(Duration::from_millis(120)).await;
        assert!(!second.slot.evicting.load(Relaxed) && second.slot.is_wanted());
        [&first, &second].iter().for_each(|one| one.slot.since.store(0, Relaxed));
        second.slot.evicted().await;
        assert!(!first.slot.evicting.load(Relaxed));
        // One that has something to say stays.
        second.slot.stay();
        tokio::time::sleep(Duration::from_millis(120)).await;
        assert!(!second.slot.evicting.load(Relaxed));
        drop(working);
        assert!(!first.slot.is_silent(), "it has just been answered");
        drop(second);
        let third = third.await.expect("it has a slot");
        assert!(!third.slot.is_wanted());
    }

    #[test]
    fn a_trickle_is_silence() {
        let limit = ConnectionLimit::new(1);
        let slot = Slot::new(&limit.shared);
        let since = |at: u64| {
            slot.since.store(at, Relaxed);
            move |slot: &Slot| slot.since.load(Relaxed) != at
        };
        let stirred = since(u64::MAX);
        slot.heard(1);
        assert!(stirred(&slot) && slot.has_asked(), "the first byte of a request");
        let stirred = since(u64::MAX);
        (0..100).for_each(|_| slot.heard(1));
        assert!(!stirred(&slot), "a hundred more");
        slot.heard(STEP);
        assert!(stirred(&slot), "a part of a body");
    }
}
