//! Tokens a second of the bundled model, from text to vectors, model load and first run left out.
//!
//!     cargo bench --bench throughput -- [--device cpu] [--runs 5] [--portable]
//!
//! `--portable` keeps to default WebGPU limits and the kernels of a browser.
//!
//! Prints the same JSON as `benches/peers/ort_cpu.py`, for the same work: 8 texts of 128 tokens,
//! and a ragged mix of 32 texts of 8 to 256 tokens. `benches/peers/cpu.sh` runs the two in turn.

use std::time::Instant;

use everylayer::{Capture, Encoder, LoadOptions, Pool, Result};

/// A text of exactly `tokens` tokens, special ones included: the word is one token.
fn text(tokens: usize) -> String {
    vec!["the"; tokens - 2].join(" ")
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let option = |name: &str| args.iter().position(|a| a == name).and_then(|i| args.get(i + 1));
    let device = option("--device").map_or("cpu", String::as_str);
    let runs: usize = option("--runs").and_then(|n| n.parse().ok()).unwrap_or(5);

    let Ok(device) = device.parse();
    let portable = args.iter().any(|a| a == "--portable");
    let options = LoadOptions::default().device(device).default_limits(portable);
    let encoder = Encoder::open_blocking("bundled", &options)?;
    let capture = Capture::default().pool(Pool::Mean);
    let even: Vec<String> = (0..8).map(|_| text(128)).collect();
    let ragged: Vec<String> = (0..32).map(|i| text(8 + i * 8)).collect();
    println!("{{\"device\":{:?},\"dtype\":\"f32\",\"rows\":[", encoder.device());
    for (i, (name, texts)) in [("8x128", even), ("ragged32", ragged)].into_iter().enumerate() {
        let tokens: usize = encoder.tokenize(&texts, &capture)?.iter().map(|t| t.len()).sum();
        encoder.embed_blocking(&texts, &capture)?;
        let mut times = Vec::with_capacity(runs);
        for _ in 0..runs {
            let start = Instant::now();
            encoder.embed_blocking(&texts, &capture)?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        let median = times[times.len() / 2];
        let comma = if i == 0 { "," } else { "" };
        println!(
            "  {{\"name\":\"{name}\",\"tokens\":{tokens},\"ms_min\":{:.1},\"ms_median\":{median:.1},\
             \"ms_max\":{:.1},\"tokens_per_s\":{:.0}}}{comma}",
            times[0],
            times[times.len() - 1],
            tokens as f64 / median * 1e3
        );
    }
    println!("]}}");
    Ok(())
}
