//! Every kernel on the GPU against its CPU twin: recordings of one dispatch, awkward sizes first.
//!
//! Behind each array that a kernel reads lie rows of NaN, and the array it writes starts as a
//! number nobody computes and ends in rows that must keep it: the shaders run without bounds
//! checks, so a read or a write past the end has to show here.
//!
//! Whole forward passes are in `forward.rs`; the shaders as text in `shaders.rs`.

#![cfg(feature = "gpu")]

mod attention;
mod beside;
mod combine;
mod coop;
mod matmul;
mod not_finite;
mod pool;
mod rows;
#[path = "../toy/mod.rs"]
mod toy;

use std::sync::Arc;

use everylayer::cpu::Cpu;
use everylayer::execute::Execute;
use everylayer::gpu::GpuExecutor;
use everylayer::gpu::device::Gpu;
use everylayer::model::layout::{Layout, Use, Weight, WeightId};
use everylayer::schedule::params::Params;
use everylayer::schedule::recording::{
    Bind, Buffer, BufferId, Dispatch, Fill, Readback, Recording, Submit,
};
use everylayer::schedule::{Elem, Output, Variant};
use toy::{Held, run};

/// What the written array holds before: no kernel computes it.
const UNTOUCHED: f32 = -7777.0;
/// Rows past the end of each array.
const GUARD: usize = 3;

/// Weights of any shape, in the layout of no model.
#[derive(Default)]
struct Shelf {
    weights: Vec<Weight>,
    numbers: Vec<Vec<f32>>,
}

impl Shelf {
    fn add(&mut self, usage: Use, (rows, cols): (usize, usize), numbers: Vec<f32>) -> Bind {
        assert_eq!(numbers.len(), rows * cols);
        let label = format!("weight {}", self.weights.len());
        self.weights.push(Weight { label, usage, rows, cols, parts: Vec::new() });
        self.numbers.push(numbers);
        Bind::Weight(WeightId(self.weights.len() - 1))
    }

    fn open(mut self, gpu: &Arc<Gpu>, elem: Elem) -> Pair {
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
        };
        let (layout, held) = (Arc::new(layout), Arc::new(Held(self.numbers)));
        Pair {
            cpu: Cpu::new(layout.clone(), held.as_ref(), elem).unwrap(),
            gpu: GpuExecutor::new(gpu.clone(), layout, held, elem).unwrap(),
        }
    }
}

/// The same weights on both executors.
struct Pair {
    cpu: Cpu,
    gpu: GpuExecutor,
}

/// A recording of one submit, each array in a slot of its own.
#[derive(Default)]
struct One {
    buffers: Vec<Buffer>,
    uploads: Vec<(BufferId, Fill)>,
    submit: Submit,
    tokens: usize,
    texts: usize,
}

impl One {
    fn words(&mut self, words: Vec<u32>) -> Bind {
        let id = BufferId(self.buffers.len());
        let bytes = 4 * words.len() as u64;
        self.buffers.push(Buffer { name: "array", shape: vec![words.len()], bytes, slot: id.0 });
        self.uploads.push((id, Fill::Words(words)));
        Bind::Buffer(id)
    }

    /// `numbers` with rows of NaN behind them.
    fn input(&mut self, numbers: &[f32], row: usize) -> Bind {
        let guard = std::iter::repeat_n(f32::NAN, GUARD * row);
        self.words(numbers.iter().copied().chain(guard).map(f32::to_bits).collect())
    }

    /// An array to be written and read back, with rows behind it.
    fn output(&mut self, rows: usize, row: usize) -> Bind {
        let bind = self.words(vec![UNTOUCHED.to_bits(); (rows + GUARD) * row]);
        self.read(bind);
        bind
    }

    /// The flags of `rows` rows and `states` states.
    fn status(&mut self, rows: usize, states: usize) -> Bind {
        self.tokens = rows;
        let bind = self.words(vec![0; rows.div_ceil(32) + states]);
        let Bind::Buffer(buffer) = bind else { unreachable!("words makes a buffer") };
        self.submit.readbacks.push(Readback { output: Output::Status, buffer });
        bind
    }

    fn read(&mut self, bind: Bind) {
        let Bind::Buffer(buffer) = bind else { panic!("weights are not read back") };
        self.submit.readbacks.push(Readback { output: Output::Combined, buffer });
    }

    fn dispatch(&mut self, variant: Variant, params: Params, binds: &[Bind], grid: [u32; 2]) {
        let binds = binds.to_vec();
        let label = variant.to_string();
        self.submit.dispatches.push(Dispatch { variant, params, binds, grid, flops: 0, label });
    }

    fn finish(self) -> Recording {
        Recording {
            tokens: self.tokens,
            texts: self.texts,
            slots: self.buffers.iter().map(|b| b.bytes).collect(),
            buffers: self.buffers,
            uploads: self.uploads,
            submits: vec![self.submit],
        }
    }
}

/// The one array that `recording` brings back, on the GPU and on the CPU.
fn both(pair: &Pair, recording: &Recording) -> (Vec<f32>, Vec<f32>) {
    let one = |executor: &dyn Execute| {
        let mut outputs = run(executor, recording)
            .unwrap_or_else(|e| panic!("{}: {e}\n{recording}", executor.device()));
        assert_eq!(outputs.len(), 1, "{recording}");
        outputs.remove(0).1
    };
    (one(&pair.gpu), one(&pair.cpu))
}

fn largest(numbers: &[f32]) -> f32 {
    numbers.iter().fold(0.0, |m, x| x.abs().max(m))
}
