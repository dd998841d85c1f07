//! Device memory with an account of it: how much is held, the most there was, and how often the
//! host waited.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::device::Gpu;
use crate::execute::Counters;

/// What all executors of a device take together.
#[derive(Debug, Default)]
pub struct Account {
    held: AtomicU64,
    peak: AtomicU64,
    waits: AtomicU64,
    pipelines: AtomicU64,
}

impl Account {
    /// One more wait of the host for the device.
    pub fn wait(&self) {
        self.waits.fetch_add(1, Ordering::Relaxed);
    }

    /// One more pipeline that was compiled.
    pub fn compile(&self) {
        self.pipelines.fetch_add(1, Ordering::Relaxed);
    }

    /// All so far.
    pub fn counters(&self) -> Counters {
        Counters {
            waits: self.waits.load(Ordering::Relaxed),
            peak_bytes: self.peak.load(Ordering::Relaxed),
            pipelines: self.pipelines.load(Ordering::Relaxed),
        }
    }

    fn grow(&self, bytes: u64) {
        let held = self.held.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.peak.fetch_max(held, Ordering::Relaxed);
    }

    fn shrink(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A buffer that is counted as long as it is held.
#[derive(Debug)]
pub struct Memory {
    buffer: wgpu::Buffer,
    account: Arc<Account>,
}

impl Gpu {
    /// A buffer on this device's account.
    pub(super) fn allocate(&self, descriptor: &wgpu::BufferDescriptor<'_>) -> Memory {
        let buffer = self.device.create_buffer(descriptor);
        self.account.grow(buffer.size());
        Memory { buffer, account: Arc::clone(&self.account) }
    }
}

impl Deref for Memory {
    type Target = wgpu::Buffer;

    fn deref(&self) -> &wgpu::Buffer {
        &self.buffer
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.account.shrink(self.buffer.size());
        // A page's garbage is collected late. What was submitted keeps the memory until it is done.
        #[cfg(target_arch = "wasm32")]
        self.buffer.destroy();
    }
}
