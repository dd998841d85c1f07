//! Work as data: the buffers, uploads, dispatches and readbacks of one batch.
//!
//! A recording is made without a device and printed without one; `gpu/` and `cpu/` run it. Only
//! `schedule` makes one: the fields are private, and what is written down is never changed.

use std::fmt;

use super::site::Site;
use crate::kernels::{Call, Variant, Work};
use crate::model::layout::WeightId;

/// Index of a buffer in [`Recording::buffers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BufferId(pub(super) usize);

impl BufferId {
    /// Its place in [`Recording::buffers`].
    pub fn index(self) -> usize {
        self.0
    }
}

/// One array of 32-bit words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buffer {
    /// What it holds.
    pub(super) name: &'static str,
    /// Its axes, for people: `(tokens, width)`.
    pub(super) shape: Vec<usize>,
    /// Whether a word holds two numbers of 16 bits, or one of 32.
    pub(super) narrow: bool,
    /// Size in bytes.
    pub(super) bytes: u64,
    /// The piece of memory it lies in, shared with buffers that are never alive with it.
    pub(super) slot: usize,
}

/// What fills a buffer before the first dispatch.
#[derive(Debug, Clone, PartialEq)]
pub enum Fill {
    /// These words.
    Words(Vec<u32>),
    /// Rows of a table too large for a binding, gathered on the host.
    Rows {
        /// The table.
        table: WeightId,
        /// Which rows.
        rows: Vec<u32>,
    },
}

/// What a kernel reads or writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bind {
    /// A buffer of the recording.
    Buffer(BufferId),
    /// A weight of the model.
    Weight(WeightId),
}

/// What a binding comes to once arrays share memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Array {
    /// The first bytes of a slot.
    Slot {
        /// Which one.
        slot: usize,
        /// How many bytes.
        bytes: u64,
    },
    /// A weight of the model.
    Weight(WeightId),
}

/// One kernel over one grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Dispatch {
    /// The kernel, its uniform block, its grid.
    pub(super) call: Call,
    /// Its storage bindings, in the order of the shader.
    pub(super) binds: Vec<Bind>,
    /// What it computes, for people: `block 2 up`.
    pub(super) label: String,
}

/// What a readback holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Output {
    /// A state, (tokens, width stride).
    State(usize),
    /// What lies at a site of a block other than its state, (tokens, [`SiteRow::line`](super::SiteRow::line)).
    Site(Site, usize),
    /// The last state before the final norm, (tokens, width stride).
    Unnormed,
    /// What was asked of the attention of a block, or the next tile of rows of it; see
    /// [`super::maps::MapExit`].
    Map(usize),
    /// The combination of the states that the exit of this number chose, (tokens, width stride).
    Combined(usize),
    /// Pooled rows of the exit of this number, (parts, texts, width stride); see
    /// [`super::plan::Exit`].
    Pooled(usize),
    /// One bit a token, set where a row of it is not finite, in words of 32; then one word a state:
    /// 1 + such a row of it, or 0.
    Status,
}

/// A copy of a buffer to the host, taken after the dispatches of its submit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readback {
    /// What it is.
    pub(super) output: Output,
    /// Where it lies.
    pub(super) buffer: BufferId,
}

/// One command buffer: one compute pass, then copies.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Submit {
    /// In order.
    pub(super) dispatches: Vec<Dispatch>,
    /// After all of them.
    pub(super) readbacks: Vec<Readback>,
}

/// Everything a device does for one batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// Tokens worked on.
    pub(super) tokens: usize,
    /// Texts in the batch.
    pub(super) texts: usize,
    /// The arrays.
    pub(super) buffers: Vec<Buffer>,
    /// Bytes of each piece of memory the arrays share.
    pub(super) slots: Vec<u64>,
    /// What is written before the first dispatch.
    pub(super) uploads: Vec<(BufferId, Fill)>,
    /// What is run, in order.
    pub(super) submits: Vec<Submit>,
}

/// Exact counts of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Kernels started.
    pub dispatches: usize,
    /// Command buffers.
    pub submits: usize,
    /// Bytes to the device, weights left out.
    pub bytes_up: u64,
    /// Bytes to the host.
    pub bytes_down: u64,
    /// Bytes of device memory for activations.
    pub memory: u64,
    /// Floating-point operations.
    pub flops: u64,
}

impl Buffer {
    /// What it holds.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its axes: `(tokens, width)`.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Whether a word holds two numbers of 16 bits, or one of 32.
    pub fn is_narrow(&self) -> bool {
        self.narrow
    }

    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The piece of memory it lies in: an index of [`Recording::slots`].
    pub fn slot(&self) -> usize {
        self.slot
    }
}

impl Dispatch {
    /// The kernel and what is compiled into it.
    pub fn variant(&self) -> Variant {
        self.call.work.variant()
    }

    /// The kernel and its uniform block.
    pub fn work(&self) -> &Work {
        &self.call.work
    }

    /// Its storage bindings, in the order of the shader.
    pub fn binds(&self) -> &[Bind] {
        &self.binds
    }

    /// Workgroups in x and y.
    pub fn grid(&self) -> [u32; 2] {
        self.call.grid
    }

    /// Floating-point operations, two a multiply-add; 0 for elementwise work.
    pub fn flops(&self) -> u64 {
        self.call.flops
    }

    /// What it computes, for people: `block 2 up`.
    pub fn label(&self) -> &str {
        &self.label
    }
}

impl Readback {
    /// What it is.
    pub fn output(&self) -> Output {
        self.output
    }

    /// Where it lies.
    pub fn buffer(&self) -> BufferId {
        self.buffer
    }
}

impl Submit {
    /// In order.
    pub fn dispatches(&self) -> &[Dispatch] {
        &self.dispatches
    }

    /// Taken after all dispatches.
    pub fn readbacks(&self) -> &[Readback] {
        &self.readbacks
    }
}

impl Recording {
    /// Tokens worked on.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Texts in the batch.
    pub fn texts(&self) -> usize {
        self.texts
    }

    /// The arrays.
    pub fn buffers(&self) -> &[Buffer] {
        &self.buffers
    }

    /// Bytes of each piece of memory that the arrays share.
    pub fn slots(&self) -> &[u64] {
        &self.slots
    }

    /// What is written before the first dispatch.
    pub fn uploads(&self) -> &[(BufferId, Fill)] {
        &self.uploads
    }

    /// What is run, in order.
    pub fn submits(&self) -> &[Submit] {
        &self.submits
    }

    /// The buffer `id`, which is one of this recording.
    pub fn buffer(&self, id: BufferId) -> &Buffer {
        &self.buffers[id.0]
    }

    /// What the bindings of `dispatch` come to.
    pub fn arrays<'a>(&'a self, dispatch: &'a Dispatch) -> impl Iterator<Item = Array> + 'a {
        dispatch.binds.iter().map(|bind| match bind {
            Bind::Buffer(id) => {
                let buffer = self.buffer(*id);
                Array::Slot { slot: buffer.slot, bytes: buffer.bytes }
            }
            Bind::Weight(id) => Array::Weight(*id),
        })
    }

    /// All dispatches in order.
    pub fn dispatches(&self) -> impl Iterator<Item = &Dispatch> {
        self.submits.iter().flat_map(|s| &s.dispatches)
    }

    /// What running it takes.
    pub fn counts(&self) -> Counts {
        let down =
            |s: &Submit| s.readbacks.iter().map(|r| self.buffer(r.buffer).bytes).sum::<u64>();
        Counts {
            dispatches: self.dispatches().count(),
            submits: self.submits.len(),
            bytes_up: self.uploads.iter().map(|(b, _)| self.buffer(*b).bytes).sum(),
            bytes_down: self.submits.iter().map(down).sum(),
            memory: self.slots.iter().sum(),
            flops: self.dispatches().map(Dispatch::flops).sum(),
        }
    }
}

impl fmt::Display for Recording {
    /// One line a step.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = self.counts();
        writeln!(f, "recording: {} texts, {} tokens", self.texts, self.tokens)?;
        for (id, fill) in &self.uploads {
            let b = self.buffer(*id);
            let how = match fill {
                Fill::Words(_) => "upload",
                Fill::Rows { .. } => "gather",
            };
            writeln!(f, "  {how:<8} {} -> slot {}", Shaped(b), b.slot)?;
        }
        for (i, submit) in self.submits.iter().enumerate() {
            writeln!(f, "  submit {}", i + 1)?;
            for d in &submit.dispatches {
                let [x, y] = d.grid();
                write!(f, "    {:<24} {:<30} {x}x{y}", d.label, d.variant().to_string())?;
                for bind in &d.binds {
                    if let Bind::Buffer(id) = bind {
                        let b = self.buffer(*id);
                        write!(f, " {}@{}", b.name, b.slot)?;
                    }
                }
                writeln!(f)?;
            }
            for r in &submit.readbacks {
                writeln!(f, "    read {:?} {}", r.output, Shaped(self.buffer(r.buffer)))?;
            }
        }
        writeln!(
            f,
            "  {} dispatches, {} submits, {} bytes up, {} bytes down, {} bytes of memory, {} flops",
            c.dispatches, c.submits, c.bytes_up, c.bytes_down, c.memory, c.flops
        )
    }
}

struct Shaped<'a>(&'a Buffer);

impl fmt::Display for Shaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let axes: Vec<_> = self.0.shape.iter().map(usize::to_string).collect();
        write!(f, "{} ({})", self.0.name, axes.join(", "))
    }
}
