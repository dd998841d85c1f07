//! A connection whose client must take what it is sent: where little can be written for a while,
//! writing fails, and the answer's memory is free again.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Bytes that a client takes at least in the time limit while it has to be waited for.
const STEP: usize = 16 << 10;

/// `stream`, given up once its client has taken less than [`STEP`] bytes in `timeout`.
pub struct WriteTimeout<S> {
    stream: S,
    timeout: Duration,
    sleep: Pin<Box<Sleep>>,
    /// Bytes written since a write had to wait, where one had to.
    waited: Option<usize>,
}

impl<S> WriteTimeout<S> {
    pub fn new(stream: S, timeout: Duration) -> Self {
        Self { stream, timeout, sleep: Box::pin(tokio::time::sleep(timeout)), waited: None }
    }

    /// What came of a write of that many bytes; an error where too few were written for too long.
    fn waited<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
        bytes: impl Fn(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        match (&written, &mut self.waited) {
            (Poll::Ready(Ok(count)), Some(all)) => {
                *all = all.saturating_add(bytes(count));
                if *all >= STEP {
                    self.waited = None;
                }
                return written;
            }
            (Poll::Ready(_), _) => return written,
            (Poll::Pending, Some(_)) => {}
            (Poll::Pending, none) => {
                *none = Some(0);
                self.sleep.as_mut().reset(Instant::now() + self.timeout);
            }
        }
        ready!(self.sleep.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client does not read the response",
        )))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteTimeout<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteTimeout<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.waited(context, written, |&count| count)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.waited(context, written, |&count| count)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if matches!(flushed, Poll::Ready(Ok(()))) {
            // All is written: what comes next is waited for anew.
            self.waited = None;
        }
        self.waited(context, flushed, |()| 0)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.waited(context, shut, |()| 0)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn a_write_that_nobody_reads_fails_in_time() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (near, _far) = tokio::io::duplex(16);
            let mut near = WriteTimeout::new(near, Duration::from_millis(50));
            near.write_all(&[1; 16]).await.unwrap();
            let began = Instant::now();
            let e = near.write_all(&[2; 16]).await.unwrap_err();
            assert_eq!(e.kind(), io::ErrorKind::TimedOut);
            assert!(began.elapsed() >= Duration::from_millis(50));
        });
    }

    #[test]
    fn a_reader_is_waited_for_as_long_as_it_reads_enough() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            // A byte now and then is not enough, so much each time is.
            for (part, fine) in [(1, false), (STEP, true)] {
                let (near, mut far) = tokio::io::duplex(STEP);
                let mut near = WriteTimeout::new(near, Duration::from_millis(400));
                let read = async {
                    let mut bytes = vec![0; part];
                    for _ in 0..10 {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        far.read_exact(&mut bytes).await.unwrap();
                    }
                };
                let bytes = [1; 11 * STEP];
                let write = near.write_all(&bytes);
                let (written, ()) = tokio::join!(write, read);
                assert_eq!(written.is_ok(), fine, "{part} {written:?}");
            }
        });
    }
}
