//! Answers that are written while they are sent: no more of one is in memory than its client has yet
//! to take of a few pieces, beside the vectors that it is made of.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame};
use hyper::header::{self, HeaderValue};
use tokio::sync::mpsc;

use super::answer::{Answer, of_bytes};
use crate::server::core::error::{ApiError, ErrorCode};

/// Bytes of a piece.
const PIECE: usize = 64 << 10;
/// Pieces that wait for a client.
const AHEAD: usize = 2;
/// Bytes of vectors whose text is written at once, where no other client waits for it.
const LIGHT: usize = 16 << 10;

/// The answer that `work` writes, of some `bytes` of vectors. What `work` holds is free once all is
/// sent, or its client has left.
///
/// # Errors
///
/// `ErrorCode::Backend` where nothing can be written.
pub async fn written(
    bytes: usize,
    kind: &'static str,
    work: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
) -> Result<Answer, ApiError> {
    let failed = || ApiError::new(ErrorCode::Backend, "the answer could not be written");
    if bytes <= LIGHT {
        let mut all = Vec::new();
        return work(&mut all).map(|()| of_bytes(all, kind)).map_err(|_| failed());
    }
    let (sender, mut pieces) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        let mut out = BodyPieces { sender, piece: Vec::with_capacity(PIECE) };
        match work(&mut out).and_then(|()| out.flush()) {
            Ok(()) => _ = out.sender.blocking_send(None),
            Err(e) => tracing::debug!(error = %e, "a response could not be written completely"),
        }
    });
    // What is one piece has a length; what fails before it has a status.
    let first = pieces.recv().await.ok_or_else(failed)?.unwrap_or_default();
    let second = match pieces.recv().await.ok_or_else(failed)? {
        None => return Ok(of_bytes(first, kind)),
        Some(second) => second,
    };
    let body = Sent { ahead: [first, second].into(), pieces, ended: false };
    let mut answer = Answer::new(Body::new(body));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(answer)
}

/// What is written, in pieces; `None` is the end, without which it broke off.
struct BodyPieces {
    sender: mpsc::Sender<Option<Bytes>>,
    piece: Vec<u8>,
}

impl Write for BodyPieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..count]);
        if self.piece.len() == PIECE {
            self.flush()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        let left = |_| io::Error::new(io::ErrorKind::BrokenPipe, "the client disconnected");
        self.sender.blocking_send(Some(piece.into())).map_err(left)
    }
}

/// The body that is made of the pieces.
struct Sent {
    ahead: VecDeque<Bytes>,
    pieces: mpsc::Receiver<Option<Bytes>>,
    ended: bool,
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(piece) = self.ahead.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        let next = ready!(self.pieces.poll_recv(context));
        self.ended = !matches!(next, Some(Some(_)));
        Poll::Ready(match next {
            Some(Some(piece)) => Some(Ok(Frame::data(piece))),
            Some(None) => None,
            // Its client sees that it is not whole.
            None => Some(Err(io::Error::other("the response was interrupted"))),
        })
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().build().unwrap()
    }

    #[test]
    fn a_long_answer_comes_in_pieces_and_a_short_one_with_its_length() {
        runtime().block_on(async {
            for (count, exact) in [(1, true), (1000, true), (100_000, false)] {
                let work =
                    move |out: &mut dyn Write| (0..count).try_for_each(|i| writeln!(out, "{i}"));
                let answer = written(usize::MAX, "text/plain", work).await.unwrap();
                assert_eq!(answer.body().size_hint().exact().is_some(), exact, "{count}");
                let all = answer.into_body().collect().await.unwrap().to_bytes();
                let lines: Vec<_> = std::str::from_utf8(&all).unwrap().lines().collect();
                assert_eq!((lines.len(), lines[count - 1]), (count, &*(count - 1).to_string()));
            }
        });
    }

    #[test]
    fn one_that_breaks_off_has_no_end() {
        runtime().block_on(async {
            let work = |out: &mut dyn Write| -> io::Result<()> {
                out.write_all(&[b'a'; 3 * PIECE])?;
                Err(io::Error::other("no more"))
            };
            let answer = written(usize::MAX, "text/plain", work).await.unwrap();
            assert!(answer.into_body().collect().await.is_err());
            let work = |_: &mut dyn Write| -> io::Result<()> { Err(io::Error::other("nothing")) };
            assert_eq!(
                written(usize::MAX, "text/plain", work).await.unwrap_err().code,
                ErrorCode::Backend
            );
        });
    }
}
