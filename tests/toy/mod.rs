//! What the tests of kernels, of recordings and of the forward pass share: seeded random numbers,
//! weights held in memory, one GPU device a test file, and a table that reports every failing case.

#![allow(dead_code, reason = "each test file uses its part")]

pub mod model;

#[cfg(feature = "gpu")]
use std::sync::{Arc, OnceLock};

use everylayer::Result;
use everylayer::execute::Execute;
#[cfg(feature = "gpu")]
use everylayer::gpu::device::Gpu;
use everylayer::schedule::{Output, Recording};
pub use everylayer::testing::Held;

/// The ways of cutting a product that `gpu` runs.
#[cfg(feature = "gpu")]
pub fn tiles(gpu: &Gpu) -> Vec<everylayer::schedule::Tile> {
    use everylayer::schedule::{Class, Tile};

    let runs = |tile: &Tile| match tile {
        Tile::Broadcast => gpu.abilities().class == Class::Software,
        // In tests of their own: they need a device that was opened for them.
        tile => !tile.is_coop(),
    };
    Tile::ALL.into_iter().filter(runs).collect()
}

/// The places where attention keeps keys and values that `gpu` runs.
#[cfg(feature = "gpu")]
pub fn stagings(gpu: &Gpu) -> Vec<everylayer::schedule::Staging> {
    use everylayer::schedule::{Class, Staging};

    match gpu.abilities().class {
        Class::Software => vec![Staging::Workgroup, Staging::Direct, Staging::Broadcast],
        _ => vec![Staging::Workgroup, Staging::Direct],
    }
}

/// The device of this test file, opened once: a real one where there is one, else any.
///
/// Where there is none, a line says so, for `./test` to count; with EVERYLAYER_REQUIRE_GPU set it
/// is a failure.
#[cfg(feature = "gpu")]
pub fn gpu() -> Option<Arc<Gpu>> {
    use everylayer::ErrorKind;
    use everylayer::gpu::device::{GpuOptions, Pick};

    static GPU: OnceLock<Option<Arc<Gpu>>> = OnceLock::new();
    let gpu = GPU.get_or_init(|| {
        match pollster::block_on(Gpu::open(&Pick::Any, &GpuOptions::default())) {
            Ok(gpu) => Some(Arc::new(gpu)),
            Err(e) if e.kind() == ErrorKind::NoAdapter => None,
            Err(e) => panic!("{e}"),
        }
    });
    if gpu.is_none() {
        assert!(
            std::env::var_os("EVERYLAYER_REQUIRE_GPU").is_none(),
            "EVERYLAYER_REQUIRE_GPU is set, yet there is no adapter"
        );
        println!("skipped: no Vulkan adapter");
    }
    gpu.clone()
}

/// Seeded random numbers (SplitMix64, Steele et al. 2014).
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A whole number in 0..n.
    pub fn below(&mut self, n: usize) -> usize {
        (self.word() % n as u64) as usize
    }

    /// Close to a standard normal number: twelve uniform ones less six.
    pub fn normal(&mut self) -> f32 {
        let sum: u64 = (0..3)
            .map(|_| {
                let w = self.word();
                (w & 0xffff) + (w >> 16 & 0xffff) + (w >> 32 & 0xffff) + (w >> 48)
            })
            .sum();
        (sum as f64 / 65_535.0 - 6.0) as f32
    }

    pub fn normals(&mut self, count: usize, scale: f32) -> Vec<f32> {
        (0..count).map(|_| scale * self.normal()).collect()
    }

    /// Normal numbers, one in a hundred of them between 25 and 30 away from zero, as the few large
    /// channels of a real hidden state are.
    pub fn loud(&mut self, count: usize) -> Vec<f32> {
        (0..count)
            .map(|_| {
                let x = self.normal();
                if self.below(100) > 0 { x } else { (27.5 + 2.5 * x.clamp(-1.0, 1.0)) * x.signum() }
            })
            .collect()
    }
}

/// Runs `recording` and collects what it brings to the host.
pub fn run(executor: &dyn Execute, recording: &Recording) -> Result<Vec<(Output, Vec<f32>)>> {
    let mut outputs = Vec::new();
    let mut sink = |output: Output, numbers: Vec<f32>| {
        outputs.push((output, numbers));
        Ok(())
    };
    match pollster::block_on(executor.run(recording, &mut sink))? {
        None => Ok(outputs),
        Some(found) => Err(found.into_error()),
    }
}

/// The cases of one test: all are run, and those that failed are reported together.
pub struct Report {
    name: &'static str,
    cases: usize,
    failed: Vec<String>,
    largest: f32,
    closest: f32,
}

impl Report {
    pub fn new(name: &'static str) -> Self {
        Self { name, cases: 0, failed: Vec::new(), largest: 0.0, closest: 0.0 }
    }

    /// One case: every number of `got` within `tolerance(index)` of `want`, NaN being nowhere.
    pub fn compare(
        &mut self,
        case: impl std::fmt::Display,
        got: &[f32],
        want: &[f32],
        tolerance: impl Fn(usize) -> f32,
    ) {
        self.cases += 1;
        if got.len() != want.len() {
            self.failed.push(format!("{case}: {} numbers, want {}", got.len(), want.len()));
            return;
        }
        let mut wrong = 0;
        let (mut first, mut worst, mut worst_by) = (None, 0, 0.0);
        for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
            if g.to_bits() == w.to_bits() {
                continue;
            }
            let (off, allowed) = ((g - w).abs(), tolerance(i));
            self.largest = self.largest.max(off);
            if off <= allowed {
                self.closest = self.closest.max(off / allowed);
                continue;
            }
            wrong += 1;
            first.get_or_insert(i);
            let by = if off.is_nan() { f32::INFINITY } else { off / allowed };
            if by > worst_by {
                (worst, worst_by) = (i, by);
            }
        }
        if let Some(first) = first {
            let at = |i: usize| {
                format!("[{i}] got {:e} want {:e} tolerance {:e}", got[i], want[i], tolerance(i))
            };
            self.failed.push(format!(
                "{case}: {wrong} of {} differ; first {}; worst {}",
                got.len(),
                at(first),
                at(worst)
            ));
        }
    }

    /// One case that holds or not.
    pub fn check(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        self.cases += 1;
        if !holds {
            self.failed.push(otherwise());
        }
    }

    /// Fails where a case did, with all of them.
    pub fn finish(self) {
        let Self { name, cases, failed, largest, closest } = self;
        println!(
            "{name}: {cases} cases, largest difference {largest:e}, at most {closest:.2} of the \
             tolerance"
        );
        assert!(cases > 0, "{name}: no case was run");
        assert!(
            failed.is_empty(),
            "{name}: {} of {cases} cases failed:\n{}",
            failed.len(),
            failed.join("\n")
        );
    }
}
