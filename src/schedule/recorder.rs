//! The pen: collects buffers and dispatches, closes submits, and shares memory at the end.

use super::memory::{Lifetime, assign};
use super::recording::{
    Bind, Buffer, BufferId, Dispatch, Fill, Output, Readback, Recording, Submit,
};
use crate::kernels::{Call, Elem};

/// Writes a [`Recording`] step by step.
pub struct Recorder {
    buffers: Vec<Buffer>,
    lives: Vec<Lifetime>,
    uploads: Vec<(BufferId, Fill)>,
    submits: Vec<Submit>,
    open: Submit,
    step: usize,
    read_bytes: u64,
    flops: u64,
    /// A submit is closed when its readbacks or its work pass these.
    max_read: u64,
    max_flops: u64,
}

impl Recorder {
    pub fn new(max_read: u64, max_flops: u64) -> Self {
        Self {
            buffers: Vec::new(),
            lives: Vec::new(),
            uploads: Vec::new(),
            submits: Vec::new(),
            open: Submit::default(),
            step: 1,
            read_bytes: 0,
            flops: 0,
            max_read,
            max_flops,
        }
    }

    /// A new array of 32-bit numbers.
    pub fn buffer(&mut self, name: &'static str, shape: &[usize]) -> BufferId {
        self.stored(name, shape, Elem::F32)
    }

    /// A new array of numbers stored as `elem`.
    pub fn stored(&mut self, name: &'static str, shape: &[usize], elem: Elem) -> BufferId {
        let bytes = elem.bytes() * shape.iter().product::<usize>() as u64;
        let narrow = elem != Elem::F32;
        self.buffers.push(Buffer { name, shape: shape.to_vec(), narrow, bytes, slot: 0 });
        self.lives.push(Lifetime { first: usize::MAX, last: 0, bytes });
        BufferId(self.buffers.len() - 1)
    }

    /// A new array, filled before the first dispatch.
    pub fn upload(&mut self, name: &'static str, shape: &[usize], fill: Fill) -> BufferId {
        let id = self.buffer(name, shape);
        self.touch(id, 0);
        self.uploads.push((id, fill));
        id
    }

    /// Whether `buffer` holds numbers of 16 bits.
    pub fn is_narrow(&self, buffer: BufferId) -> bool {
        self.buffers[buffer.0].narrow
    }

    fn touch(&mut self, id: BufferId, step: usize) {
        let life = &mut self.lives[id.0];
        life.first = life.first.min(step);
        life.last = life.last.max(step);
    }

    /// Adds a dispatch to the open submit.
    pub fn dispatch(&mut self, label: String, call: Call, binds: &[Bind]) {
        if self.flops > 0 && self.flops + call.flops > self.max_flops {
            self.close();
        }
        for bind in binds {
            if let Bind::Buffer(id) = bind {
                self.touch(*id, self.step);
            }
        }
        self.step += 1;
        self.flops += call.flops;
        let binds = binds.to_vec();
        self.open.dispatches.push(Dispatch { call, binds, label });
    }

    /// Reads `buffer` back after the open submit, and closes it where enough has gathered.
    pub fn read(&mut self, output: Output, buffer: BufferId) {
        self.open.readbacks.push(Readback { output, buffer });
        self.read_bytes += self.buffers[buffer.0].bytes;
        if self.read_bytes >= self.max_read {
            self.close();
        }
    }

    fn close(&mut self) {
        // Copies run after the pass: what they read stays alive until then.
        for i in 0..self.open.readbacks.len() {
            self.touch(self.open.readbacks[i].buffer, self.step);
        }
        self.step += 1;
        self.read_bytes = 0;
        self.flops = 0;
        self.submits.push(std::mem::take(&mut self.open));
    }

    /// Closes the last submit and shares memory.
    pub fn finish(mut self, texts: usize, tokens: usize) -> Recording {
        if self.open != Submit::default() {
            self.close();
        }
        // An array nobody touched still has a place.
        for life in &mut self.lives {
            life.first = life.first.min(life.last);
        }
        let (of, slots) = assign(&self.lives);
        for (buffer, slot) in self.buffers.iter_mut().zip(of) {
            buffer.slot = slot;
        }
        Recording {
            tokens,
            texts,
            buffers: self.buffers,
            slots,
            uploads: self.uploads,
            submits: self.submits,
        }
    }
}
