//! `everylayer info`: the GPUs of this machine, what a model is, and the memory it takes.
//!
//! The model is loaded onto the device, and work is written down for it; none is run.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::io::IsTerminal;

use everylayer::capture::{Layers, Pool};
#[cfg(feature = "gpu")]
use everylayer::gpu::device::{self, AdapterReport};
use everylayer::model::layout::Layout;
use everylayer::model::locate::locate_with_progress;
use everylayer::{Capture, Device, Encoder, Error, ErrorKind, Result};
use serde::Serialize;

use super::args::InfoArgs;
use super::terminal;

/// All that is known.
#[derive(Debug, Serialize)]
struct Report {
    version: &'static str,
    adapters: Vec<Adapter>,
    model: Model,
    memory: Memory,
}

/// What a model is.
#[derive(Debug, Serialize)]
struct Model {
    name: String,
    family: &'static str,
    /// Blocks L.
    layers: usize,
    /// L + 1.
    states: usize,
    width: usize,
    heads: usize,
    head_dim: usize,
    inner: usize,
    vocab: usize,
    positions: usize,
    types: usize,
    /// Numbers in all its tensors.
    parameters: usize,
    /// Whether `--pool pooler` works.
    pooler: bool,
    /// A line a module.
    pipeline: Vec<String>,
    max_tokens: usize,
    prompts: BTreeMap<String, String>,
    default_prompt: Option<String>,
}

/// What it takes on a device.
#[derive(Debug, Serialize)]
struct Memory {
    device: String,
    dtype: String,
    /// What was held against the CPU executor.
    #[serde(skip_serializing_if = "Option::is_none")]
    verified: Option<String>,
    weight_bytes: u64,
    batch_tokens: usize,
    plans: Vec<Plan>,
}

/// What a call takes besides the weights.
#[derive(Debug, Serialize)]
struct Plan {
    layers: &'static str,
    pool: String,
    texts: usize,
    tokens: usize,
    activation_bytes: u64,
    bytes_to_host: u64,
    flops: u64,
}

/// Runs the command.
pub fn run(args: &InfoArgs) -> Result<()> {
    let source = locate_with_progress(&args.model.model, std::io::stderr().is_terminal())?;
    let options = args.device.options();
    let encoder = match Encoder::load_blocking(source.as_ref(), &options) {
        // What is wrong with it stands beside the adapter as well.
        Err(e) if e.kind().is_of_device() => {
            terminal::note(&format!("{e}; the memory is that of the CPU"));
            let options = options.device(Device::Cpu).coop(false);
            Encoder::load_blocking(source.as_ref(), &options)?
        }
        loaded => loaded?,
    };
    encoder.notes().iter().for_each(|note| terminal::note(note));
    if args.json {
        return terminal::print(format!("{}\n", json(&encoder)?).as_bytes());
    }
    terminal::print(Report::new(&encoder)?.to_string().as_bytes())
}

/// All that is known, as `--json` prints it.
///
/// # Errors
/// `Usage` where the model has a batch that cannot be written down.
pub fn json(encoder: &Encoder) -> Result<String> {
    serde_json::to_string_pretty(&Report::new(encoder)?)
        .map_err(|e| Error::new(ErrorKind::Text, format!("not JSON: {e}")).with_source(e))
}

impl Report {
    fn new(encoder: &Encoder) -> Result<Self> {
        Ok(Self {
            version: env!("CARGO_PKG_VERSION"),
            adapters: opened_adapters(),
            model: model(encoder)?,
            memory: memory(encoder)?,
        })
    }
}

fn model(encoder: &Encoder) -> Result<Model> {
    let (spec, pipeline) = (encoder.spec(), encoder.pipeline());
    let layout = Layout::new(spec)?;
    let parts = layout.weights().iter().flat_map(|weight| &weight.parts);
    Ok(Model {
        name: encoder.name().to_owned(),
        family: spec.family,
        layers: spec.depth(),
        states: spec.depth() + 1,
        width: spec.width,
        heads: spec.heads,
        head_dim: spec.head_dim,
        inner: spec.inner,
        vocab: spec.vocab,
        positions: spec.positions,
        types: spec.types,
        parameters: parts.map(|part| part.shape.iter().product::<usize>()).sum(),
        pooler: spec.pooler.is_some(),
        pipeline: pipeline.describe(),
        max_tokens: encoder.max_tokens(),
        prompts: pipeline.prompts.clone(),
        default_prompt: pipeline.default_prompt.clone(),
    })
}

/// The least and the most that is asked for, each for one text of the greatest length and for a
/// batch full of them.
fn memory(encoder: &Encoder) -> Result<Memory> {
    let (longest, batch) = (encoder.max_tokens(), encoder.batch_tokens());
    let all = Capture::default().layers(Layers::All).pool(Pool::Tokens);
    // A word is a token at least; what is too much is cut off.
    let text = "a ".repeat(longest);
    let mut plans = Vec::new();
    for (layers, capture) in [("last", Capture::default()), ("all", all)] {
        for texts in [1, (batch / longest.max(1)).max(1)] {
            let recordings = encoder.record(vec![text.as_str(); texts], &capture)?;
            let counts = recordings.iter().map(|r| (r.tokens(), r.counts()));
            for (tokens, counts) in counts {
                plans.push(Plan {
                    layers,
                    pool: capture.pool.to_string(),
                    texts,
                    tokens,
                    activation_bytes: counts.memory,
                    bytes_to_host: counts.bytes_down,
                    flops: counts.flops,
                });
            }
        }
    }
    Ok(Memory {
        device: encoder.device(),
        dtype: encoder.dtype().to_string(),
        verified: encoder.verified().map(ToString::to_string),
        weight_bytes: encoder.weight_bytes(),
        batch_tokens: batch,
        plans,
    })
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "everylayer {}\n\nadapters", self.version)?;
        if self.adapters.is_empty() {
            writeln!(f, "  none: `--device auto` uses the CPU")?;
        }
        self.adapters.iter().try_for_each(|adapter| adapter.fmt(f))?;
        write!(f, "\n{}\n{}", self.model, self.memory)
    }
}

impl Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "model {}", self.name)?;
        let mut row = |name: &str, value: &dyn Display| writeln!(f, "  {name:<12}{value}");
        let layers = format_args!("{} (states 0..{})", self.layers, self.states - 1).to_string();
        let heads = format!("{} of {}", self.heads, self.head_dim);
        let pooler = if self.pooler { "yes" } else { "no" };
        row("family", &self.family)?;
        row("layers", &layers)?;
        row("width", &self.width)?;
        row("heads", &heads)?;
        row("inner", &self.inner)?;
        row("vocab", &self.vocab)?;
        row("positions", &self.positions)?;
        row("max tokens", &self.max_tokens)?;
        row("parameters", &self.parameters)?;
        row("pooler", &pooler)?;
        for (i, module) in self.pipeline.iter().enumerate() {
            row(if i == 0 { "pipeline" } else { "" }, module)?;
        }
        for (i, (name, prompt)) in self.prompts.iter().enumerate() {
            row(if i == 0 { "prompts" } else { "" }, &format!("{name}: {prompt:?}"))?;
        }
        if let Some(prompt) = &self.default_prompt {
            row("by default", &format!("{prompt:?}"))?;
        }
        Ok(())
    }
}

impl Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device, dtype, batch_tokens, .. } = self;
        writeln!(f, "memory on {device}, {dtype}, batches of {batch_tokens} tokens")?;
        if let Some(verified) = &self.verified {
            writeln!(f, "  {verified}")?;
        }
        writeln!(f, "  {:<50}{:>12}", "weights", bytes(self.weight_bytes))?;
        writeln!(f, "  {:<50}{:>12}{:>13}", "a call", "activations", "to the host")?;
        for plan in &self.plans {
            let texts = if plan.texts == 1 { "text" } else { "texts" };
            let what = format!(
                "--layers {} --pool {}, {} {texts} of {} tokens",
                plan.layers,
                plan.pool,
                plan.texts,
                plan.tokens / plan.texts.max(1)
            );
            let (held, down) = (bytes(plan.activation_bytes), bytes(plan.bytes_to_host));
            writeln!(f, "  {what:<50}{held:>12}{down:>13}")?;
        }
        Ok(())
    }
}

/// `n` in a unit that keeps it short.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut size = n as f64;
    let mut unit = "B";
    for larger in UNITS {
        if size < 1024.0 {
            break;
        }
        (size, unit) = (size / 1024.0, larger);
    }
    if unit == "B" { format!("{n} B") } else { format!("{size:.1} {unit}") }
}

/// A GPU, or what takes itself for one.
#[derive(Debug, Serialize)]
pub struct Adapter {
    /// Its number, which `--device` takes.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// `Vulkan`, `Metal`, `Dx12`.
    pub backend: String,
    /// Driver and its version.
    pub driver: String,
    /// `DiscreteGpu`, `IntegratedGpu`, `Cpu`, ...
    pub device_type: String,
    /// Whether it runs on the CPU.
    pub software: bool,
    /// Those that kernels may ask for.
    pub features: Vec<&'static str>,
    /// Those that bound a batch.
    pub limits: BTreeMap<&'static str, u64>,
    /// Why it cannot be opened, where that was tried.
    #[serde(rename = "open_error", skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Every adapter of this machine, real ones first.
#[cfg(feature = "gpu")]
pub fn adapters() -> Vec<Adapter> {
    let found = pollster::block_on(device::list()).into_iter().enumerate();
    found.map(|(index, report)| Adapter::new(index, report, None)).collect()
}

/// As [`adapters`], each of which was opened.
#[cfg(feature = "gpu")]
fn opened_adapters() -> Vec<Adapter> {
    let found = pollster::block_on(device::list_opened()).into_iter().enumerate();
    found.map(|(index, (report, error))| Adapter::new(index, report, error)).collect()
}

#[cfg(feature = "gpu")]
impl Adapter {
    fn new(index: usize, a: AdapterReport, error: Option<Error>) -> Self {
        Self {
            index,
            name: a.name,
            backend: a.backend,
            driver: a.driver,
            device_type: a.device_type,
            software: a.software,
            features: a.features,
            limits: a.limits.into_iter().collect(),
            error: error.map(|e| e.to_string()),
        }
    }
}

/// A build without GPUs sees none.
#[cfg(not(feature = "gpu"))]
pub fn adapters() -> Vec<Adapter> {
    Vec::new()
}

/// A build without GPUs sees none.
#[cfg(not(feature = "gpu"))]
fn opened_adapters() -> Vec<Adapter> {
    Vec::new()
}

impl Display for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, name, backend, driver, device_type, software, features, limits, error } =
            self;
        let note = if *software { ", software: used only when named" } else { "" };
        writeln!(f, "  {index}  {name}\n    backend     {backend}, {device_type}{note}")?;
        if !driver.is_empty() {
            writeln!(f, "    driver      {driver}")?;
        }
        if let Some(error) = error {
            writeln!(f, "    error       {error}")?;
        }
        let features = if features.is_empty() { "none".to_owned() } else { features.join(", ") };
        writeln!(f, "    features    {features}")?;
        for (i, (limit, value)) in limits.iter().enumerate() {
            writeln!(f, "    {:<11} {limit} {value}", if i == 0 { "limits" } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes() {
        for (n, want) in [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (90_000_000, "85.8 MiB")]
        {
            assert_eq!(bytes(n), want);
        }
    }
}
