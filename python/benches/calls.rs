//! Calls of the library over the lines of a file, for `pairs.py`: each line of standard input asks for one,
//! and its seconds are printed.
//!
//! usage: calls TEXTS.txt     (the bundled model, on the CPU)

use std::io::{BufRead, Write, stdin, stdout};
use std::time::Instant;

use everylayer::{Capture, Encoder, LoadOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).ok_or("usage: calls TEXTS.txt")?;
    let texts = std::fs::read_to_string(file)?;
    let texts: Vec<&str> = texts.lines().collect();
    let encoder = Encoder::open_blocking("bundled", &LoadOptions::default().device("cpu"))?;
    for line in stdin().lock().lines() {
        line?;
        let start = Instant::now();
        let found = encoder.embed_blocking(texts.iter().copied(), &Capture::default())?;
        let took = start.elapsed().as_secs_f64();
        assert_eq!(found.texts.len(), texts.len());
        println!("{took}");
        stdout().flush()?;
    }
    Ok(())
}
