//! How much a device does in the time that one batch may take.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The work of the first batch, before anything was measured.
const FIRST: f64 = 512.0;
/// Batches of less work tell more of their start than of the device's rate.
const TELLING: usize = 64;
/// What the last batch counts against all before it.
const NEWEST: f64 = 0.2;

/// The rate of a device, as its batches show it.
pub struct Pace {
    /// What a batch may take; without it only its tokens bound it.
    target: Option<Duration>,
    /// Work a second.
    rate: Mutex<Option<f64>>,
}

impl Pace {
    /// For batches of about `target`.
    pub fn new(target: Option<Duration>) -> Self {
        Self { target, rate: Mutex::default() }
    }

    /// The work of a batch that takes the target's time, `most` at most.
    pub fn budget(&self, most: usize) -> usize {
        let Some(target) = self.target else { return most };
        let rate = *self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        let budget = rate.map_or(FIRST, |rate| rate * target.as_secs_f64());
        (budget as usize).clamp(1, most.max(1))
    }

    /// A batch of so much work took so long.
    pub fn ran(&self, work: usize, took: Duration) {
        let seconds = took.as_secs_f64();
        if work < TELLING || seconds <= 0.0 {
            return;
        }
        let seen = work as f64 / seconds;
        let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        *rate = Some(rate.map_or(seen, |rate| rate + NEWEST * (seen - rate)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_come_to_take_the_time() {
        let pace = Pace::new(Some(Duration::from_millis(50)));
        assert_eq!(pace.budget(8192), 512);
        // A device of 4,000 a second that needs 2 ms to start.
        for _ in 0..40 {
            let work = pace.budget(8192);
            pace.ran(work, Duration::from_secs_f64(0.002 + work as f64 / 4000.0));
        }
        assert!((185..=200).contains(&pace.budget(8192)), "{}", pace.budget(8192));
        assert_eq!(pace.budget(100), 100);
        // Little work says nothing.
        pace.ran(3, Duration::from_secs(1));
        assert!(pace.budget(8192) >= 185);
        assert_eq!(Pace::new(None).budget(8192), 8192);
    }
}
