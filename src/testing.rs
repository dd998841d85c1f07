//! Recordings of one dispatch over arrays made up on the spot, and the weights they read: what is run
//! on a GPU and on the CPU executor by the tests of kernels, by `doctor`, and before a GPU is believed
//! for the first time.
//!
//! Behind each array that a kernel reads lie rows of NaN, and the array it writes starts as a
//! number nobody computes and ends in rows that must keep it: a read or a write past the end shows.
//! What is in the arrays, and how far two executors may be apart, is said by who uses this.

pub mod cases;
mod conv;
pub mod judge;
mod maps;
mod moe;
mod qk_norm;
mod rng;
pub mod states;

use std::ops::Range;
use std::sync::Arc;

use crate::error::Result;
use crate::execute::{Execute, Weights};
use crate::kernels::Call;
use crate::math::f16;
use crate::model::layout::{Layout, Use, Weight, WeightId};
use crate::schedule::draft::Draft;
use crate::schedule::recording::{Bind, Fill, Recording};
use crate::schedule::{Elem, Output};

/// What a written array holds before: no kernel computes it.
const UNTOUCHED: f32 = -7777.0;
/// Rows past the end of an array.
pub const GUARD: usize = 3;

/// Weights of any shape, in the layout of no model.
#[derive(Debug, Default)]
pub struct Shelf {
    weights: Vec<Weight>,
    numbers: Vec<Vec<f32>>,
}

impl Shelf {
    /// Puts (rows, cols) numbers there.
    pub fn add(&mut self, usage: Use, (rows, cols): (usize, usize), numbers: Vec<f32>) -> Bind {
        debug_assert_eq!(numbers.len(), rows * cols);
        let label = format!("weight {}", self.weights.len());
        self.weights.push(Weight { label, usage, rows, cols, parts: Vec::new() });
        self.numbers.push(numbers);
        Bind::Weight(WeightId(self.weights.len() - 1))
    }

    /// What an executor is made of.
    pub fn close(mut self) -> (Arc<Layout>, Arc<Held>) {
        if self.weights.is_empty() {
            self.add(Use::Table, (1, 4), vec![0.0; 4]);
        }
        let first = WeightId(0);
        let layout = Layout {
            weights: self.weights,
            width: 4,
            head_dim: 4,
            inner: 4,
            word: first,
            position: first,
            token_type: first,
            embedding_norm: first,
            embedding: 4,
            projection: None,
            projected_norm: None,
            blocks: Vec::new(),
            final_norm: None,
            pooler: None,
            spec: None,
        };
        (Arc::new(layout), Arc::new(Held(self.numbers)))
    }
}

/// The numbers of every weight of a layout, (rows, cols) each.
#[derive(Debug)]
pub struct Held(pub Vec<Vec<f32>>);

impl Weights for Held {
    fn rows(&self, layout: &Layout, id: WeightId, rows: Range<usize>) -> Result<Vec<f32>> {
        let cols = layout.weight(id).cols;
        Ok(self.0[id.0][rows.start * cols..rows.end * cols].to_vec())
    }
}

/// A recording of one submit being written, each array in a slot of its own.
#[derive(Debug)]
pub struct Single {
    draft: Draft,
}

impl Default for Single {
    fn default() -> Self {
        Self::over(0)
    }
}

impl Single {
    /// One of attention or pooling over `texts` texts.
    pub fn over(texts: usize) -> Self {
        Self { draft: Draft::new(0, texts) }
    }

    /// An array of words.
    pub fn words(&mut self, words: Vec<u32>) -> Bind {
        self.array(words, false)
    }

    fn array(&mut self, words: Vec<u32>, narrow: bool) -> Bind {
        let (count, elem) =
            if narrow { (2 * words.len(), Elem::PackedF16) } else { (words.len(), Elem::F32) };
        let id = self.draft.array("array", &[count], elem);
        self.draft.fill(id, Fill::Words(words));
        Bind::Buffer(id)
    }

    fn guarded(&mut self, numbers: &[f32], row: usize, guard: f32, narrow: bool) -> Bind {
        let guard = std::iter::repeat_n(guard, GUARD * row);
        let numbers: Vec<f32> = numbers.iter().copied().chain(guard).collect();
        let mut words = numbers.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        if narrow {
            words.truncate(numbers.len() / 2);
            f16::pack(&numbers, &mut words);
        }
        self.array(words, narrow)
    }

    /// An array to be read, with rows of NaN behind it.
    pub fn input(&mut self, numbers: &[f32], row: usize) -> Bind {
        self.guarded(numbers, row, f32::NAN, false)
    }

    /// As [`Single::input`], in 16 bits where it is `narrow`.
    pub fn input_in(&mut self, narrow: bool, numbers: &[f32], row: usize) -> Bind {
        self.guarded(numbers, row, f32::NAN, narrow)
    }

    /// An array to be changed and read back, with rows behind it; in 16 bits where it is `narrow`.
    pub fn inout(&mut self, narrow: bool, numbers: &[f32], row: usize) -> Bind {
        let bind = self.guarded(numbers, row, UNTOUCHED, narrow);
        self.read(bind);
        bind
    }

    /// An array to be written and read back, with rows behind it.
    pub fn output(&mut self, rows: usize, row: usize) -> Bind {
        self.output_in(false, rows, row)
    }

    /// As [`Single::output`], in 16 bits where it is `narrow`.
    pub fn output_in(&mut self, narrow: bool, rows: usize, row: usize) -> Bind {
        self.inout(narrow, &vec![UNTOUCHED; rows * row], row)
    }

    /// The flags of `rows` rows and `states` states, read back.
    pub fn status(&mut self, rows: usize, states: usize) -> Bind {
        self.draft.set_tokens(rows);
        let bind = self.words(vec![0; rows.div_ceil(32) + states]);
        self.bring(bind, Output::Status);
        bind
    }

    /// Has the memory of an array be of `bytes`: more than a device has, say.
    pub fn reserve(&mut self, bind: Bind, bytes: u64) {
        if let Bind::Buffer(id) = bind {
            self.draft.reserve(id, bytes);
        }
    }

    /// Reads `bind` back.
    pub fn read(&mut self, bind: Bind) {
        self.bring(bind, Output::Combined(0));
    }

    fn bring(&mut self, bind: Bind, output: Output) {
        if let Bind::Buffer(buffer) = bind {
            self.draft.read(output, buffer);
        }
    }

    /// Adds a dispatch.
    pub fn dispatch(&mut self, call: Call, binds: &[Bind]) {
        self.draft.dispatch(call, binds.to_vec());
    }

    /// The recording. An executor refuses it where a dispatch could leave its arrays.
    pub fn finish(self) -> Recording {
        self.draft.finish()
    }
}

/// [`arrays`], blocking.
///
/// # Errors
///
/// Those of [`arrays`].
pub fn run(executor: &dyn Execute, recording: &Recording) -> Result<Vec<Vec<f32>>> {
    pollster::block_on(arrays(executor, recording))
}

/// Runs `recording` and gives the numbers of each array that it brings back.
///
/// # Errors
///
/// Those of the device; `NotFinite` where a row was flagged.
pub async fn arrays(executor: &dyn Execute, recording: &Recording) -> Result<Vec<Vec<f32>>> {
    let readbacks = recording.submits().iter().flat_map(|s| s.readbacks());
    let brought = readbacks.filter(|r| r.output() != Output::Status);
    let mut narrow = brought.map(|r| recording.buffer(r.buffer()).is_narrow());
    let mut arrays = Vec::new();
    let mut sink = |_, numbers: Vec<f32>| {
        arrays.push(match narrow.next() {
            Some(true) => f16::unpack(bytemuck::cast_slice(&numbers)),
            _ => numbers,
        });
        Ok(())
    };
    match executor.run(recording, &mut sink).await? {
        None => Ok(arrays),
        Some(found) => Err(found.into_error()),
    }
}
