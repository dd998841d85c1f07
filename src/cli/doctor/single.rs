//! Recordings of one dispatch over random numbers, and the weights they read.
//!
//! Behind each array that a kernel reads lie rows of NaN, and the array it writes starts as a
//! number nobody computes and ends in rows that must keep it: a read or a write past the end shows.

use std::ops::Range;
use std::sync::Arc;

use everylayer::Result;
use everylayer::execute::{Execute, Weights};
use everylayer::model::layout::{Layout, Use, Weight, WeightId, align4};
use everylayer::schedule::params::Params;
use everylayer::schedule::recording::{
    Bind, Buffer, BufferId, Dispatch, Fill, Readback, Recording, Submit,
};
use everylayer::schedule::{Output, Variant};

/// What a written array holds before.
const UNTOUCHED: f32 = -7777.0;
/// Rows past the end of an array.
const GUARD: usize = 3;

/// Seeded random numbers (SplitMix64, Steele et al. 2014).
pub struct Rng(u64);

impl Rng {
    /// The same numbers for the same `seed`.
    pub fn new(seed: usize) -> Self {
        Self(seed as u64)
    }

    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A whole number in 0..n.
    pub fn below(&mut self, n: usize) -> u32 {
        (self.word() % n as u64) as u32
    }

    /// Numbers close to normal ones with deviation `scale`: the sum of four uniform ones.
    pub fn normals(&mut self, count: usize, scale: f32) -> Vec<f32> {
        let mut normal = || {
            let word = self.word();
            let sum: u64 = (0..4).map(|i| word >> (16 * i) & 0xffff).sum();
            // Mean 2 and variance 4 / 12.
            (sum as f64 / 65_535.0 - 2.0) * 3f64.sqrt()
        };
        (0..count).map(|_| scale * normal() as f32).collect()
    }

    /// Rows of `width` such numbers, zero up to the stride.
    pub fn rows(&mut self, rows: usize, width: usize, scale: f32) -> Vec<f32> {
        let mut numbers = vec![0.0; rows * align4(width)];
        for row in numbers.chunks_exact_mut(align4(width)) {
            row[..width].copy_from_slice(&self.normals(width, scale));
        }
        numbers
    }
}

/// Weights of any shape, in the layout of no model.
#[derive(Default)]
pub struct Shelf {
    weights: Vec<Weight>,
    numbers: Vec<Vec<f32>>,
}

impl Shelf {
    /// Puts (rows, cols) numbers there.
    pub fn add(&mut self, usage: Use, (rows, cols): (usize, usize), numbers: Vec<f32>) -> Bind {
        let label = format!("weight {}", self.weights.len());
        self.weights.push(Weight { label, usage, rows, cols, parts: Vec::new() });
        self.numbers.push(numbers);
        Bind::Weight(WeightId(self.weights.len() - 1))
    }

    /// What an executor is made of.
    pub fn close(self) -> (Arc<Layout>, Arc<Held>) {
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
        };
        (Arc::new(layout), Arc::new(Held(self.numbers)))
    }
}

/// The numbers of every weight.
pub struct Held(Vec<Vec<f32>>);

impl Weights for Held {
    fn rows(&self, layout: &Layout, id: WeightId, rows: Range<usize>) -> Result<Vec<f32>> {
        let cols = layout.weight(id).cols;
        Ok(self.0[id.0][rows.start * cols..rows.end * cols].to_vec())
    }
}

/// A recording of one dispatch being written, each array in a slot of its own.
#[derive(Default)]
pub struct Single {
    buffers: Vec<Buffer>,
    uploads: Vec<(BufferId, Fill)>,
    readbacks: Vec<Readback>,
}

impl Single {
    /// An array of words.
    pub fn words(&mut self, words: Vec<u32>) -> Bind {
        let id = BufferId(self.buffers.len());
        let bytes = 4 * words.len() as u64;
        self.buffers.push(Buffer { name: "array", shape: vec![words.len()], bytes, slot: id.0 });
        self.uploads.push((id, Fill::Words(words)));
        Bind::Buffer(id)
    }

    fn guarded(&mut self, numbers: &[f32], row: usize, guard: f32) -> Bind {
        let guard = std::iter::repeat_n(guard, GUARD * row);
        self.words(numbers.iter().copied().chain(guard).map(f32::to_bits).collect())
    }

    /// An array to be read, with rows of NaN behind it.
    pub fn input(&mut self, numbers: &[f32], row: usize) -> Bind {
        self.guarded(numbers, row, f32::NAN)
    }

    /// An array to be changed and read back, with rows behind it.
    pub fn inout(&mut self, numbers: &[f32], row: usize) -> Bind {
        let buffer = BufferId(self.buffers.len());
        self.readbacks.push(Readback { output: Output::Combined, buffer });
        self.guarded(numbers, row, UNTOUCHED)
    }

    /// An array to be written and read back, with rows behind it.
    pub fn output(&mut self, rows: usize, row: usize) -> Bind {
        self.inout(&vec![UNTOUCHED; rows * row], row)
    }

    /// The recording of this one dispatch over `texts` texts.
    pub fn dispatch(
        self,
        variant: Variant,
        params: Params,
        binds: Vec<Bind>,
        grid: [u32; 2],
        texts: usize,
    ) -> Recording {
        let label = variant.to_string();
        let dispatch = Dispatch { variant, params, binds, grid, flops: 0, label };
        Recording {
            tokens: 0,
            texts,
            slots: self.buffers.iter().map(|b| b.bytes).collect(),
            buffers: self.buffers,
            uploads: self.uploads,
            submits: vec![Submit { dispatches: vec![dispatch], readbacks: self.readbacks }],
        }
    }
}

/// Runs `recording` and gives each array that it brings back.
pub fn run(executor: &dyn Execute, recording: &Recording) -> Result<Vec<Vec<f32>>> {
    let mut arrays = Vec::new();
    let mut sink = |_, numbers| {
        arrays.push(numbers);
        Ok(())
    };
    match pollster::block_on(executor.run(recording, &mut sink))? {
        None => Ok(arrays),
        Some(found) => Err(found.into_error()),
    }
}
