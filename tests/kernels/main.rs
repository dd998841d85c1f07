//! Every kernel on the GPU against its CPU twin: recordings of one dispatch, awkward sizes first.
//!
//! The shaders run without bounds checks, so a read or a write past the end has to show here: see
//! `everylayer::testing`, which these recordings are made with.
//!
//! Whole forward passes are in `forward.rs`; the shaders as text in `shaders.rs`.

#![cfg(feature = "gpu")]

mod attention;
mod combine;
mod coop;
mod im2col;
mod matmul;
mod moe;
mod narrow;
mod not_finite;
mod pool;
mod qk_norm;
mod rows;
#[path = "../toy/mod.rs"]
mod toy;

use std::sync::Arc;

use everylayer::cpu::Cpu;
use everylayer::execute::Execute;
use everylayer::gpu::GpuExecutor;
use everylayer::gpu::device::Gpu;
use everylayer::schedule::{Elem, Recording};
use everylayer::testing::{GUARD, Shelf, Single as One, run};

/// The same weights on both executors.
struct Pair {
    cpu: Cpu,
    gpu: GpuExecutor,
}

/// What is on `shelf`, on both.
fn open(shelf: Shelf, gpu: &Arc<Gpu>, elem: Elem) -> Pair {
    let (layout, held) = shelf.close();
    Pair {
        cpu: Cpu::new(layout.clone(), held.as_ref(), elem).unwrap(),
        gpu: GpuExecutor::new(gpu.clone(), layout, held, elem).unwrap(),
    }
}

/// The one array that `recording` brings back, on the GPU and on the CPU.
fn both(pair: &Pair, recording: &Recording) -> (Vec<f32>, Vec<f32>) {
    let one = |executor: &dyn Execute| {
        let mut outputs = run(executor, recording)
            .unwrap_or_else(|e| panic!("{}: {e}\n{recording}", executor.device()));
        assert_eq!(outputs.len(), 1, "{recording}");
        outputs.remove(0)
    };
    (one(&pair.gpu), one(&pair.cpu))
}

fn largest(numbers: &[f32]) -> f32 {
    numbers.iter().fold(0.0, |m, x| x.abs().max(m))
}
