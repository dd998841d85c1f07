//! Sentence vectors of the bundled model: the default request.
//!
//!     cargo run --release --example embed

use everylayer::{Capture, Encoder, LoadOptions, Result};

fn main() -> Result<()> {
    let encoder = Encoder::open_blocking("bundled", &LoadOptions::default())?;
    let texts = ["A cat sits on the mat.", "A kitten rests on a rug.", "Stocks fell on Monday."];
    let vectors = encoder.embed_blocking(texts, &Capture::default())?;

    println!("{} on {}, {} numbers a text", encoder.name(), encoder.device(), vectors.width);
    for (i, text) in texts.iter().enumerate() {
        // The checkpoint normalises, so the dot product is the cosine.
        let [a, b] = [0, i].map(|text| vectors.vector(text, 0, 0).unwrap_or_default());
        let cosine: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
        println!("{cosine:.3}  {text}");
    }
    Ok(())
}
