//! Copies to the host through a ring of staging buffers, mapped while later layers run.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::channel::oneshot;

use super::device::Gpu;
use super::faults::{AGAIN, Scopes};
use super::memory::Memory;
use crate::error::{Result, fail};
use crate::execute::Sink;
use crate::platform::{Instant, turn};
use crate::schedule::Output;

/// Staging buffers in flight before the oldest is waited for.
const RING: usize = 3;

/// How long a page is given to tell that the device is lost.
const LOSS: Duration = Duration::from_secs(1);

/// Staging buffers that wait for their next use.
#[derive(Default)]
pub struct Staging(Mutex<Vec<Memory>>);

impl Staging {
    /// The smallest free buffer of at least `bytes`, else a new one.
    pub fn take(&self, gpu: &Gpu, bytes: u64) -> Memory {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits =
            (0..free.len()).filter(|&i| free[i].size() >= bytes).min_by_key(|&i| free[i].size());
        if let Some(i) = fits {
            return free.swap_remove(i);
        }
        // Too small for this kind of request: the next ones will be alike.
        free.truncate(RING);
        gpu.allocate(&wgpu::BufferDescriptor {
            label: Some("staging"),
            size: bytes.next_multiple_of(256),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    }

    fn give(&self, buffer: Memory) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
    }
}

/// One staging buffer on its way.
struct Pending {
    buffer: Memory,
    /// What lies in it, one after the other: (output, bytes).
    parts: Vec<(Output, u64)>,
    mapped: oneshot::Receiver<Result<(), wgpu::BufferAsyncError>>,
}

/// The staging buffers of one run, oldest first.
#[derive(Default)]
pub struct Ring {
    pending: VecDeque<Pending>,
    /// The words of [`Output::Status`], once they have arrived.
    pub status: Vec<u32>,
}

impl Ring {
    /// Starts mapping a staging buffer whose copy was submitted.
    pub fn push(&mut self, buffer: Memory, parts: Vec<(Output, u64)>) {
        let (sender, mapped) = oneshot::channel();
        let bytes = parts.iter().map(|(_, b)| b).sum::<u64>();
        buffer.slice(..bytes).map_async(wgpu::MapMode::Read, move |result| {
            // The receiver is gone where the run has failed already.
            drop(sender.send(result));
        });
        self.pending.push_back(Pending { buffer, parts, mapped });
    }

    /// Whether the oldest has to be read before another is submitted.
    pub fn is_full(&self) -> bool {
        self.pending.len() >= RING
    }

    /// Waits for the oldest and hands its parts on; `false` where nothing is in flight.
    pub async fn read(
        &mut self,
        gpu: &Gpu,
        staging: &Staging,
        scopes: &mut Scopes,
        sink: Sink<'_>,
    ) -> Result<bool> {
        let Some(Pending { buffer, parts, mapped }) = self.pending.pop_front() else {
            return Ok(false);
        };
        gpu.account.wait();
        let mapping = mapped.await;
        if cfg!(target_arch = "wasm32") && !matches!(mapping, Ok(Ok(()))) {
            // A page hears of the mapping before it hears that the device is lost.
            let failed = Instant::now();
            while failed.elapsed() < LOSS {
                gpu.check()?;
                turn().await;
            }
        }
        scopes.check(gpu).await?;
        match mapping {
            Ok(Ok(())) => {}
            Ok(Err(e)) => {
                return Err(fail!(Gpu, "{}: readback failed: {e}", gpu.report().name));
            }
            Err(_) => {
                return Err(fail!(
                    DeviceLost,
                    "{}: the device went away while its result was awaited{AGAIN}",
                    gpu.report().name
                ));
            }
        }
        {
            let bytes = parts.iter().map(|(_, b)| b).sum::<u64>();
            let view = buffer
                .slice(..bytes)
                .get_mapped_range()
                .map_err(|e| fail!(Gpu, "{}: readback failed: {e}", gpu.report().name))?;
            let mut offset = 0;
            for (output, bytes) in parts {
                let data = &view[offset..offset + bytes as usize];
                offset += bytes as usize;
                match output {
                    Output::Status => self.status = bytemuck::pod_collect_to_vec(data),
                    // Mapped memory may be slow to read twice: one pass into ours.
                    output => sink(output, bytemuck::pod_collect_to_vec(data))?,
                }
            }
        }
        buffer.unmap();
        staging.give(buffer);
        Ok(true)
    }
}
