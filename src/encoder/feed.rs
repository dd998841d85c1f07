//! From texts to batches, piece by piece, so that tokens are made while the device works.
//!
//! A batch is packed from a window of texts, not from all: a window is closed as soon as its texts
//! fill some batches. Which texts share a batch changes no number of a result. What is packed is a
//! *part*: a text, or one window of a text that is longer than the limit.

use super::preprocessor::Preprocessor;
use crate::capture::{Capture, Overflow, Pool};
use crate::error::{Result, fail};
use crate::text::pack::{PackedBatch, Sequence, pack_some};
use crate::text::window::{Window, windows};
use crate::text::{Text, Tokens};

/// Bytes of text that become tokens at a time: some milliseconds of one core.
const PIECE_BYTES: usize = 32 << 10;
/// What a text counts beside its own bytes, which bounds the texts of a piece.
const TEXT_BYTES: usize = 32;
/// Batches of a window. The first window is one batch, so that the device begins early.
const WINDOW_BATCHES: usize = 4;

/// How large a batch may be.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Its tokens.
    pub tokens: usize,
    /// Its texts.
    pub texts: usize,
}

/// What is one sequence of a batch.
#[derive(Debug)]
pub struct Part {
    /// The number of its text in the call.
    pub text: usize,
    /// The part of the text, and how many there are; `None` where it is all of it.
    pub window: Option<(Box<Window>, usize)>,
}

/// The texts of a call on their way to batches.
pub struct Feed<'a> {
    preprocessor: &'a Preprocessor,
    capture: &'a Capture,
    texts: &'a [Text<'a>],
    room: Room,
    /// Of the texts so far.
    tokens: Vec<Tokens>,
    /// Of the texts so far, in their order; a batch's `order` counts these.
    parts: Vec<Part>,
    /// Parts that have no batch, and how many tokens those are.
    waiting: Vec<usize>,
    waiting_tokens: usize,
    /// Tokens that close the window.
    window: usize,
}

impl<'a> Feed<'a> {
    pub fn new(
        preprocessor: &'a Preprocessor,
        capture: &'a Capture,
        texts: &'a [Text<'a>],
        room: Room,
    ) -> Self {
        let (tokens, parts) = (Vec::with_capacity(texts.len()), Vec::with_capacity(texts.len()));
        let (waiting, window) = (Vec::new(), room.tokens);
        Self {
            preprocessor,
            capture,
            texts,
            room,
            tokens,
            parts,
            waiting,
            waiting_tokens: 0,
            window,
        }
    }

    /// The texts of the call.
    pub fn texts(&self) -> &'a [Text<'a>] {
        self.texts
    }

    /// The tokens of the texts so far.
    pub fn tokens(&self) -> &[Tokens] {
        &self.tokens
    }

    /// What a batch calls sequence `number`.
    pub fn part(&self, number: usize) -> &Part {
        &self.parts[number]
    }

    /// Whether every text has its batch.
    pub fn is_done(&self) -> bool {
        self.tokens.len() == self.texts.len() && self.waiting.is_empty()
    }

    /// Sends `texts` (in order), which had their batches already, on their way once more, in batches
    /// of `room`.
    pub fn again(&mut self, texts: &[usize], room: Room) {
        self.room = room;
        let parts = self.parts.iter().enumerate();
        let chosen = parts.filter(|(_, part)| texts.binary_search(&part.text).is_ok());
        self.waiting.extend(chosen.map(|(number, _)| number));
    }

    /// Makes tokens of the next piece; the batches of the window that it closes, if it does.
    ///
    /// # Errors
    ///
    /// `Text` or `TooLong` for a text, naming it.
    pub fn step(&mut self) -> Result<Vec<PackedBatch>> {
        self.tokenize()?;
        let is_last = self.tokens.len() == self.texts.len();
        if !is_last && self.waiting_tokens < self.window {
            return Ok(Vec::new());
        }
        let waiting = std::mem::take(&mut self.waiting);
        let sequence = |number: usize| -> Sequence<'_> {
            let Part { text, window } = &self.parts[number];
            let tokens = &self.tokens[*text];
            window.as_ref().map_or_else(|| tokens.into(), |(window, _)| window.sequence(tokens))
        };
        let mut batches = pack_some(sequence, waiting, self.room.tokens, self.room.texts);
        (self.window, self.waiting_tokens) = (WINDOW_BATCHES * self.room.tokens, 0);
        // There is room in the last batch for texts of the next window.
        if !is_last
            && batches.len() > 1
            && let Some(last) = batches.pop()
        {
            self.waiting_tokens = last.ids.len();
            self.waiting = last.order;
        }
        Ok(batches)
    }

    fn tokenize(&mut self) -> Result<()> {
        let first = self.tokens.len();
        let mut bytes = 0;
        let pieces = self.texts[first..].iter().take_while(|text| {
            let fits = bytes < PIECE_BYTES;
            bytes += TEXT_BYTES + text.text.len() + text.pair.as_deref().map_or(0, str::len);
            fits
        });
        let count = pieces.count();
        let piece = first..first + count;
        for (text, tokens) in
            piece.clone().zip(self.preprocessor.tokenize_some(self.texts, piece, self.capture)?)
        {
            if tokens.is_empty() {
                return Err(fail!(
                    Text,
                    "text {text} has no tokens: this tokenizer adds no special ones"
                ));
            }
            self.split(text, &tokens)?;
            self.tokens.push(tokens);
        }
        Ok(())
    }

    /// Has the parts of a text wait.
    fn split(&mut self, text: usize, tokens: &Tokens) -> Result<()> {
        let windows = match self.capture.overflow {
            Overflow::Window { stride } => {
                let limit = self.preprocessor.limit(self.capture)?;
                windows(tokens, limit, stride, matches!(self.capture.pool, Pool::Words(_)))
            }
            Overflow::Truncate | Overflow::Error => Vec::new(),
        };
        let first = self.parts.len();
        if windows.is_empty() {
            self.waiting_tokens += tokens.len();
            self.parts.push(Part { text, window: None });
        }
        let count = windows.len();
        for window in windows {
            self.waiting_tokens += window.sequence(tokens).len();
            self.parts.push(Part { text, window: Some((Box::new(window), count)) });
        }
        self.waiting.extend(first..self.parts.len());
        Ok(())
    }
}
