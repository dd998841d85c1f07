//! Lines for standard error that nobody waits for: a queue, and a thread that writes. Where nobody
//! reads them they are dropped and counted, and requests go on.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use everylayer::quote::visible;
use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait to be written.
const WAITING: usize = 1024;
/// Characters of a line; what a client can put into one is less.
const LONGEST: usize = 4000;
/// How long the end of the program waits for the lines that are left.
const LAST: Duration = Duration::from_secs(1);

/// Where lines are put.
#[derive(Clone)]
pub struct Lines {
    queue: SyncSender<String>,
    /// Lines that found no place.
    dropped: Arc<AtomicU64>,
    /// Lines that are put and not written.
    left: Arc<AtomicU64>,
}

impl Lines {
    /// Lines for `out`, and a thread that writes them.
    ///
    /// # Errors
    ///
    /// Where the system gives no thread.
    pub fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        let (queue, waiting) = sync_channel(WAITING);
        let lines = Self { queue, dropped: Arc::default(), left: Arc::default() };
        let (dropped, left) = (Arc::clone(&lines.dropped), Arc::clone(&lines.left));
        let work = move || write(out, &waiting, &dropped, &left);
        std::thread::Builder::new().name("log".into()).spawn(work)?;
        Ok(lines)
    }

    /// Puts a line, without its end.
    pub fn put(&self, line: &str) {
        self.left.fetch_add(1, Relaxed);
        if self.queue.try_send(visible(line, LONGEST)).is_err() {
            self.left.fetch_sub(1, Relaxed);
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Waits a moment for what is left to be written.
    pub fn finish(&self) {
        let began = Instant::now();
        while self.left.load(Relaxed) > 0 && began.elapsed() < LAST {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn write(mut out: impl Write, lines: &Receiver<String>, dropped: &AtomicU64, left: &AtomicU64) {
    for line in lines {
        // Where it is closed there is nobody to tell.
        let _ = writeln!(out, "{line}");
        let lost = dropped.swap(0, Relaxed);
        if lost > 0 {
            let _ = writeln!(
                out,
                "everylayer: {lost} log lines were dropped: standard error is not being read"
            );
        }
        left.fetch_sub(1, Relaxed);
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { lines: self, text: Vec::new() }
    }
}

/// A line that is being made; it is put when it is dropped.
pub struct Line<'a> {
    lines: &'a Lines,
    text: Vec<u8>,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.text);
        let text = text.trim_end_matches('\n');
        if !text.is_empty() {
            self.lines.put(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// What is written once the first write is let go.
    #[derive(Clone, Default)]
    struct Gate(Arc<(Mutex<()>, Mutex<Vec<u8>>)>);

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _open = self.0.0.lock().unwrap();
            self.0.1.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_waits_for_a_reader_that_does_not_read() {
        let gate = Gate::default();
        let closed = gate.0.0.lock().unwrap();
        let lines = Lines::start(gate.clone()).unwrap();
        let began = Instant::now();
        (0..3 * WAITING).for_each(|i| lines.put(&format!("line {i}")));
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        drop(closed);
        lines.finish();
        let written = String::from_utf8(gate.0.1.lock().unwrap().clone()).unwrap();
        let dropped = written.lines().find(|line| line.contains("were dropped")).unwrap();
        let kept = written.lines().filter(|line| line.starts_with("line ")).count();
        let dropped: usize = dropped.split(' ').nth(1).unwrap().parse().unwrap();
        assert_eq!(kept + dropped, 3 * WAITING, "{written}");
    }

    #[test]
    fn a_line_shows_what_it_hides() {
        assert_eq!(
            visible("a\u{1b}[31m\u{9b}2J\u{202e}b\r\nc", 99),
            "a\\u001b[31m\\u009b2J\\u202eb\\u000d\\u000ac"
        );
        assert_eq!(visible(&"é".repeat(LONGEST + 9), LONGEST).chars().count(), LONGEST + 3);
    }
}
