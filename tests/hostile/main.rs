//! Hostile batches, recordings, layouts and requests through every public door: each is refused with
//! an error, or gives what the other executor gives. The shaders run without bounds checks, so what
//! is let through must not leave an array.
//!
//! Seeded; `EVERYLAYER_FUZZ_SECONDS` bounds each test, 2 where it is not set.

mod batches;
#[path = "../common/mod.rs"]
mod common;
mod jobs;
#[path = "../toy/mod.rs"]
mod toy;

use std::time::Duration;

use everylayer::cpu::Cpu;
use everylayer::execute::Execute;
use everylayer::schedule::Elem;
use toy::Rng;
use toy::model::Toy;

fn time() -> Duration {
    let seconds = std::env::var("EVERYLAYER_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok());
    Duration::from_secs_f64(seconds.unwrap_or(2.0))
}

/// A word that is likely to do harm.
fn hostile(rng: &mut Rng, now: u32) -> u32 {
    match rng.below(9) {
        0 => 0,
        1 => u32::MAX,
        2 => 1 << 31,
        3 => now.wrapping_add(1),
        4 => now.wrapping_sub(1),
        5 => now.wrapping_mul(4),
        6 => now.wrapping_add(rng.below(70) as u32),
        7 => rng.below(600) as u32,
        _ => rng.word() as u32,
    }
}

/// The executors there are, of the same weights.
fn executors(toy: &Toy) -> Vec<Box<dyn Execute>> {
    let cpu = Cpu::new(toy.layout.clone(), toy.held.as_ref(), Elem::F32).unwrap();
    let mut all: Vec<Box<dyn Execute>> = vec![Box::new(cpu)];
    #[cfg(feature = "gpu")]
    if let Some(gpu) = toy::gpu() {
        let (layout, held) = (toy.layout.clone(), toy.held.clone());
        let gpu = everylayer::gpu::GpuExecutor::new(gpu, layout, held, Elem::F32);
        all.push(Box::new(gpu.unwrap()));
    }
    all
}
