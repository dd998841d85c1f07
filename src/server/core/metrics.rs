//! What the server counts, written as Prometheus reads it. The names of Text Embeddings Inference
//! are kept where it has one; ours begin with `everylayer_`.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::error::{ApiError, ErrorCode};

/// Upper bounds of the buckets, in seconds.
const SECONDS: [f64; 16] =
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0];
/// Upper bounds of the buckets, in tokens.
const TOKENS: [f64; 16] = [
    1.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0,
    32768.0, 65536.0,
];

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// The sum so far.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// How often a value fell below each bound.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64; 16],
    buckets: [AtomicU64; 17],
    /// In millionths.
    sum: AtomicU64,
}

impl Histogram {
    fn new(bounds: &'static [f64; 16]) -> Self {
        Self { bounds, buckets: Default::default(), sum: AtomicU64::new(0) }
    }

    /// Counts `value`.
    pub fn see(&self, value: f64) {
        let bucket = self.bounds.iter().position(|&b| value <= b).unwrap_or(self.bounds.len());
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum.fetch_add((value * 1e6) as u64, Relaxed);
    }

    /// Counts a time.
    pub fn took(&self, time: Duration) {
        self.see(time.as_secs_f64());
    }

    fn write(&self, name: &str, help: &str, out: &mut String) {
        let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} histogram\n");
        let mut below = 0;
        for (bucket, bound) in self.buckets.iter().zip(self.bounds) {
            below += bucket.load(Relaxed);
            let _ = writeln!(out, "{name}_bucket{{le=\"{bound}\"}} {below}");
        }
        below += self.buckets[16].load(Relaxed);
        let sum = self.sum.load(Relaxed) as f64 / 1e6;
        let _ = write!(
            out,
            "{name}_bucket{{le=\"+Inf\"}} {below}\n{name}_sum {sum}\n{name}_count {below}\n"
        );
    }
}

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    /// Requests received.
    pub requests: Counter,
    /// Requests that were answered with a result.
    pub success: Counter,
    /// Requests that were refused.
    pub failure: Counter,
    /// Requests refused for want of room: in the queue, for results or for bodies.
    pub overloaded: Counter,
    /// From the request's arrival to its answer.
    pub duration: Histogram,
    /// Of a request, in its tokeniser.
    pub tokenization: Histogram,
    /// Of a request, until its first text was taken.
    pub queue: Histogram,
    /// Of a request, from then to its last result.
    pub inference: Histogram,
    /// Tokens of a text.
    pub lengths: Histogram,
    /// Tokens of a batch.
    pub batch_tokens: Histogram,
    /// Of a batch, on its device.
    pub batch_duration: Histogram,
    /// Texts of the last batch and its tokens.
    pub last_batch: (AtomicU64, AtomicU64),
    /// Seconds the device worked, in millionths.
    pub device_micros: Counter,
    /// Texts run.
    pub texts: Counter,
    /// Tokens run.
    pub tokens: Counter,
    /// Texts truncated.
    pub truncated: Counter,
    /// Texts dropped from the queue as their client had left.
    pub abandoned: Counter,
    /// Times a device was lost and opened again.
    pub rebuilt: Counter,
    /// Texts that overflowed f16 and were run again in f32.
    pub overflowed: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let seconds = || Histogram::new(&SECONDS);
        let tokens = || Histogram::new(&TOKENS);
        Self {
            requests: Counter::default(),
            success: Counter::default(),
            failure: Counter::default(),
            overloaded: Counter::default(),
            duration: seconds(),
            tokenization: seconds(),
            queue: seconds(),
            inference: seconds(),
            lengths: tokens(),
            batch_tokens: tokens(),
            batch_duration: seconds(),
            last_batch: Default::default(),
            device_micros: Counter::default(),
            texts: Counter::default(),
            tokens: Counter::default(),
            truncated: Counter::default(),
            abandoned: Counter::default(),
            rebuilt: Counter::default(),
            overflowed: Counter::default(),
        }
    }
}

impl Metrics {
    /// Counts a request that was refused for want of room.
    pub fn error_answer(&self, error: &ApiError) {
        if error.code == ErrorCode::Overloaded {
            self.overloaded.add(1);
        }
    }

    /// The text of `/metrics`; `gauges` are numbers of this moment, or counters
    /// that end in `_total`: name, help, labels, value.
    pub fn write(&self, gauges: &[(&str, &str, String, u64)]) -> String {
        let mut out = String::new();
        let counters: [(&str, &str, &Counter); 11] = [
            ("te_request_count", "Requests received.", &self.requests),
            ("te_request_success", "Requests answered with a result.", &self.success),
            ("te_request_failure", "Requests refused.", &self.failure),
            (
                "everylayer_overloaded_total",
                "Requests rejected because a queue or memory limit was reached.",
                &self.overloaded,
            ),
            ("everylayer_texts_total", "Texts run.", &self.texts),
            ("everylayer_tokens_total", "Tokens run.", &self.tokens),
            ("everylayer_truncated_total", "Texts truncated.", &self.truncated),
            (
                "everylayer_abandoned_total",
                "Texts dropped because their client disconnected.",
                &self.abandoned,
            ),
            ("everylayer_device_rebuilt_total", "Devices lost and opened again.", &self.rebuilt),
            (
                "everylayer_overflow_reruns_total",
                "Texts run again in f32 after an overflow in f16.",
                &self.overflowed,
            ),
            (
                "everylayer_device_microseconds_total",
                "Microseconds of device time.",
                &self.device_micros,
            ),
        ];
        for (name, help, counter) in counters {
            let value = counter.get();
            let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {value}\n");
        }
        let histograms = [
            ("te_request_duration", "Seconds of a request.", &self.duration),
            ("te_request_tokenization_duration", "Seconds in the tokenizer.", &self.tokenization),
            ("te_request_queue_duration", "Seconds in the queue.", &self.queue),
            ("te_request_inference_duration", "Seconds in the model.", &self.inference),
            ("te_request_input_length", "Tokens of a text.", &self.lengths),
            ("everylayer_batch_tokens", "Tokens of a batch.", &self.batch_tokens),
            ("everylayer_batch_duration", "Seconds of a batch.", &self.batch_duration),
        ];
        for (name, help, histogram) in histograms {
            histogram.write(name, help, &mut out);
        }
        let (size, tokens) = (self.last_batch.0.load(Relaxed), self.last_batch.1.load(Relaxed));
        let last = [
            ("te_batch_next_size", "Texts of the last batch.", String::new(), size),
            ("te_batch_next_tokens", "Tokens of the last batch.", String::new(), tokens),
        ];
        let mut before = "";
        for (name, help, labels, value) in last.iter().chain(gauges) {
            if *name != before {
                let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
                let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
            }
            before = name;
            let _ = writeln!(out, "{name}{labels} {value}");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_what_is_below_each_bound() {
        let metrics = Metrics::default();
        [0.0004, 0.0015, 100.0].into_iter().for_each(|t| metrics.queue.see(t));
        let text = metrics.write(&[("g", "h", "{a=\"b\"}".into(), 7)]);
        for line in [
            "te_request_queue_duration_bucket{le=\"0.0005\"} 1",
            "te_request_queue_duration_bucket{le=\"0.002\"} 2",
            "te_request_queue_duration_bucket{le=\"60\"} 2",
            "te_request_queue_duration_bucket{le=\"+Inf\"} 3",
            "te_request_queue_duration_count 3",
            "g{a=\"b\"} 7",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }
}
