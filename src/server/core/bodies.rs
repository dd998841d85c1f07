//! The memory of request bodies, all together.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::batcher::Client;
use super::error::{ApiError, ErrorCode};

/// Bytes of a body that are taken without asking: connections are bounded, and a small request waits
/// for no large one.
pub const FREE: usize = 64 << 10;
/// Bytes that bodies are counted in.
const UNIT: usize = 1 << 10;

/// The room that a body takes, for all who hold a part of it.
pub type Room = Arc<OwnedSemaphorePermit>;

/// Who asks: what takes turns, and the room that the request takes while its texts are there. Of the
/// tokens that are made of them the queue and the results have bounds of their own.
#[derive(Debug, Default)]
pub struct Caller {
    pub client: Client,
    pub room: Option<Room>,
}

/// `bytes`, which keep `room` until they are dropped.
pub fn roomed(bytes: Bytes, room: Room) -> Bytes {
    struct Roomed {
        bytes: Bytes,
        _room: Room,
    }
    impl AsRef<[u8]> for Roomed {
        fn as_ref(&self) -> &[u8] {
            &self.bytes
        }
    }
    Bytes::from_owner(Roomed { bytes, _room: room })
}

/// Room for bodies.
#[derive(Debug)]
pub struct Bodies {
    bytes: usize,
    free: Arc<Semaphore>,
}

impl Bodies {
    /// Room for so many bytes.
    pub fn new(bytes: usize) -> Self {
        let units = (bytes / UNIT).clamp(1, u32::MAX as usize);
        Self { bytes, free: Arc::new(Semaphore::new(units)) }
    }

    /// Room for `bytes`, or all there is for more, kept until it is dropped. Those who ask wait in
    /// the order of their asking, for `timeout`; who waits holds nothing.
    ///
    /// # Errors
    ///
    /// `ErrorCode::Overloaded` where none is free in that time.
    pub async fn room(
        &self,
        bytes: usize,
        timeout: Duration,
    ) -> Result<OwnedSemaphorePermit, ApiError> {
        let units = units(bytes.min(self.bytes));
        let room = Arc::clone(&self.free).acquire_many_owned(units);
        match tokio::time::timeout(timeout, room).await {
            Ok(Ok(room)) => Ok(room),
            _ => {
                let said = "the memory limit for request bodies is reached: try again in a second";
                Err(ApiError::new(ErrorCode::Overloaded, said))
            }
        }
    }
}

/// Gives back what `room` is more than `bytes` need.
pub fn shrink(room: &mut OwnedSemaphorePermit, bytes: usize) {
    let spare = room.num_permits().saturating_sub(units(bytes) as usize);
    drop(room.split(spare));
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes / UNIT).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_wait_for_room_and_are_refused_in_time() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let bodies = Bodies::new(100 * UNIT);
            let short = Duration::from_millis(20);
            let mut first = bodies.room(80 * UNIT, short).await.unwrap();
            assert_eq!(
                bodies.room(30 * UNIT, short).await.unwrap_err().code,
                ErrorCode::Overloaded
            );
            let (second, ()) = tokio::join!(bodies.room(30 * UNIT, short * 10), async {
                tokio::time::sleep(short).await;
                shrink(&mut first, 70 * UNIT);
            });
            let second = second.unwrap();
            drop(first);
            drop(second);
            // More than there is takes all there is.
            assert_eq!(bodies.room(usize::MAX, short).await.unwrap().num_permits(), 100);
        });
    }
}
