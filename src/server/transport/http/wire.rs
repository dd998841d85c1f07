//! The socket of a connection, which can be looked at while hyper reads and writes it.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::server::transport::connection_limit::Slot;

/// Bytes that are read at a time to be thrown away.
const DISCARDED: usize = 16 << 10;
/// A client that is sent no more, and sends nothing for so long, is left.
const SILENCE: Duration = Duration::from_secs(1);
/// A client that goes on sending is left after so long.
const LINGER: Duration = Duration::from_secs(5);

/// A socket.
pub enum Wire {
    /// Of a port.
    Tcp(tokio::net::TcpStream),
    /// Of a path.
    #[cfg(unix)]
    Unix(tokio::net::UnixStream),
}

/// Does the same with the stream of each kind of socket.
macro_rules! each {
    ($wire:expr, $stream:ident => $work:expr) => {
        match $wire {
            Wire::Tcp($stream) => $work,
            #[cfg(unix)]
            Wire::Unix($stream) => $work,
        }
    };
}

impl Wire {
    /// Whether the system holds bytes of the client that were not read yet. This asks the system:
    /// what tokio knows of the socket may be older.
    pub fn has_unread(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        each!(self, stream => SockRef::from(stream).peek(&mut byte)).is_ok_and(|count| count > 0)
    }

    /// Says that nothing more will be sent.
    fn shut(&self) -> io::Result<()> {
        each!(self, stream => SockRef::from(stream).shutdown(Shutdown::Write))
    }

    /// Sends `bytes`, as far as the system takes them at once.
    pub fn send_last(&self, bytes: &[u8]) {
        let _ = each!(self, stream => stream.try_write(bytes));
    }

    /// Ends the connection so that its client can read what it was sent: a socket that is closed
    /// with unread bytes in it is reset, and what was sent last may be lost.
    pub async fn linger(&self) {
        if self.shut().is_err() {
            return;
        }
        let drain = async {
            let mut bytes = [0; DISCARDED];
            loop {
                let readable = async { each!(self, stream => stream.readable().await) };
                if !matches!(tokio::time::timeout(SILENCE, readable).await, Ok(Ok(()))) {
                    return;
                }
                match each!(self, stream => stream.try_read(&mut bytes)) {
                    Ok(0) => return,
                    Ok(_) => {}
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => return,
                }
            }
        };
        let _ = tokio::time::timeout(LINGER, drain).await;
    }
}

/// The socket as hyper has it; what passes is told to the connection's slot.
pub struct Shared {
    pub wire: Arc<Wire>,
    pub slot: Arc<Slot>,
}

impl Shared {
    /// Writes by `work` once the socket takes something.
    fn written(
        &self,
        context: &mut Context<'_>,
        mut work: impl FnMut(&Wire) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(each!(&*self.wire, stream => stream.poll_write_ready(context)))?;
            match work(&self.wire) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Ok(count) => {
                    self.slot.sent();
                    return Poll::Ready(Ok(count));
                }
                failed => return Poll::Ready(failed),
            }
        }
    }
}

impl AsyncRead for Shared {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(each!(&*self.wire, stream => stream.poll_read_ready(context)))?;
            let room = buffer.initialize_unfilled();
            match each!(&*self.wire, stream => stream.try_read(room)) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Ok(count) => {
                    buffer.advance(count);
                    self.slot.heard(count);
                    return Poll::Ready(Ok(()));
                }
                Err(e) => return Poll::Ready(Err(e)),
            }
        }
    }
}

impl AsyncWrite for Shared {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.written(context, |wire| each!(wire, stream => stream.try_write(bytes)))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.written(context, |wire| each!(wire, stream => stream.try_write_vectored(parts)))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.wire.shut())
    }
}
