//! A request under way: its results as they land, and who waits for them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::capture::Capture;
use crate::embeddings::TextEmbedding;
use crate::error::Result;
use crate::server::core::error::{ApiError, ErrorCode};

/// What came of a request: for each text, a result a capture, in f32.
#[derive(Debug)]
pub struct Done {
    /// (texts, captures)
    pub texts: Vec<Vec<TextEmbedding>>,
    /// Until the first text was taken.
    pub queued: Duration,
    /// From then to the last result.
    pub ran: Duration,
}

/// A request under way.
pub struct Request {
    pub captures: Vec<Capture>,
    pub began: Instant,
    pub state: Mutex<RequestState>,
}

/// What has come of it so far.
pub struct RequestState {
    pub texts: Vec<Option<Vec<TextEmbedding>>>,
    pub left: usize,
    pub taken: Option<Instant>,
    pub reply: Option<oneshot::Sender<Result<Done, ApiError>>>,
}

impl Request {
    /// What has come of it so far.
    pub fn state(&self) -> MutexGuard<'_, RequestState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody waits any more.
    pub fn is_over(&self) -> bool {
        self.state().reply.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    /// Takes what came of text `index`.
    pub fn land(&self, index: usize, result: Result<Vec<TextEmbedding>, ApiError>) {
        let mut state = self.state();
        match result {
            Ok(mut texts) => {
                texts.iter_mut().for_each(|text| text.index = index);
                state.left -= usize::from(state.texts[index].is_none());
                state.texts[index] = Some(texts);
                if state.left == 0
                    && let Some(reply) = state.reply.take()
                {
                    let texts: Option<Vec<_>> = state.texts.iter_mut().map(Option::take).collect();
                    let taken = state.taken.unwrap_or(self.began);
                    let (queued, ran) = (taken - self.began, taken.elapsed());
                    let missing =
                        || ApiError::new(ErrorCode::Backend, "the result of a text is missing");
                    let done = texts.map(|texts| Done { texts, queued, ran }).ok_or_else(missing);
                    let _ = reply.send(done);
                }
            }
            Err(error) => {
                if let Some(reply) = state.reply.take() {
                    let place = match state.texts.len() {
                        1 => error.message,
                        _ => format!("text {index}: {}", error.message),
                    };
                    let _ = reply.send(Err(ApiError::new(error.code, place)));
                }
            }
        }
    }
}
