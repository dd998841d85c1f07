//! `everylayer bench`: tokens a second, and where the time of a batch goes.
//!
//! What is timed is `Encoder::embed`, as any caller meets it; kernels are timed one by one after
//! it, and held against what the device was measured to do at most.

mod kernels;
mod load;
#[cfg(feature = "gpu")]
mod tune;

use std::fmt::{self, Display};
use std::io::IsTerminal;
use std::time::Instant;

use everylayer::execute::Ceilings;
use everylayer::model::locate::locate_with_progress;
use everylayer::schedule::Counts;
use everylayer::{Capture, Encoder, Error, ErrorKind, Result};
use serde::Serialize;

use super::args::{BenchArgs, InputArgs};
use super::info::bytes;
use super::input::Input;
use super::progress::Progress;
use super::terminal;
use kernels::KernelTimes;
use load::Load;

/// All that was measured. What only a run tells is `None` under `--plan`.
#[derive(Debug, Serialize)]
struct BenchReport {
    #[serde(skip)]
    model: String,
    device: String,
    dtype: String,
    rows: Vec<TimedCall>,
    ceilings: Option<Most>,
    /// Of the first row, the most expensive first.
    kernels: Vec<KernelTimes>,
    /// Of the first row.
    counts: Taken,
}

/// One call, timed.
#[derive(Debug, Serialize)]
struct TimedCall {
    /// Texts.
    batch: usize,
    /// Tokens of the longest text.
    tokens: usize,
    /// Tokens of all texts.
    real_tokens: usize,
    ms_min: Option<f64>,
    ms_median: Option<f64>,
    ms_max: Option<f64>,
    tokens_per_s: Option<f64>,
}

/// What the device was measured to do at most.
#[derive(Debug, Serialize)]
struct Most {
    fma_gflops: f64,
    copy_gbps: f64,
}

/// What one call takes; batches are summed, their memory is used again.
#[derive(Debug, Serialize)]
struct Taken {
    dispatches: usize,
    submits: usize,
    waits: Option<u64>,
    bytes_up: u64,
    bytes_down: u64,
    /// Weights and activations, as written down before.
    planned_bytes: u64,
    /// Everything on the device at once, as allocated.
    peak_bytes: Option<u64>,
}

/// Runs the command.
pub fn run(args: BenchArgs) -> Result<()> {
    let BenchArgs { model, device, texts, layers, pool, runs, plan, json, quiet, .. } = &args;
    let choose = |path| Input::choose(InputArgs { texts: vec![], input: Some(path), field: None });
    let input = texts.clone().map(choose).transpose()?;
    // What is wrong with the file is said before a model is loaded.
    input.as_ref().map(Input::count).transpose()?;

    let looked_at = !quiet && std::io::stderr().is_terminal();
    let source = locate_with_progress(&model.model, looked_at)?;
    #[cfg(feature = "gpu")]
    if args.tune {
        match tune::tune(source.as_ref(), &device.options(), looked_at)? {
            tune::Tuned::Table(text) if !json => terminal::print(text.as_bytes())?,
            tune::Tuned::Nothing(said) if !quiet => terminal::note(&said),
            _ => {}
        }
    }
    let encoder = Encoder::load_blocking(source.as_ref(), &device.options())?;
    let capture = Capture::default().layers(layers.clone()).pool(*pool);
    let loads = match &input {
        Some(input) => vec![Load::read(input, &encoder, capture)?],
        None => load::table(&args.batch, &args.tokens, &encoder, &capture)?,
    };
    if !quiet {
        encoder.notes().iter().for_each(|note| terminal::note(note));
        loads.iter().filter_map(Load::cut_note).for_each(|note| terminal::note(&note));
    }
    let report = if *plan {
        BenchReport::planned(&encoder, &loads)?
    } else {
        let total = loads.len() * (runs + 1) + runs + 1;
        BenchReport::measured(&encoder, &loads, *runs, &Progress::runs(total, looked_at))?
    };
    if !json {
        return terminal::print(report.to_string().as_bytes());
    }
    let json = serde_json::to_string_pretty(&report)
        .map_err(|e| Error::new(ErrorKind::Text, format!("not JSON: {e}")).with_source(e))?;
    terminal::print(format!("{json}\n").as_bytes())
}

impl BenchReport {
    /// What is known without running anything.
    fn planned(encoder: &Encoder, loads: &[Load]) -> Result<Self> {
        let first = &loads[0];
        Ok(Self {
            model: encoder.name().to_owned(),
            device: encoder.device(),
            dtype: encoder.dtype().to_string(),
            rows: loads.iter().map(TimedCall::planned).collect(),
            ceilings: None,
            kernels: kernels::group(encoder.steps(&first.texts, &first.capture)?, None),
            counts: Taken::planned(encoder, first)?,
        })
    }

    fn measured(
        encoder: &Encoder,
        loads: &[Load],
        runs: usize,
        progress: &Progress,
    ) -> Result<Self> {
        let mut report = Self::planned(encoder, loads)?;
        for (i, (row, load)) in report.rows.iter_mut().zip(loads).enumerate() {
            let before = row.time(encoder, load, runs, progress)?;
            if i == 0 {
                // Before a later row takes more.
                let after = encoder.counters();
                report.counts.waits = Some((after.waits - before.waits) / runs as u64);
                report.counts.peak_bytes = Some(after.peak_bytes);
            }
        }
        let ceilings = encoder.ceilings_blocking()?;
        progress.advance(1);
        let Load { texts, capture, .. } = &loads[0];
        let mut times = Vec::with_capacity(runs);
        for _ in 0..runs {
            times.push(encoder.profile_blocking(texts, capture)?);
            progress.advance(1);
        }
        let measured = Some((times.as_slice(), ceilings));
        report.kernels = kernels::group(encoder.steps(texts, capture)?, measured);
        report.ceilings = Some(ceilings.into());
        Ok(report)
    }
}

impl From<Ceilings> for Most {
    fn from(most: Ceilings) -> Self {
        Self { fma_gflops: round(most.flops / 1e9, 2), copy_gbps: round(most.bytes / 1e9, 2) }
    }
}

impl TimedCall {
    fn planned(load: &Load) -> Self {
        Self {
            batch: load.texts.len(),
            tokens: load.longest,
            real_tokens: load.tokens,
            ms_min: None,
            ms_median: None,
            ms_max: None,
            tokens_per_s: None,
        }
    }

    /// Runs `load` once, and `runs` times against the clock; gives the counters between.
    fn time(
        &mut self,
        encoder: &Encoder,
        load: &Load,
        runs: usize,
        progress: &Progress,
    ) -> Result<everylayer::execute::Counters> {
        encoder.embed_blocking(&load.texts, &load.capture)?;
        progress.advance(1);
        let before = encoder.counters();
        let mut times = Vec::with_capacity(runs);
        for _ in 0..runs {
            let start = Instant::now();
            encoder.embed_blocking(&load.texts, &load.capture)?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
            progress.advance(1);
        }
        let middle = median(&mut times);
        self.ms_min = times.first().map(|&ms| round(ms, 4));
        self.ms_max = times.last().map(|&ms| round(ms, 4));
        self.ms_median = Some(round(middle, 4));
        self.tokens_per_s = Some(round(self.real_tokens as f64 / middle * 1e3, 1));
        Ok(before)
    }
}

impl Taken {
    fn planned(encoder: &Encoder, load: &Load) -> Result<Self> {
        let recordings = encoder.record(&load.texts, &load.capture)?;
        let counts: Vec<Counts> = recordings.iter().map(|r| r.counts()).collect();
        let memory = counts.iter().map(|c| c.memory).max().unwrap_or_default();
        Ok(Self {
            dispatches: counts.iter().map(|c| c.dispatches).sum(),
            submits: counts.iter().map(|c| c.submits).sum(),
            waits: None,
            bytes_up: counts.iter().map(|c| c.bytes_up).sum(),
            bytes_down: counts.iter().map(|c| c.bytes_down).sum(),
            planned_bytes: encoder.weight_bytes() + memory,
            peak_bytes: None,
        })
    }
}

/// Sorts `numbers` and gives the middle one, or the mean of the two in the middle; there is one.
fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    if numbers.len() % 2 == 1 {
        numbers[middle]
    } else {
        (numbers[middle - 1] + numbers[middle]) / 2.0
    }
}

/// `number` with so many digits after the point.
fn round(number: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (number * scale).round() / scale
}

impl Display for BenchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} in {} on {}\n", self.model, self.dtype, self.device)?;
        let head = ["batch", "tokens", "in all", "ms min", "median", "max", "tokens/s"];
        let [batch, tokens, all, least, median, most, speed] = head;
        write!(f, "  {batch:>5}{tokens:>8}{all:>9}")?;
        if self.ceilings.is_some() {
            write!(f, "{least:>11}{median:>11}{most:>11}{speed:>11}")?;
        }
        writeln!(f)?;
        self.rows.iter().try_for_each(|row| row.fmt(f))?;

        if let Some(first) = self.rows.first() {
            writeln!(f, "\nThe first row, {} x {}:", first.batch, first.tokens)?;
        }
        let [kernel, calls] = ["kernel", "calls"];
        write!(f, "\n  {kernel:<32}{calls:>6}")?;
        match &self.ceilings {
            None => writeln!(f, "{:>12}{:>12}", "GFLOP", "MB")?,
            Some(_) => {
                writeln!(f, "{:>11}{:>10}{:>10}{:>12}", "ms", "GFLOP/s", "GB/s", "of ceiling")?;
            }
        }
        self.kernels.iter().try_for_each(|kernel| kernel.fmt(f))?;
        if let Some(most) = &self.ceilings {
            let calls: usize = self.kernels.iter().map(|kernel| kernel.calls).sum();
            let ms: f64 = self.kernels.iter().filter_map(|kernel| kernel.ms).sum();
            writeln!(f, "  {:<32}{calls:>6}{ms:>11.3}", "all")?;
            let (flops, bytes) = (most.fma_gflops, most.copy_gbps);
            writeln!(f, "  {:<32}{:>6}{:>11}{flops:>10.1}{bytes:>10.1}", "ceilings", "", "")?;
        }
        self.counts.fmt(f)
    }
}

impl Display for TimedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {:>5}{:>8}{:>9}", self.batch, self.tokens, self.real_tokens)?;
        for ms in [self.ms_min, self.ms_median, self.ms_max].into_iter().flatten() {
            write!(f, "{ms:>11.3}")?;
        }
        match self.tokens_per_s {
            Some(speed) => writeln!(f, "{speed:>11.0}"),
            None => writeln!(f),
        }
    }
}

impl Display for KernelTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {:<32}{:>6}", self.variant, self.calls)?;
        let Some(ms) = self.ms else {
            let (flops, bytes) = (self.flops as f64 / 1e9, self.bytes as f64 / 1e6);
            return writeln!(f, "{flops:>12.3}{bytes:>12.3}");
        };
        write!(f, "{ms:>11.3}")?;
        match (self.gflops, self.gbps, self.share_of_ceiling) {
            (Some(flops), Some(bytes), Some(share)) => {
                writeln!(f, "{flops:>10.1}{bytes:>10.1}{:>11.1}%", 100.0 * share)
            }
            _ => writeln!(f),
        }
    }
}

impl Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n  dispatches {}, submits {}", self.dispatches, self.submits)?;
        if let Some(waits) = self.waits {
            write!(f, ", waits {waits}")?;
        }
        let (up, down) = (bytes(self.bytes_up), bytes(self.bytes_down));
        let planned = bytes(self.planned_bytes);
        write!(f, "; up {up}, down {down}; memory planned {planned}")?;
        match self.peak_bytes {
            Some(peak) => writeln!(f, ", at the peak {}", bytes(peak)),
            None => writeln!(f),
        }
    }
}
