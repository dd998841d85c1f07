//! What this processor does at most: a loop of fused multiply-adds in registers and a copy between
//! arrays beyond the caches, both on all threads.

use std::hint::black_box;
use std::time::Duration;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::execute::Ceilings;
use crate::platform::Instant;

/// Sums that are worked on side by side: latency times throughput of the multiply-add units of
/// every processor, and one register each on all of them.
const CHAINS: usize = 12;
/// Steps of every chain in one measurement: some 10 ms.
const STEPS: usize = 1 << 22;
/// Numbers of each array of the copy: 128 MiB.
const NUMBERS: usize = 32 << 20;
/// Numbers that a thread copies at a time.
const PIECE: usize = 1 << 18;
/// Measurements, short ones so that a machine that does other work leaves one alone; the best one
/// counts.
const RUNS: usize = 16;

/// Measures for about half a second.
pub fn measure() -> Ceilings {
    let threads = rayon::current_num_threads();
    let mut lanes = 0;
    let time = best(|| lanes = rayon::broadcast(|_| Arch::new().dispatch(Loop))[0]);
    let flops = (2 * threads * CHAINS * lanes * STEPS) as f64 / time.as_secs_f64();
    let from = vec![1f32; NUMBERS];
    let mut to = vec![0f32; NUMBERS];
    let time = best(|| {
        let pieces = to.par_chunks_mut(PIECE).zip(black_box(&from).par_chunks(PIECE));
        pieces.for_each(|(to, from)| to.copy_from_slice(from));
        black_box(&mut to);
    });
    Ceilings { flops, bytes: (2 * 4 * NUMBERS) as f64 / time.as_secs_f64() }
}

/// The least time of several runs.
fn best(mut work: impl FnMut()) -> Duration {
    let time = |_| {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    (0..RUNS).map(time).min().unwrap_or_default()
}

/// x = a x + b, [`STEPS`] times in each chain; gives the numbers of a register.
struct Loop;

impl WithSimd for Loop {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> usize {
        let (a, b) = (simd.splat_f32s(black_box(0.999)), simd.splat_f32s(black_box(0.001)));
        let mut chains = [simd.splat_f32s(black_box(0.5)); CHAINS];
        for _ in 0..STEPS {
            for x in &mut chains {
                *x = simd.mul_add_e_f32s(a, *x, b);
            }
        }
        black_box(chains);
        S::F32_LANES
    }
}
