//! Each CPU kernel at the bundled model's shapes, 8 texts of 128 tokens: time, and GFLOP/s or GB/s.
//!
//!     cargo bench --bench kernels

use std::time::Instant;

use everylayer::cpu::kernels::{self, Positions};
use everylayer::cpu::product::Packed;
use everylayer::kernels::{AttentionParams, NormParams};
use everylayer::math::activation::activate;
use everylayer::model::spec::{Activation, NormKind};

const TOKENS: usize = 1024;
const WIDTH: usize = 384;

fn numbers(count: usize) -> Vec<f32> {
    (0..count as u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / 8_388_608.0 - 1.0)
        .collect()
}

/// Median milliseconds of 15 runs.
fn time(mut f: impl FnMut()) -> f64 {
    f();
    let mut times: Vec<f64> = (0..15)
        .map(|_| {
            let start = Instant::now();
            f();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[7]
}

fn main() {
    let mut total = 0.0;
    let mut row = |name: &str, calls: usize, ms: f64, unit: &str, per_ms: f64| {
        println!("{name:24} {ms:8.3} ms  x{calls:<3} {:8.1} {unit}", per_ms / ms / 1e6);
        total += ms * calls as f64;
    };
    for (name, n, k, activation, residual) in [
        ("matmul qkv", 3 * WIDTH, WIDTH, Activation::Identity, false),
        ("matmul output", WIDTH, WIDTH, Activation::Identity, true),
        ("matmul up+gelu", 4 * WIDTH, WIDTH, Activation::Gelu, false),
        ("matmul up", 4 * WIDTH, WIDTH, Activation::Identity, false),
        ("matmul down", WIDTH, 4 * WIDTH, Activation::Identity, true),
    ] {
        let (a, w, bias) = (numbers(TOKENS * k), Packed::new(&numbers(n * k), n, k), numbers(n));
        let (mut c, r) = (vec![0.0; TOKENS * n], numbers(TOKENS * n));
        let r = residual.then_some(r.as_slice());
        let ms = time(|| kernels::matmul(0..TOKENS, activation, &a, &w, &bias, &mut c, r));
        let calls = if name == "matmul up" { 0 } else { 6 };
        row(name, calls, ms, "GFLOP/s", (2 * TOKENS * n * k) as f64);
    }
    let mut x = numbers(TOKENS * 4 * WIDTH);
    row("gelu, one thread", 0, time(|| activate(&mut x, Activation::Gelu)), "G/s", x.len() as f64);
    let (x, weight, mut y) = (numbers(TOKENS * WIDTH), numbers(2 * WIDTH), numbers(TOKENS * WIDTH));
    let p = NormParams::new(TOKENS, WIDTH, WIDTH, 1e-12, 0);
    let mut status = vec![0; TOKENS.div_ceil(32) + 1];
    let ms = time(|| {
        kernels::norm(&p, NormKind::Layer, &x, &weight, &mut y, &mut status);
        std::hint::black_box(&y);
    });
    row("norm", 13, ms, "GB/s", (8 * TOKENS * WIDTH) as f64);
    let (qkv, mut context) = (numbers(3 * TOKENS * WIDTH), vec![0.0; TOKENS * WIDTH]);
    let tiles: Vec<u32> =
        (0..8u32).flat_map(|t| [[t * 128, 128, 0, 0], [t * 128, 128, 64, 0]]).flatten().collect();
    let p = AttentionParams {
        qkv4: 288,
        out4: 96,
        scale: 0.25,
        kv4: 96,
        group: 1,
        reach: 0,
        line: 0,
        first_head: 0,
    };
    let ms = time(|| {
        kernels::attention(&p, (32, WIDTH / 32), Positions::Plain, &qkv, &tiles, &mut context)
    });
    row("attention d32", 6, ms, "GFLOP/s", (8 * 4 * 128 * 128 * WIDTH) as f64);
    println!("{:24} {total:8.3} ms  {:.0} tokens/s", "a forward pass", TOKENS as f64 / total * 1e3);
}
