//! `everylayer bench --tune`: every cut of the model's products is timed on the adapter, and the
//! winners are kept for later runs.

use std::fmt::Write;
use std::sync::Arc;

use everylayer::gpu::GpuExecutor;
use everylayer::gpu::device::{Gpu, GpuOptions, Pick};
use everylayer::gpu::{tune::Timed, tuning_cache};
use everylayer::model::load::Model;
use everylayer::model::sources::Source;
use everylayer::schedule::tuning::Tuning;
use everylayer::{Error, ErrorKind, LoadOptions, Result};

use crate::cli::progress::Progress;

/// What `--tune` did, for people.
pub enum Tuned {
    /// A table of the products, and where the winners lie.
    Table(String),
    /// There was nothing to choose between.
    Nothing(String),
}

/// Tunes `source` on the adapter of `options`.
///
/// # Errors
///
/// `Usage` on the CPU executor; those of the model and the device; `Io` where the winners cannot be
/// kept.
pub fn tune(source: &dyn Source, options: &LoadOptions, visible: bool) -> Result<Tuned> {
    let Some(pick) = options.device.pick() else {
        let said = "--tune chooses between kernels of a GPU, and --device is `cpu`; leave it at \
                    `auto` or name an adapter";
        return Err(Error::new(ErrorKind::Usage, said));
    };
    let gpu_options = GpuOptions { default_limits: options.default_limits, coop: false };
    let gpu = match pollster::block_on(Gpu::open(&pick, &gpu_options)) {
        Err(e) if pick == Pick::Real && e.kind() == ErrorKind::NoAdapter => {
            let said = "there is no GPU to tune for: the CPU executor has one kernel of each kind";
            return Ok(Tuned::Nothing(said.to_owned()));
        }
        gpu => Arc::new(gpu?),
    };
    let model = Model::open(source)?;
    let (layout, weights) = (Arc::clone(&model.layout), model.weights.clone());
    let elem = options.dtype.elem();
    let executor = GpuExecutor::new(Arc::clone(&gpu), layout, weights, elem)?;
    let products = executor.products();
    if products.is_empty() {
        let said =
            format!("{} runs on the CPU: software adapters are not tuned", gpu.report().name);
        return Ok(Tuned::Nothing(said));
    }
    let progress = Progress::runs(products.len(), visible);
    let mut timed = Vec::with_capacity(products.len());
    for (product, m) in products {
        timed.push(pollster::block_on(executor.tune(product, m))?);
        progress.advance(1);
    }
    drop(progress);
    let winners: Tuning = timed.iter().map(|t| (t.product, t.winner)).collect();
    let file = tuning_cache::keep(gpu.report(), &winners)?;
    let mut text = table(&timed);
    // Writing to a string cannot fail.
    let _ = writeln!(text, "\nkept in {}\n", file.display());
    Ok(Tuned::Table(text))
}

/// A line a product: milliseconds of each cut, the one to take marked.
fn table(timed: &[Timed]) -> String {
    let mut text = format!("{:>8}{:>8}{:>8}{:>7}", "rows", "n", "k", "parts");
    let cuts = timed.first().map_or(&[][..], |t| &t.times);
    for (tile, _) in cuts {
        text.push_str(&format!("{:>12}", tile.to_string()));
    }
    text.push('\n');
    for Timed { product, times, winner, .. } in timed {
        let [rows, n, k, parts] = [product.rows, product.n, product.k, product.splits];
        text.push_str(&format!("{rows:>8}{n:>8}{k:>8}{parts:>7}"));
        for (tile, time) in times {
            let mark = if tile == winner { "*" } else { " " };
            text.push_str(&format!("{:>11.3}{mark}", time.as_secs_f64() * 1e3));
        }
        text.push('\n');
    }
    text
}
