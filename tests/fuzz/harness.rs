//! Runs a parser on input after input, each made from its number, and holds each to bounds: no
//! panic, no more than [`TIME`], no more than [`MEMORY`].
//!
//! `EVERYLAYER_FUZZ_SECONDS` is the time for a target (2 where it is not set),
//! `EVERYLAYER_FUZZ_INPUTS` a number of inputs instead, `EVERYLAYER_FUZZ_ONLY` the number of one
//! input to run again, and `EVERYLAYER_FUZZ_LAST` a file that is to have the number of the input that
//! is run, for one that ends the process.

use std::io::{Seek, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::memory;
use super::rng::Rng;

/// Of one input.
const TIME: Duration = Duration::from_secs(10);
const MEMORY: usize = 1 << 30;
/// Failures after which a target gives up.
const ENOUGH: usize = 20;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

/// Runs `one` on numbers from the seeds of inputs 0, 1, and so on, and prints a line of the table
/// that `tests/fuzz/run` gathers.
pub fn fuzz(target: &'static str, mut one: impl FnMut(&mut Rng)) {
    let most = number("EVERYLAYER_FUZZ_INPUTS");
    let only = number("EVERYLAYER_FUZZ_ONLY");
    let seconds = Duration::from_secs(number("EVERYLAYER_FUZZ_SECONDS").unwrap_or(2));
    let last = std::env::var_os("EVERYLAYER_FUZZ_LAST");
    let mut last = last.map(|path| std::fs::File::create(path).unwrap());
    let watch = Watch::start(target);
    let begun = Instant::now();
    let (mut slowest, mut peak) = ((Duration::ZERO, 0), (0, 0));
    let mut failures = Vec::new();
    let mut input = only.unwrap_or(0);
    loop {
        let is_over = match (only, most) {
            (Some(only), _) => input > only,
            (None, Some(most)) => input >= most,
            (None, None) => begun.elapsed() >= seconds,
        };
        if is_over || failures.len() >= ENOUGH {
            break;
        }
        watch.input(input);
        if let Some(file) = &mut last {
            file.rewind().unwrap();
            file.write_all(format!("{input:<20}").as_bytes()).unwrap();
        }
        let started = Instant::now();
        let before = memory::begin(target, input);
        let done = catch_unwind(AssertUnwindSafe(|| one(&mut Rng::of(input))));
        let (took, most) = (started.elapsed(), memory::peak(before));
        slowest = slowest.max((took, input));
        peak = peak.max((most, input));
        if done.is_err() {
            failures.push(format!("input {input} panics"));
        } else if took > TIME || most > MEMORY {
            failures.push(format!("input {input} takes {took:?} and {} MB", most >> 20));
        }
        input += 1;
    }
    drop(watch);
    println!(
        "fuzz: {target:<12} {:>8} inputs {:>5} s, slowest {:>5} ms (input {}), peak {:>4} MB (input \
         {}), {} failures",
        input - only.unwrap_or(0),
        begun.elapsed().as_secs(),
        slowest.0.as_millis(),
        slowest.1,
        peak.0 >> 20,
        peak.1,
        failures.len()
    );
    assert!(failures.is_empty(), "{target}: {}", failures.join("; "));
}

/// Ends the process where an input takes longer than it may.
struct Watch {
    /// The input, and when it began: milliseconds.
    state: Arc<[AtomicU64; 2]>,
    begun: Instant,
}

impl Watch {
    fn start(target: &'static str) -> Self {
        let (state, begun) = (Arc::new([AtomicU64::new(0), AtomicU64::new(0)]), Instant::now());
        let watched = Arc::downgrade(&state);
        std::thread::spawn(move || {
            while let Some(state) = watched.upgrade() {
                let [input, since] = [0, 1].map(|i| state[i].load(Relaxed));
                drop(state);
                let now = begun.elapsed().as_millis() as u64;
                if now.saturating_sub(since) > TIME.as_millis() as u64 {
                    eprintln!("fuzz: {target} input {input} takes more than {TIME:?}");
                    std::process::exit(101);
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        Self { state, begun }
    }

    fn input(&self, input: u64) {
        self.state[1].store(self.begun.elapsed().as_millis() as u64, Relaxed);
        self.state[0].store(input, Relaxed);
    }
}
