//! Who may be connected: at most so many; others wait in the system's queue.
//!
//! While one waits, connections end with the answer they are given, and the one that has been silent
//! for longest, and for [`QUIET`] at least, makes room: a crowd that connects and says little shuts
//! nobody out for long, and no client that asks for something is turned away.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// A connection is silent once it has sent less than [`STEP`] bytes in so long.
const QUIET: Duration = Duration::from_secs(3);
/// Bytes of a request that are some progress.
const STEP: usize = 4 << 10;

/// All connections.
pub struct Crowd {
    most: usize,
    seats: Mutex<Vec<Arc<Seat>>>,
    left: Notify,
    shared: Arc<Shared>,
}

/// What seats know of the crowd.
struct Shared {
    /// Whether somebody waits for a seat.
    full: AtomicBool,
    began: Instant,
}

/// A connection's place.
pub struct Seat {
    /// Requests that are whole and being answered.
    works: AtomicUsize,
    /// Since when it is silent, in microseconds of the crowd.
    since: AtomicU64,
    /// Bytes of a request whose answer has not begun: since the last answer, and since the last step.
    asked: AtomicUsize,
    step: AtomicUsize,
    leaves: AtomicBool,
    out: Notify,
    shared: Arc<Shared>,
}

/// A seat, until it is dropped.
pub struct Seated {
    crowd: Arc<Crowd>,
    /// The seat.
    pub seat: Arc<Seat>,
}

/// A request that is whole and being answered: its connection stays.
pub struct Working(Arc<Seat>);

impl Crowd {
    /// Room for `most` connections, one at least.
    pub fn new(most: usize) -> Arc<Self> {
        let (seats, left) = (Mutex::default(), Notify::new());
        let shared = Arc::new(Shared { full: AtomicBool::new(false), began: Instant::now() });
        Arc::new(Self { most: most.max(1), seats, left, shared })
    }

    fn seats(&self) -> MutexGuard<'_, Vec<Arc<Seat>>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A seat. It waits while no other is silent for long enough.
    pub async fn seat(self: &Arc<Self>) -> Seated {
        loop {
            {
                let mut seats = self.seats();
                if seats.len() < self.most {
                    let seat = Arc::new(Seat::new(&self.shared));
                    seats.push(Arc::clone(&seat));
                    self.shared.full.store(false, Relaxed);
                    return Seated { crowd: Arc::clone(self), seat };
                }
                self.shared.full.store(true, Relaxed);
                show_out(&seats);
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
        show_out(&self.seats());
    }
}

/// Tells the longest silent of `seats` to leave; one at a time: who was told is on the way.
fn show_out(seats: &[Arc<Seat>]) {
    if seats.iter().any(|seat| seat.leaves.load(Relaxed)) {
        return;
    }
    let silent = seats.iter().filter(|seat| seat.is_silent());
    if let Some(seat) = silent.min_by_key(|seat| seat.since.load(Relaxed)) {
        seat.leaves.store(true, Relaxed);
        seat.out.notify_one();
    }
}

impl Seat {
    fn new(shared: &Arc<Shared>) -> Self {
        let seat = Self {
            works: AtomicUsize::new(0),
            since: AtomicU64::new(0),
            asked: AtomicUsize::new(0),
            step: AtomicUsize::new(0),
            leaves: AtomicBool::new(false),
            out: Notify::new(),
            shared: Arc::clone(shared),
        };
        seat.stir();
        seat
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
    pub async fn shown_out(&self) {
        self.out.notified().await;
    }

    /// It was told to leave, and has something to say.
    pub fn stay(&self) {
        self.stir();
        self.leaves.store(false, Relaxed);
    }

    /// Whether others wait for a seat, so that a connection ends with its answer.
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

impl Drop for Seated {
    fn drop(&mut self) {
        self.crowd.seats().retain(|seat| !Arc::ptr_eq(seat, &self.seat));
        self.crowd.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Has `seat` be silent since the beginning.
    fn long_silent(crowd: &mut Crowd, by: Duration) {
        let began = crowd.shared.began.checked_sub(by).expect("the machine runs for longer");
        crowd.shared = Arc::new(Shared { full: AtomicBool::new(false), began });
    }

    #[tokio::test]
    async fn the_longest_silent_is_shown_out_and_no_one_at_work() {
        let mut crowd = Arc::into_inner(Crowd::new(2)).expect("one owner");
        long_silent(&mut crowd, QUIET * 2);
        let crowd = Arc::new(crowd);
        let (first, second) = (crowd.seat().await, crowd.seat().await);
        let working = Arc::clone(&first.seat).work();
        let third = tokio::spawn({
            let crowd = Arc::clone(&crowd);
            async move { crowd.seat().await }
        });
        // Neither has been silent for long.
        tokio::time::sleep(Duration::from_millis(120)).await;
        assert!(!second.seat.leaves.load(Relaxed) && second.seat.is_wanted());
        [&first, &second].iter().for_each(|one| one.seat.since.store(0, Relaxed));
        second.seat.shown_out().await;
        assert!(!first.seat.leaves.load(Relaxed));
        // One that has something to say stays.
        second.seat.stay();
        tokio::time::sleep(Duration::from_millis(120)).await;
        assert!(!second.seat.leaves.load(Relaxed));
        drop(working);
        assert!(!first.seat.is_silent(), "it has just been answered");
        drop(second);
        let third = third.await.expect("it is seated");
        assert!(!third.seat.is_wanted());
    }

    #[test]
    fn a_trickle_is_silence() {
        let crowd = Crowd::new(1);
        let seat = Seat::new(&crowd.shared);
        let since = |at: u64| {
            seat.since.store(at, Relaxed);
            move |seat: &Seat| seat.since.load(Relaxed) != at
        };
        let stirred = since(u64::MAX);
        seat.heard(1);
        assert!(stirred(&seat) && seat.has_asked(), "the first byte of a request");
        let stirred = since(u64::MAX);
        (0..100).for_each(|_| seat.heard(1));
        assert!(!stirred(&seat), "a hundred more");
        seat.heard(STEP);
        assert!(stirred(&seat), "a part of a body");
    }
}
