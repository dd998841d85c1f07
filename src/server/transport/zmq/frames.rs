//! Frames of ZMTP 3.0: the greeting, what is read and what is written.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use crate::server::core::bodies;
use crate::server::core::service::Service;

/// Frames of a request at most; more are read and refused.
const MOST_FRAMES: usize = 16;

pub fn odd(said: &'static str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, said)
}

/// Greeting and READY, without security, as `socket`.
pub async fn handshake(stream: &mut TcpStream, socket: &str) -> std::io::Result<()> {
    let mut greeting = [0u8; 64];
    (greeting[0], greeting[9], greeting[10]) = (0xff, 0x7f, 3);
    greeting[12..16].copy_from_slice(b"NULL");
    stream.write_all(&greeting).await?;
    let mut theirs = [0u8; 64];
    stream.read_exact(&mut theirs).await?;
    if theirs[0] != 0xff || theirs[9] & 1 == 0 || theirs[10] < 3 || &theirs[12..17] != b"NULL\0" {
        return Err(odd("the peer does not speak ZMTP 3 without security"));
    }
    let mut ready = b"\x05READY\x0bSocket-Type".to_vec();
    ready.extend((socket.len() as u32).to_be_bytes());
    ready.extend(socket.bytes());
    write_frame(stream, 4, &ready).await?;
    stream.flush().await?;
    let flags = stream.read_u8().await?;
    let length = frame_length(stream, flags, 1024).await?;
    let body = frame_body(stream, length).await?;
    match flags & 4 != 0 && body.starts_with(b"\x05READY") {
        true => Ok(()),
        false => Err(odd("the peer did not send READY")),
    }
}

/// Flags: 1 more frames follow, 2 a long frame, 4 a command.
pub async fn write_frame(
    to: &mut (impl AsyncWrite + Unpin),
    flags: u8,
    body: &[u8],
) -> std::io::Result<()> {
    match u8::try_from(body.len()) {
        Ok(length) => to.write_all(&[flags, length]).await?,
        Err(_) => {
            to.write_all(&[flags | 2]).await?;
            to.write_all(&(body.len() as u64).to_be_bytes()).await?;
        }
    }
    to.write_all(body).await
}

/// The length of a frame with these flags, `limit` at most.
async fn frame_length(
    from: &mut (impl AsyncRead + Unpin),
    flags: u8,
    limit: usize,
) -> std::io::Result<usize> {
    let length = match flags & 2 {
        0 => u64::from(from.read_u8().await?),
        _ => from.read_u64().await?,
    };
    match usize::try_from(length) {
        Ok(length) if flags & !7 == 0 && length <= limit => Ok(length),
        _ => Err(odd("a frame is invalid or larger than the limit")),
    }
}

async fn frame_body(
    from: &mut (impl AsyncRead + Unpin),
    length: usize,
) -> std::io::Result<Vec<u8>> {
    // Memory is taken as bytes come, not as they are promised.
    let mut body = Vec::with_capacity(length.min(65_536));
    let got = from.take(length as u64).read_to_end(&mut body).await?;
    match got == length {
        true => Ok(body),
        false => Err(std::io::ErrorKind::UnexpectedEof.into()),
    }
}

/// The next message, of at most `limit` bytes, and the room that it takes of the bodies of `service`;
/// no message where it has too many frames. `times` are how long it may be until it begins, where
/// that has a bound, and the timeout that a body has.
///
/// A large frame waits for room: there is no other way to have its client wait. Once it has begun,
/// or has room, all of it must come in time.
pub async fn receive(
    from: &mut (impl AsyncRead + Unpin),
    limit: usize,
    (until, timeout): (Option<Duration>, Duration),
    service: Option<&Service>,
) -> std::io::Result<(Option<Vec<Vec<u8>>>, Option<OwnedSemaphorePermit>)> {
    let (mut frames, mut room, mut bytes, mut count) = (Vec::new(), None, 0, 0usize);
    // As over HTTP: however it trickles, it has some time in all.
    let in_all = || Instant::now() + 4 * timeout;
    let begins = until.map(|until| Instant::now() + until);
    let mut deadline = None;
    loop {
        let flags = match deadline.or(begins) {
            Some(by) => timeout_at(by, from.read_u8()).await??,
            None => from.read_u8().await?,
        };
        let mut by = *deadline.get_or_insert_with(in_all);
        let length =
            timeout_at(by, frame_length(from, flags, limit.saturating_sub(bytes))).await??;
        if let Some(service) = service.filter(|_| length > bodies::FREE) {
            // Those who wait hold nothing, or two could wait for each other.
            if room.is_some() {
                return Err(odd("a request has more than one large frame"));
            }
            room = service.bodies.room(length, Duration::MAX).await.ok();
            by = *deadline.insert(in_all());
        }
        let body = timeout_at(by, frame_body(from, length)).await??;
        if flags & 4 != 0 {
            // A command between messages, such as a ping, is no part of one.
            if count == 0 {
                deadline = None;
            }
            continue;
        }
        bytes += body.len();
        count += 1;
        if count <= MOST_FRAMES {
            frames.push(body);
        }
        if flags & 1 == 0 {
            return Ok(((count <= MOST_FRAMES).then_some(frames), room));
        }
    }
}
