//! Recordings that are no forward pass: dispatches over arrays of their own, to be timed or tested.
//!
//! They are not known to be sound, so an executor checks them as every recording, see
//! [`super::verify`].

use super::recording::{
    Bind, Buffer, BufferId, Dispatch, Fill, Output, Readback, Recording, Submit,
};
use crate::kernels::{Call, Elem};

/// A recording being written, each array in a slot of its own.
#[derive(Debug)]
pub(crate) struct Draft(Recording);

impl Draft {
    /// Over `tokens` tokens of `texts` texts.
    pub fn new(tokens: usize, texts: usize) -> Self {
        Self(Recording {
            tokens,
            texts,
            buffers: Vec::new(),
            slots: Vec::new(),
            uploads: Vec::new(),
            submits: vec![Submit::default()],
        })
    }

    /// Says over how many tokens it is.
    #[cfg(any(test, feature = "gpu", feature = "testing"))]
    pub fn set_tokens(&mut self, tokens: usize) {
        self.0.tokens = tokens;
    }

    /// A new array of numbers stored as `elem`.
    pub fn array(&mut self, name: &'static str, shape: &[usize], elem: Elem) -> BufferId {
        let slot = self.0.buffers.len();
        let bytes = elem.bytes() * shape.iter().product::<usize>() as u64;
        let narrow = elem != Elem::F32;
        self.0.buffers.push(Buffer { name, shape: shape.to_vec(), narrow, bytes, slot });
        self.0.slots.push(bytes);
        BufferId(slot)
    }

    /// Fills an array before the first dispatch.
    pub fn fill(&mut self, id: BufferId, fill: Fill) {
        self.0.uploads.push((id, fill));
    }

    /// Adds a dispatch to the last submit, called by its variant.
    pub fn dispatch(&mut self, call: Call, binds: Vec<Bind>) {
        let label = call.work.variant().to_string();
        let dispatch = Dispatch { call, binds, label };
        self.submit().dispatches.push(dispatch);
    }

    /// Has the memory of an array be of `bytes`.
    #[cfg(any(test, feature = "gpu", feature = "testing"))]
    pub fn reserve(&mut self, id: BufferId, bytes: u64) {
        self.0.slots[id.0] = bytes;
    }

    /// Reads an array back after the last submit.
    #[cfg(any(test, feature = "gpu", feature = "testing"))]
    pub fn read(&mut self, output: Output, buffer: BufferId) {
        self.submit().readbacks.push(Readback { output, buffer });
    }

    /// Begins another submit.
    #[cfg(feature = "gpu")]
    pub fn close(&mut self) {
        self.0.submits.push(Submit::default());
    }

    fn submit(&mut self) -> &mut Submit {
        if self.0.submits.is_empty() {
            self.0.submits.push(Submit::default());
        }
        let last = self.0.submits.len() - 1;
        &mut self.0.submits[last]
    }

    /// The recording.
    pub fn finish(self) -> Recording {
        self.0
    }
}
