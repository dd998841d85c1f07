//! What a kernel reads on the host, by the place of its bindings.

use super::product::Packed;
use super::{CpuWeight, Slots};
use crate::error::{Error, Result, fail};
use crate::schedule::recording::{Bind, Dispatch, Recording};

/// The arrays of one dispatch but for those it writes.
pub(super) struct Reads<'a> {
    pub recording: &'a Recording,
    pub dispatch: &'a Dispatch,
    pub slots: &'a Slots,
    pub weights: &'a [CpuWeight],
    /// Binding 0 in 32 bits, where it is kept in 16.
    pub wide_in: Option<Vec<f32>>,
}

/// The error of a dispatch whose bindings are not those of its kernel.
pub(super) fn malformed(dispatch: &Dispatch) -> Error {
    fail!(Usage, "the step `{}` has the wrong bindings", dispatch.label())
}

impl Reads<'_> {
    fn bind(&self, at: usize) -> Result<Bind> {
        self.dispatch.binds().get(at).copied().ok_or_else(|| malformed(self.dispatch))
    }

    /// The numbers at binding `at`: an array, which may be longer, or a weight that is no matrix.
    pub fn numbers(&self, at: usize) -> Result<&[f32]> {
        if let (0, Some(wide)) = (at, &self.wide_in) {
            return Ok(wide);
        }
        match self.bind(at)? {
            Bind::Buffer(id) => Ok(&self.slots[self.recording.buffer(id).slot()]),
            Bind::Weight(id) => match &self.weights[id.0] {
                CpuWeight::Plain(numbers) => Ok(numbers),
                CpuWeight::Packed(_) => Err(malformed(self.dispatch)),
            },
        }
    }

    /// The words of the array at binding `at`, as many as it has.
    pub fn words(&self, at: usize) -> Result<&[u32]> {
        let words = bytemuck::cast_slice(self.numbers(at)?);
        match self.bind(at)? {
            Bind::Buffer(id) => Ok(&words[..self.recording.buffer(id).bytes() as usize / 4]),
            Bind::Weight(_) => Ok(words),
        }
    }

    /// The matrix at binding `at`.
    pub fn matrix(&self, at: usize) -> Result<&Packed> {
        match self.bind(at)? {
            Bind::Weight(id) => match &self.weights[id.0] {
                CpuWeight::Packed(packed) => Ok(packed),
                CpuWeight::Plain(_) => Err(malformed(self.dispatch)),
            },
            Bind::Buffer(_) => Err(malformed(self.dispatch)),
        }
    }
}
