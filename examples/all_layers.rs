//! Every layer of a text, and the two averages over layers that people use:
//!
//! * the widely copied snippet `torch.stack(outputs.hidden_states).mean(0)`: all L + 1 states,
//!   the embedding layer among them;
//! * the formula h = 1/L Σ h_l over l = 1..L: the blocks alone.
//!
//!     cargo run --release --example all_layers

use everylayer::{Capture, Combine, Encoder, Layers, LoadOptions, Pool, Result};

fn main() -> Result<()> {
    let encoder = Encoder::open_blocking("bundled", &LoadOptions::default())?;
    let text = ["The bank by the river was closed by the bank in the city."];

    // Every token at every state: (states, tokens, width).
    let tokens = Capture::default().layers(Layers::All).pool(Pool::Tokens);
    let all = encoder.embed_blocking(text, &tokens)?;
    println!("{} states of {} tokens of {} numbers", all.layer_axis, all.texts[0].rows, all.width);

    // How far apart the two `bank`s are, layer by layer.
    let banks: Vec<usize> =
        (0..all.texts[0].rows).filter(|&row| all.texts[0].tokens[row].text == "bank").collect();
    for (row, layer) in all.layers.iter().enumerate() {
        let [a, b] = [banks[0], banks[1]].map(|t| all.vector(0, row, t).unwrap_or_default());
        println!("state {layer}: cosine of the two banks {:.3}", cosine(a, b));
    }

    // The two averages differ: one has the embedding layer in it.
    let mean = |layers| Capture::default().layers(layers).combine(Combine::Mean).pool(Pool::Mean);
    let snippet = encoder.embed_blocking(text, &mean(Layers::All))?;
    let formula = encoder.embed_blocking(text, &mean(Layers::Blocks))?;
    let (a, b) = (snippet.to_vec(), formula.to_vec());
    println!("mean of all states against mean of the blocks: cosine {:.4}", cosine(&a, &b));
    Ok(())
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
