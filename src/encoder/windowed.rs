//! A text in windows that may be run in several calls: what has landed of it.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::jobs::Job;
use super::readout::Assembly;
use super::resolve::Resolved;
use crate::capture::{Capture, Pool};
use crate::error::{Result, fail};
use crate::text::Tokens;
use crate::text::window::{Window, windows};

/// The windows of a text, and what has come of them so far.
#[derive(Debug)]
pub struct Windowed {
    /// Tokens of the text.
    tokens: usize,
    /// The same sequences twice, cut anywhere and cut between words; these are empty where no
    /// request is for words.
    anywhere: Vec<Window>,
    words: Vec<Window>,
    landing: Mutex<Landing>,
}

/// Some of the windows of a text: `count` from number `first` on.
#[derive(Debug, Clone, Copy)]
pub struct WindowRange<'a> {
    /// All of them.
    pub of: &'a Windowed,
    /// The first that is run.
    pub first: usize,
    /// How many are run.
    pub count: usize,
}

/// What a text has become with one window more.
pub(super) enum Taken {
    /// Windows of it are still to come.
    Waiting,
    /// A window was left out: all are to be run again.
    Overflowed,
    /// The states of the whole text, one list a capture.
    Whole(Vec<Vec<Vec<f32>>>),
}

#[derive(Debug, Default)]
struct Landing {
    /// One a window.
    landed: Vec<bool>,
    /// One a request; made once the first window lands.
    assemblies: Vec<Assembly>,
}

impl Windowed {
    /// Splits `tokens` into windows of at most `limit`, two of which share `stride`; `None` where
    /// they are no more than that.
    pub fn new(
        tokens: &Tokens,
        limit: usize,
        stride: Option<usize>,
        captures: &[Capture],
    ) -> Option<Self> {
        let cut = |whole_words| windows(tokens, limit, stride, whole_words);
        let (anywhere, has_words) = (cut(false), captures.iter().any(is_words));
        if anywhere.is_empty() {
            return None;
        }
        let words = if has_words { cut(true) } else { Vec::new() };
        let landing = Mutex::default();
        Some(Self { tokens: tokens.len(), anywhere, words, landing })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.anywhere.len()
    }

    /// Never: one that would be empty is not made.
    pub fn is_empty(&self) -> bool {
        self.anywhere.is_empty()
    }

    /// Tokens of window `k`, special ones among them; 0 where there is no such window.
    pub fn tokens(&self, k: usize) -> usize {
        self.anywhere.get(k).map_or(0, |window| window.rows.iter().map(Range::len).sum())
    }

    /// Whether they are those of the job's text and captures, and no longer than `most`.
    pub(super) fn fits(&self, job: &Job<'_>, most: usize) -> bool {
        let inside = job.windows.is_some_and(|w| {
            w.count > 0 && w.first.checked_add(w.count).is_some_and(|end| end <= self.len())
        });
        let cut = !self.words.is_empty() || !job.captures.iter().any(is_words);
        self.tokens == job.text.tokens.len() && self.tokens(0) <= most && inside && cut
    }

    /// Window `k`, cut anywhere.
    pub(super) fn window(&self, k: usize) -> &Window {
        &self.anywhere[k]
    }

    /// Takes what has come of window `k`: of each capture the states of the rows that it keeps, counted
    /// from the window's first, or `None` where it is left out.
    ///
    /// # Errors
    ///
    /// `Gpu` where a state is missing; `Usage` where the captures are not those of the first window.
    pub(super) fn take(
        &self,
        k: usize,
        captures: &[Resolved<'_>],
        of: impl Fn(&Resolved<'_>, Range<usize>) -> Result<Option<Vec<Vec<f32>>>>,
    ) -> Result<Taken> {
        let mut landing = self.landing.lock().unwrap_or_else(PoisonError::into_inner);
        let Landing { landed, assemblies } = &mut *landing;
        if landed.is_empty() {
            landed.resize(self.len(), false);
            let new = |resolved: &Resolved<'_>| {
                Assembly::new(&resolved.epilogue, self.len(), self.tokens)
            };
            *assemblies = captures.iter().map(new).collect();
        }
        if assemblies.len() != captures.len() {
            return Err(fail!(Usage, "the windows of a text are run with the requests of another"));
        }
        // A batch that a device was lost in may have brought it before.
        if std::mem::replace(&mut landed[k], true) {
            return Ok(Taken::Waiting);
        }
        for (assembly, resolved) in assemblies.iter_mut().zip(captures) {
            let window = match is_words(resolved.epilogue.capture()) {
                true => &self.words[k],
                false => &self.anywhere[k],
            };
            assembly.take(&window.keep, of(resolved, window.kept())?)?;
        }
        if !assemblies.iter().all(Assembly::is_whole) {
            return Ok(Taken::Waiting);
        }
        let all = std::mem::take(&mut *landing).assemblies;
        let all: Option<Vec<_>> = all.into_iter().map(Assembly::finish).collect();
        Ok(all.map_or(Taken::Overflowed, Taken::Whole))
    }
}

fn is_words(capture: &Capture) -> bool {
    matches!(capture.pool, Pool::Words(_))
}
