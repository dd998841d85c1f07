//! Where the time of a call goes: each dispatch with what it does and how long it takes, what the
//! device does at most, and what it was made to hold. For `everylayer bench` and its like.

use std::time::Duration;

use super::Encoder;
use crate::capture::Capture;
use crate::error::Result;
use crate::execute::{Ceilings, Counters};
use crate::model::layout::Use;
use crate::schedule::recording::{Bind, Dispatch};
use crate::schedule::{Recording, Variant};
use crate::text::Text;

/// One dispatch of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The kernel and what is compiled into it.
    pub variant: Variant,
    /// What it computes, for people: `block 2 up`.
    pub label: String,
    /// Floating-point operations, two a multiply-add; 0 for elementwise work.
    pub flops: u64,
    /// Bytes of the arrays that it binds, each once; of a table a row a token at most.
    pub bytes: u64,
}

impl Encoder {
    /// The dispatches that [`Encoder::embed`] would run, in order. Nothing is run.
    ///
    /// # Errors
    ///
    /// As [`Encoder::record`].
    pub fn steps<'t, T: Into<Text<'t>>>(
        &self,
        texts: impl IntoIterator<Item = T>,
        capture: &Capture,
    ) -> Result<Vec<Step>> {
        let recordings = self.record(texts, capture)?;
        let step = |recording, dispatch: &Dispatch| Step {
            variant: dispatch.variant(),
            label: dispatch.label().to_owned(),
            flops: dispatch.flops(),
            bytes: self.bytes(recording, dispatch),
        };
        let steps = recordings.iter().map(|r| r.dispatches().map(move |d| step(r, d)));
        Ok(steps.flatten().collect())
    }

    /// Runs the work of [`Encoder::embed`] and gives the time of each of [`Encoder::steps`] on the
    /// device. What is compiled at its first use counts, so embed something alike before.
    ///
    /// # Errors
    ///
    /// As [`Encoder::embed`].
    pub async fn profile<'t, T: Into<Text<'t>>>(
        &self,
        texts: impl IntoIterator<Item = T>,
        capture: &Capture,
    ) -> Result<Vec<Duration>> {
        let mut times = Vec::new();
        for recording in self.record(texts, capture)? {
            times.extend(self.executor.profile(&recording).await?);
        }
        Ok(times)
    }

    /// [`Encoder::profile`], blocking.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn profile_blocking<'t, T: Into<Text<'t>>>(
        &self,
        texts: impl IntoIterator<Item = T>,
        capture: &Capture,
    ) -> Result<Vec<Duration>> {
        pollster::block_on(self.profile(texts, capture))
    }

    /// Measures what the device does at most, for about a second.
    ///
    /// # Errors
    ///
    /// `Gpu`, `DeviceLost`, `OutOfMemory` from a device.
    pub async fn ceilings(&self) -> Result<Ceilings> {
        self.executor.ceilings().await
    }

    /// [`Encoder::ceilings`], blocking.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn ceilings_blocking(&self) -> Result<Ceilings> {
        pollster::block_on(self.ceilings())
    }

    /// Waits and memory since the model was loaded.
    pub fn counters(&self) -> Counters {
        self.executor.counters()
    }

    /// Whether the host's own processor does the work: the CPU executor, and software Vulkan.
    pub fn is_software(&self) -> bool {
        self.executor.is_software()
    }

    fn bytes(&self, recording: &Recording, dispatch: &Dispatch) -> u64 {
        let of = |bind: &Bind| match bind {
            Bind::Buffer(id) => recording.buffer(*id).bytes(),
            Bind::Weight(id) => {
                let (weight, held) = (self.model.layout.weight(*id), self.executor.held_bytes(*id));
                match weight.usage {
                    Use::Table => {
                        let rows = weight.rows.max(1) as u64;
                        held / rows * rows.min(recording.tokens() as u64)
                    }
                    Use::Matrix | Use::Vector => held,
                }
            }
        };
        dispatch.binds().iter().map(of).sum()
    }
}
