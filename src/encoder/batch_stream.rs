//! From the texts of one call to batches, piece by piece, so that tokens are made while the device
//! works.
//!
//! A batch is packed from a window of texts, not from all: a window is closed as soon as its texts
//! fill some batches. Which texts share a batch changes no number of a result.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Encoder;
use super::jobs::{Job, PreparedText};
use super::resolve::{Epilogue, Resolved};
use super::run::{Batch, JobStream, SequenceId};
use super::windowed::{WindowRange, Windowed};
use crate::capture::{Capture, Overflow, Pool};
use crate::error::{Result, fail};
use crate::execute::Execute;
use crate::schedule::Exit;
use crate::text::Text;

/// Bytes of text that become tokens at a time: some milliseconds of one core.
const PIECE_BYTES: usize = 32 << 10;
/// What a text counts beside its own bytes, which bounds the texts of a piece.
const TEXT_BYTES: usize = 32;
/// Batches of a window. The first window is one batch, so that the device begins early.
const WINDOW_BATCHES: usize = 4;

/// The texts of a call on their way to batches: each is a job with one capture.
pub struct BatchStream<'a> {
    encoder: &'a Encoder,
    capture: &'a Capture,
    texts: &'a [Text<'a>],
    resolved: [Resolved<'a>; 1],
    exits: Arc<[Exit]>,
    /// Tokens at the start of each text that are not pooled.
    skip: usize,
    limit: usize,
    /// The texts so far, with their windows where they are run in some.
    prepared: Vec<(PreparedText, Option<Windowed>)>,
    /// What has no batch, and how many tokens those are.
    waiting: Vec<SequenceId>,
    waiting_tokens: usize,
    /// Whether a window was closed.
    has_begun: bool,
}

impl<'a> BatchStream<'a> {
    /// # Errors
    ///
    /// `Usage` where the capture does not fit the model.
    pub fn new(encoder: &'a Encoder, texts: &'a [Text<'a>], capture: &'a Capture) -> Result<Self> {
        let preprocessor = encoder.preprocessor();
        let limit = preprocessor.limit(capture)?;
        let skip = preprocessor.skip(capture, limit)?;
        let resolved = Resolved::new(capture, encoder.spec(), preprocessor.pipeline(), skip)?;
        let exits = [resolved.exit.clone()].into();
        let prepared = Vec::with_capacity(texts.len());
        let (resolved, waiting) = ([resolved], Vec::new());
        Ok(Self {
            encoder,
            capture,
            texts,
            resolved,
            exits,
            skip,
            limit,
            prepared,
            waiting,
            waiting_tokens: 0,
            has_begun: false,
        })
    }

    /// What the host does with what the device brings.
    pub fn epilogue(&self) -> &Epilogue<'a> {
        &self.resolved[0].epilogue
    }

    /// Sends `texts`, which had their batches already, on their way once more.
    pub fn again(&mut self, texts: &BTreeSet<usize>) {
        self.waiting.clear();
        texts.iter().for_each(|&text| self.wait(text));
    }

    /// Has the sequences of a text wait.
    fn wait(&mut self, text: usize) {
        let (prepared, windows) = &self.prepared[text];
        match windows {
            None => {
                self.waiting_tokens += prepared.tokens.len();
                self.waiting.push(SequenceId { job: text, window: None });
            }
            Some(windows) => {
                let all = 0..windows.len();
                self.waiting_tokens += all.clone().map(|k| windows.tokens(k)).sum::<usize>();
                self.waiting.extend(all.map(|k| SequenceId { job: text, window: Some(k) }));
            }
        }
    }

    /// Makes tokens of the next piece.
    fn tokenize(&mut self) -> Result<()> {
        let first = self.prepared.len();
        let mut bytes = 0;
        let pieces = self.texts[first..].iter().take_while(|text| {
            let fits = bytes < PIECE_BYTES;
            bytes += TEXT_BYTES + text.text.len() + text.pair.as_deref().map_or(0, str::len);
            fits
        });
        let piece = first..first + pieces.count();
        let all = self.encoder.preprocessor();
        for (text, tokens) in
            piece.clone().zip(all.tokenize_some(self.texts, piece, self.capture)?)
        {
            if tokens.is_empty() {
                return Err(fail!(
                    Text,
                    "text {text} has no tokens: this tokenizer adds no special ones"
                ));
            }
            let windows = match self.capture.overflow {
                Overflow::Window { stride } => {
                    let captures = std::slice::from_ref(self.capture);
                    Windowed::new(&tokens, self.limit, stride, captures)
                }
                Overflow::Truncate | Overflow::Error => None,
            };
            let words = match self.capture.pool {
                Pool::Words(_) => tokens.words(&self.texts[text]),
                _ => Vec::new(),
            };
            let skip = self.skip;
            let prepared = PreparedText { tokens, words, skip, ..PreparedText::default() };
            self.prepared.push((prepared, windows));
            self.wait(text);
        }
        Ok(())
    }
}

impl JobStream for BatchStream<'_> {
    fn is_done(&self) -> bool {
        self.prepared.len() == self.texts.len() && self.waiting.is_empty()
    }

    /// Makes tokens of the next piece; the batches of the window that it closes, if it does.
    fn more(&mut self, executor: &dyn Execute) -> Result<Vec<Batch>> {
        self.tokenize()?;
        let limits = self.encoder.limits(executor, &self.exits);
        let window = if self.has_begun { WINDOW_BATCHES * limits.tokens } else { limits.tokens };
        let is_last = self.prepared.len() == self.texts.len();
        if !is_last && self.waiting_tokens < window {
            return Ok(Vec::new());
        }
        let waiting = std::mem::take(&mut self.waiting);
        let mut batches = Batch::pack(|text| self.job(text), &waiting, &self.exits, limits);
        (self.has_begun, self.waiting_tokens) = (true, 0);
        // There is room in the last batch for texts of the next window.
        if !is_last
            && batches.len() > 1
            && let Some(last) = batches.pop()
        {
            self.waiting_tokens = last.packed().ids.len();
            self.waiting = last.sequences().to_vec();
        }
        Ok(batches)
    }

    fn job(&self, number: usize) -> Job<'_> {
        let (text, windows) = &self.prepared[number];
        let windows = windows.as_ref().map(|of| WindowRange { of, first: 0, count: of.len() });
        Job { text, windows, captures: std::slice::from_ref(self.capture) }
    }

    fn resolved(&self, _: usize) -> &[Resolved<'_>] {
        &self.resolved
    }
}
