//! Who may be connected: at most so many. Where a new one finds no seat, the one that has asked for
//! nothing for longest is shown out: a crowd that connects and says little shuts nobody out.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// All connections.
pub struct Crowd {
    most: usize,
    seats: Mutex<Vec<Arc<Seat>>>,
    left: Notify,
    began: Instant,
}

/// A connection's place.
pub struct Seat {
    /// Whether a whole request is being answered.
    works: AtomicBool,
    /// Since when it has asked for nothing, in microseconds of the crowd.
    since: AtomicU64,
    leaves: AtomicBool,
    out: Notify,
    began: Instant,
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
        Arc::new(Self { most: most.max(1), seats, left, began: Instant::now() })
    }

    fn seats(&self) -> MutexGuard<'_, Vec<Arc<Seat>>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A seat. It waits while all others are answered, or are about to leave.
    pub async fn seat(self: &Arc<Self>) -> Seated {
        loop {
            {
                let mut seats = self.seats();
                if seats.len() < self.most {
                    let seat = Arc::new(Seat {
                        works: AtomicBool::new(false),
                        since: AtomicU64::new(self.began.elapsed().as_micros() as u64),
                        leaves: AtomicBool::new(false),
                        out: Notify::new(),
                        began: self.began,
                    });
                    seats.push(Arc::clone(&seat));
                    return Seated { crowd: Arc::clone(self), seat };
                }
                // One at a time: who was shown out is on the way.
                if !seats.iter().any(|s| s.leaves.load(Relaxed)) {
                    let silent = seats.iter().filter(|s| !s.works.load(Relaxed));
                    if let Some(seat) = silent.min_by_key(|s| s.since.load(Relaxed)) {
                        seat.leaves.store(true, Relaxed);
                        seat.out.notify_one();
                    }
                }
            }
            // Whoever left before this line left a permit behind. One that is done may be shown out.
            let pause = Duration::from_millis(50);
            let _ = tokio::time::timeout(pause, self.left.notified()).await;
        }
    }
}

impl Seat {
    /// Ends once its connection must leave.
    pub async fn shown_out(&self) {
        self.out.notified().await;
    }

    /// Its request is whole.
    pub fn work(self: Arc<Self>) -> Working {
        self.works.store(true, Relaxed);
        Working(self)
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.since.store(self.0.began.elapsed().as_micros() as u64, Relaxed);
        self.0.works.store(false, Relaxed);
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

    #[tokio::test]
    async fn the_longest_silent_is_shown_out_and_no_one_at_work() {
        let crowd = Crowd::new(2);
        let (first, second) = (crowd.seat().await, crowd.seat().await);
        let working = Arc::clone(&first.seat).work();
        let third = tokio::spawn({
            let crowd = Arc::clone(&crowd);
            async move { crowd.seat().await }
        });
        second.seat.shown_out().await;
        assert!(!first.seat.leaves.load(Relaxed));
        drop(second);
        let third = third.await.expect("it is seated");
        drop(working);
        // Both are silent now; the first has been so for less long.
        let fourth = crowd.seat();
        tokio::select! {
            _ = fourth => panic!("seated beside two others"),
            () = third.seat.shown_out() => {}
        }
    }
}
