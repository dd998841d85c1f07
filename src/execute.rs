//! What runs a recording: the one seam between the schedule and the devices.

mod around;

use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::error::{Error, Result, Setting, fail};
use crate::model::layout::WeightId;
pub use crate::model::weights::Weights;
use crate::schedule::{Caps, Output, Recording};
pub use around::Around;

/// A boxed future; `Send` wherever the device allows (everywhere but in a browser).
#[cfg(not(target_arch = "wasm32"))]
pub type Task<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
/// A boxed future; `Send` wherever the device allows (everywhere but in a browser).
#[cfg(target_arch = "wasm32")]
pub type Task<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Takes what comes back: numbers of a state or of the pooled result, row-major with the stride of
/// [`Layout::width`](crate::model::layout::Layout::width). [`Output::Status`] never arrives here: it
/// is what the run returns.
pub type Sink<'a> = &'a mut (dyn FnMut(Output, Vec<f32>) -> Result<()> + Send);

/// Runs recordings of one model, whose weights it holds.
pub trait Execute: Send + Sync {
    /// What the schedule has to know.
    fn caps(&self) -> &Caps;

    /// Name of the device, for people.
    fn device(&self) -> String;

    /// Bytes the weights take on the device.
    fn weight_bytes(&self) -> u64;

    /// Does beforehand what the first run of `recording` would have to, such as to compile kernels.
    fn prepare(&self, recording: &Recording);

    /// Takes the memory of `recording` beforehand, and keeps it.
    ///
    /// # Errors
    ///
    /// `OutOfMemory`, `Gpu`, `DeviceLost` from the device.
    fn reserve(&self, recording: &Recording) -> Result<()>;

    /// Runs `recording`, hands every readback to `sink`, in order, and tells which rows are not
    /// finite: what `sink` had of their texts is worth nothing, that of other texts is sound.
    ///
    /// # Errors
    ///
    /// `Gpu`, `DeviceLost`, `OutOfMemory` from a device; whatever `sink` returns.
    fn run<'a>(
        &'a self,
        recording: &'a Recording,
        sink: Sink<'a>,
    ) -> Task<'a, Result<Option<NotFinite>>>;

    /// [`Execute::run`] as a future that is pending now and then where the host itself does the work,
    /// so that its caller can do something else between two polls.
    ///
    /// # Errors
    ///
    /// As [`Execute::run`].
    fn run_in_turns<'a>(
        &'a self,
        recording: &'a Recording,
        sink: Sink<'a>,
    ) -> Task<'a, Result<Option<NotFinite>>> {
        self.run(recording, sink)
    }

    /// Runs `recording`, drops what comes back, and gives the time of each dispatch in order. What
    /// is compiled at its first use counts, so run something alike before.
    ///
    /// # Errors
    ///
    /// Those of the device.
    fn profile<'a>(&'a self, recording: &'a Recording) -> Task<'a, Result<Vec<Duration>>>;

    /// Measures what the device does at most.
    ///
    /// # Errors
    ///
    /// `Gpu`, `DeviceLost`, `OutOfMemory` from a device.
    fn ceilings(&self) -> Task<'_, Result<Ceilings>>;

    /// What running has taken since the device was opened; the executors of one GPU count together.
    fn counters(&self) -> Counters;

    /// Bytes weight `id` takes on the device; 0 where it stays on the host.
    fn held_bytes(&self, id: WeightId) -> u64;

    /// Whether the host's own processor does the work: the CPU executor, and software Vulkan.
    fn is_software(&self) -> bool;
}

/// What a device was measured to do at most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ceilings {
    /// Floating-point operations a second in f32, two a multiply-add, nothing read or written.
    pub flops: f64,
    /// Bytes a second, read and written, of a copy between arrays beyond the caches.
    pub bytes: f64,
}

/// What an executor, or all of one GPU, have taken so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// How often the host waited for the device.
    pub waits: u64,
    /// The most bytes that its arrays took at once: weights, activations, uniform blocks, staging.
    pub peak_bytes: u64,
    /// Kernels that were compiled.
    pub pipelines: u64,
}

/// Rows that hold NaN or infinity. Attention spreads such a row over its own text, never further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotFinite {
    /// The lowest state that holds one.
    pub state: usize,
    /// One of those that it holds.
    pub row: usize,
    /// Every row that holds one in some state, in order.
    pub rows: Vec<usize>,
}

impl NotFinite {
    /// What [`Output::Status`] says of a batch of `tokens` that ran on `device`; `None` where all is
    /// finite.
    ///
    /// # Errors
    ///
    /// `Gpu` for flags that no kernel writes: those of rows outside the batch, say.
    pub(crate) fn read(
        status: &[u32],
        tokens: usize,
        device: impl Display,
    ) -> Result<Option<Self>> {
        let Some((flags, states)) = status.split_at_checked(tokens.div_ceil(32)) else {
            return Ok(None);
        };
        // A kernel flags a row and notes one more than its number at the state, or does neither.
        let is_flagged = |row: usize| flags.get(row / 32).is_some_and(|f| f >> (row % 32) & 1 == 1);
        let rows: Vec<usize> = (0..32 * flags.len()).filter(|&row| is_flagged(row)).collect();
        let noted = |&row: &u32| row == 0 || is_flagged(row as usize - 1);
        let state = states.iter().position(|&row| row != 0);
        let known = rows.last().is_none_or(|&row| row < tokens) && states.iter().all(noted);
        if !known || state.is_none() != rows.is_empty() {
            return Err(fail!(
                Gpu,
                "{device} gives back what no kernel writes: it does not execute them as it should; \
                 update its driver, or use another device"
            )
            .about(&[Setting::Device]));
        }
        Ok(state.map(|state| Self { state, row: states[state] as usize - 1, rows }))
    }

    /// The error where numbers of f32 are not finite.
    pub fn into_error(self) -> Error {
        fail!(
            NotFinite,
            "state {} holds NaN or infinity (token {} of the batch): the checkpoint overflows f32 \
             or is damaged",
            self.state,
            self.row
        )
    }
}

/// The numbers of the weight `label` as f16.
///
/// # Errors
///
/// `NotFinite` for a number beyond 65,504, which f16 does not hold.
pub(crate) fn narrow(label: &str, numbers: &[f32]) -> Result<Vec<half::f16>> {
    let narrow = |&x: &f32| match half::f16::from_f32(x) {
        y if y.is_finite() || !x.is_finite() => Ok(y),
        _ => Err(fail!(
            NotFinite,
            "{label}: the weight {x} does not fit f16 (65504 at most); load the model with dtype f32"
        )),
    };
    numbers.iter().map(narrow).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_that_no_kernel_writes_are_the_devices_fault() {
        let read = |status: &[u32]| NotFinite::read(status, 3, "a GPU");
        assert_eq!(read(&[0, 0, 0]).unwrap(), None);
        let found = NotFinite { state: 1, row: 2, rows: vec![0, 2] };
        assert_eq!(read(&[0b101, 0, 3, 1]).unwrap(), Some(found));
        for status in [
            // A row outside the batch, noted or flagged.
            &[0, 0x3f80_0000][..],
            &[0b101, 0, 0x3f80_0000],
            &[u32::MAX, 1],
            &[0b1000, 4],
            // One without the other.
            &[0b100, 0],
            &[0, 1],
            &[0b10, 2, 3],
        ] {
            let said = read(status).unwrap_err().to_string();
            assert!(said.starts_with("a GPU gives back what no kernel writes"), "{said}");
        }
    }
}
