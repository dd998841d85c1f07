//! A bar on standard error for work that takes long, where somebody looks.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

#[cfg(feature = "gpu")]
use super::terminal;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// Work that is over sooner shows no bar.
const PATIENCE: Duration = Duration::from_secs(1);

/// How far the work is; gone from the screen when dropped.
#[derive(Clone)]
pub struct Progress {
    bar: ProgressBar,
    tokens: Arc<AtomicUsize>,
    /// Whether each result is printed as it comes.
    #[cfg(feature = "gpu")]
    lines: bool,
}

impl Progress {
    /// Begins; shows nothing unless `visible`, standard error is a terminal and the work takes a
    /// second. Without a `total` it counts.
    pub fn start(total: Option<usize>, visible: bool) -> Self {
        let template = match total {
            Some(_) => "{wide_bar} {human_pos}/{human_len} texts, {rate}, {tokens}, {eta} left",
            None => "{spinner} {human_pos} texts, {rate}, {tokens}, {elapsed}",
        };
        Self::with(template, total, visible)
    }

    /// The same for runs, `total` of them.
    pub fn runs(total: usize, visible: bool) -> Self {
        Self::with("{wide_bar} {human_pos}/{human_len} runs, {elapsed}", Some(total), visible)
    }

    /// The same for checks, `total` of them, whose results are printed as they come where `lines`.
    #[cfg(feature = "gpu")]
    pub fn checks(total: usize, visible: bool, lines: bool) -> Self {
        let template = "{wide_bar} {human_pos}/{human_len} checks, {elapsed}";
        let mut progress = Self::with(template, Some(total), visible && !lines);
        progress.lines = lines;
        progress
    }

    /// Prints a result, where they are printed as they come.
    #[cfg(feature = "gpu")]
    pub fn result(&self, line: &str) {
        if self.lines {
            // A reader that is gone has read enough; the report says the rest.
            drop(terminal::print(format!("{line}\n").as_bytes()));
        }
    }

    fn with(template: &str, total: Option<usize>, visible: bool) -> Self {
        let tokens = Arc::new(AtomicUsize::new(0));
        let bar =
            ProgressBar::with_draw_target(total.map(|n| n as u64), ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template(template) {
            let rate = |state: &ProgressState, out: &mut dyn Write| {
                // Nothing to be done where a screen cannot be written.
                let _ = write!(out, "{:.0} texts/s", state.per_sec());
            };
            let made = Arc::clone(&tokens);
            let tokens = move |state: &ProgressState, out: &mut dyn Write| {
                let made = made.load(Ordering::Relaxed) as f64;
                let _ =
                    write!(out, "{:.0} tokens/s", made / state.elapsed().as_secs_f64().max(1e-3));
            };
            bar.set_style(style.with_key("rate", rate).with_key("tokens", tokens));
        }
        if visible {
            let shown = bar.clone();
            std::thread::spawn(move || {
                std::thread::sleep(PATIENCE);
                if !shown.is_finished() {
                    shown.set_draw_target(ProgressDrawTarget::stderr());
                    shown.enable_steady_tick(PATIENCE / 5);
                }
            });
        }
        Self {
            bar,
            tokens,
            #[cfg(feature = "gpu")]
            lines: false,
        }
    }

    /// `count` more are done.
    pub fn advance(&self, count: usize) {
        self.bar.inc(count as u64);
    }

    /// `count` were done by a run before this one.
    pub fn skip(&self, count: usize) {
        self.bar.inc(count as u64);
        self.bar.reset_eta();
    }

    /// So many tokens more are done.
    pub fn add_tokens(&self, count: usize) {
        self.tokens.fetch_add(count, Ordering::Relaxed);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
