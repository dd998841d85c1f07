//! When each layer of a batch arrives at the host: layers are read back through a staging ring while
//! later ones run.
//!
//!     cargo run --release --example timeline -- [tokens of a batch]
//!
//! EVERYLAYER_DEVICE names the adapter; without one there is nothing to stream from.

use std::sync::Arc;
use std::time::Instant;

use everylayer::encoder::Preprocessor;
use everylayer::execute::Execute;
use everylayer::gpu::GpuExecutor;
use everylayer::gpu::device::{Gpu, GpuOptions, Pick};
use everylayer::model::load::Model;
use everylayer::model::locate::locate;
use everylayer::schedule::{Elem, Exit, record};
use everylayer::text::pack::pack;
use everylayer::{Capture, Text};

fn main() -> everylayer::Result<()> {
    let tokens: usize = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(8192);
    let pick = match std::env::var("EVERYLAYER_DEVICE").ok().filter(|name| name != "cpu") {
        Some(name) if name != "gpu" => Pick::Named(name),
        Some(_) => Pick::Any,
        None => {
            println!("no GPU is named: set EVERYLAYER_DEVICE");
            return Ok(());
        }
    };
    let gpu = Arc::new(pollster::block_on(Gpu::open(&pick, &GpuOptions::default()))?);
    let source = locate("bundled")?;
    let model = Model::open(source.as_ref())?;
    let executor = GpuExecutor::new(gpu, model.layout.clone(), model.weights.clone(), Elem::F32)?;
    let text = "the ".repeat(126);
    let texts: Vec<Text<'_>> = (0..tokens.div_ceil(128)).map(|_| Text::from(&text)).collect();
    let tokens = Preprocessor::open(source.as_ref())?.tokenize(&texts, &Capture::default())?;
    let exit = Exit::states(0..=model.spec.depth());
    for batch in pack(&tokens, usize::MAX, usize::MAX) {
        let recording = record(&model.spec, &model.layout, &batch, &exit, executor.caps())?;
        let counts = recording.counts();
        println!(
            "{} tokens, {} submits, {:.1} MB down",
            recording.tokens(),
            counts.submits,
            counts.bytes_down as f64 / 1e6
        );
        // The first run compiles.
        for run in 0..2 {
            let start = Instant::now();
            let mut before = 0.0;
            let mut sink = |output, numbers: Vec<f32>| {
                let now = start.elapsed().as_secs_f64() * 1e3;
                if run == 1 {
                    println!(
                        "{now:>9.1} ms (+{:>7.1})  {output:?} of {} numbers",
                        now - before,
                        numbers.len()
                    );
                }
                before = now;
                Ok(())
            };
            pollster::block_on(executor.run(&recording, &mut sink))?;
        }
    }
    Ok(())
}
