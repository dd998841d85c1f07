//! Semantic search over the lines of a file.
//!
//!     cargo run --release --example search -- README.md "which GPUs does it run on?"

use everylayer::{Capture, Encoder, LoadOptions, Result};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let file = args.next().unwrap_or_else(|| "README.md".to_owned());
    let query = args.next().unwrap_or_else(|| "which GPUs does it run on?".to_owned());
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(e) => {
            eprintln!("{file}: {e}");
            std::process::exit(1);
        }
    };
    let lines: Vec<&str> = text.lines().filter(|line| line.split(' ').count() > 3).collect();

    let encoder = Encoder::open_blocking("bundled", &LoadOptions::default())?;
    let index = encoder.embed_blocking(lines.iter().copied(), &Capture::default())?;
    let query_vector = encoder.embed_blocking([&query], &Capture::default())?.to_vec();

    let score = |i| -> f32 {
        let vector = index.vector(i, 0, 0).unwrap_or_default();
        vector.iter().zip(&query_vector).map(|(a, b)| a * b).sum()
    };
    let mut scored: Vec<(f32, &str)> =
        lines.iter().enumerate().map(|(i, line)| (score(i), *line)).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    println!("{query}");
    for (score, line) in scored.iter().take(5) {
        println!("{score:.3}  {line}");
    }
    Ok(())
}
