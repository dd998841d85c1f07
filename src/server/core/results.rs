//! The memory of results, all together: vectors, tokens that clients are told, files made of them.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::bodies::shrink;
use super::error::{ApiError, ErrorCode};
use crate::capture::{Capture, Pool};
use crate::encoder::{Encoder, PreparedText};

/// Bytes that results are counted in.
pub const UNIT: usize = 1 << 10;
/// Bytes that a token takes with its id, place, word and spelling, or with what is told of it.
pub const TOKEN: usize = 96;
/// Bytes that a word takes.
const WORD: usize = 96;

/// Room for results.
#[derive(Debug)]
pub struct Results {
    bytes: usize,
    free: Arc<Semaphore>,
}

impl Results {
    /// Room for so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self { bytes, free: Arc::new(Semaphore::new(bytes / UNIT)) }
    }

    /// Room for `bytes`, kept until it is dropped.
    ///
    /// # Errors
    ///
    /// `ErrorCode::TooLarge` for more than there is at all, `ErrorCode::Overloaded` for more than is free.
    pub fn reserve(&self, bytes: usize) -> Result<OwnedSemaphorePermit, ApiError> {
        let most = self.bytes;
        if bytes > most {
            let said = format!(
                "the results would take {bytes} bytes, the limit of this server is {most}: ask for \
                 fewer texts, layers or tokens at a time"
            );
            return Err(ApiError::new(ErrorCode::TooLarge, said));
        }
        let units = u32::try_from(bytes / UNIT).unwrap_or(u32::MAX);
        Arc::clone(&self.free).try_acquire_many_owned(units).map_err(|_| ApiError::busy())
    }

    /// Room for what will take `most` bytes at most: that, or all there is.
    ///
    /// # Errors
    ///
    /// `ErrorCode::Overloaded` for more than is free.
    pub fn expect(&self, most: usize) -> Result<OwnedSemaphorePermit, ApiError> {
        self.reserve(most.min(self.bytes))
    }

    /// Makes `room` one for `bytes`.
    ///
    /// # Errors
    ///
    /// As [`Results::reserve`].
    pub fn resize(&self, room: &mut OwnedSemaphorePermit, bytes: usize) -> Result<(), ApiError> {
        let held = room.num_permits() * UNIT;
        if bytes > self.bytes {
            self.reserve(bytes).map(drop)?;
        }
        match bytes.checked_sub(held) {
            Some(more) => room.merge(self.reserve(more)?),
            None => shrink(room, bytes),
        }
        Ok(())
    }
}

/// Bytes that the results of `ready` take: the vectors and what is told of each row, the states of
/// texts in windows, and their tokens and words where they are kept.
pub fn size(
    encoder: &Encoder,
    ready: &[Arc<PreparedText>],
    captures: &[Capture],
    window: Option<(usize, Option<usize>)>,
    keep: bool,
) -> Result<usize, ApiError> {
    let mut bytes = 0usize;
    for capture in captures {
        let header = encoder.header(capture)?;
        let row = header.layer_axis * header.width;
        let states = header.layers.len() * encoder.spec().width;
        for text in ready {
            let tokens = text.tokens.len();
            let (rows, told) = match capture.pool {
                Pool::Tokens => (tokens, tokens * TOKEN),
                Pool::Words(_) => (text.words.len(), text.words.len() * WORD),
                _ => (1, 0),
            };
            let windows = window.is_some_and(|(limit, _)| tokens > limit);
            let assembled = if windows { tokens.saturating_mul(states) } else { 0 };
            let numbers = rows.saturating_mul(row).saturating_add(assembled);
            bytes = bytes.saturating_add(numbers.saturating_mul(4)).saturating_add(told);
        }
    }
    let kept = |text: &Arc<PreparedText>| text.tokens.len() * TOKEN + text.words.len() * WORD;
    let kept = if keep { ready.iter().map(kept).sum() } else { 0 };
    Ok(bytes.saturating_add(kept))
}

/// Bytes that the tokens and words of a text of `tokens` tokens take where they are kept.
pub fn kept(tokens: usize) -> usize {
    tokens.saturating_mul(TOKEN + WORD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_is_free_once_it_is_dropped_or_not_needed() {
        let results = Results::new(100 * UNIT);
        let why = |bytes| results.reserve(bytes).map(drop).map_err(|error| error.code);
        assert_eq!(why(101 * UNIT), Err(ErrorCode::TooLarge));
        let mut first = results.expect(usize::MAX).unwrap();
        assert_eq!(why(UNIT), Err(ErrorCode::Overloaded));
        results.resize(&mut first, 60 * UNIT).unwrap();
        assert_eq!(why(40 * UNIT), Ok(()));
        results.resize(&mut first, 90 * UNIT).unwrap();
        let code = |result: Result<(), ApiError>| result.map_err(|error| error.code);
        assert_eq!(code(results.resize(&mut first, 200 * UNIT)), Err(ErrorCode::TooLarge));
        let second = results.reserve(10 * UNIT).unwrap();
        assert_eq!(code(results.resize(&mut first, 91 * UNIT)), Err(ErrorCode::Overloaded));
        drop((first, second));
        assert_eq!(why(100 * UNIT), Ok(()));
    }
}
