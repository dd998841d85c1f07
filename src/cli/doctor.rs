//! `everylayer doctor`: does this machine compute right?
//!
//! Each adapter runs every kernel over awkward shapes and the model over a few texts, and the CPU
//! executor runs the same. Which cases and how far apart they may be is said in
//! `src/testing/cases.rs` and `states.rs`; here is only who is asked, and the report.

mod kernels;
mod notes;
mod states;
mod text;

use std::io::IsTerminal;
use std::sync::Arc;

use everylayer::encoder::{Summary, summary};
use everylayer::gpu::device::{Gpu, GpuOptions, Pick, missing};
use everylayer::model::locate::locate_with_progress;
use everylayer::{Device, Error, ErrorKind, Result};
use serde::Serialize;

use super::args::DoctorArgs;
use super::info::{Adapter, adapters};
use super::progress::Progress;
use super::terminal;
use kernels::{Kernel, Kernels};
use states::{State, States};

/// All that was found.
#[derive(Debug, Serialize)]
struct Report {
    version: &'static str,
    /// Operating system and processor.
    system: String,
    /// `None` where the build holds no model and none was named.
    model: Option<String>,
    adapters: Vec<Checked>,
    ok: bool,
}

/// An adapter and how it did.
#[derive(Debug, Serialize)]
struct Checked {
    #[serde(flatten)]
    adapter: Adapter,
    /// What is known of its driver.
    notes: Vec<&'static str>,
    kernels: Vec<Kernel>,
    /// The cut of products on cooperative matrices that was run, or why none was.
    coop: String,
    states: Vec<State>,
    /// What was kept when its kernels were used for the first time.
    verified: Option<Summary>,
    ok: bool,
    /// The first thing that the device refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Runs the command.
pub fn run(args: &DoctorArgs) -> Result<()> {
    let chosen = choose(&args.device)?;
    let looked_at = std::io::stderr().is_terminal();
    let states = match args.model.model.as_str() {
        "bundled" if !cfg!(feature = "bundled") => None,
        name => Some(States::compute(locate_with_progress(name, looked_at)?.as_ref())?),
    };
    if args.quick && states.is_none() {
        let said = "--quick checks the kernels that a model uses, and this build holds none: name \
                    one with -m";
        return Err(Error::new(ErrorKind::Usage, said));
    }
    let kernels = Kernels::new(states.as_ref().map(States::sizes))?;
    let checks = kernels.count() + usize::from(states.is_some());
    let progress = Progress::checks(chosen.len() * checks, looked_at, args.lines);
    let examined = chosen.into_iter().map(|(place, adapter)| {
        let mut checked = Checked::new(adapter);
        let cases = (&kernels, states.as_ref());
        let done = checked.examine(place, cases, args.quick, &progress);
        checked.conclude(done)
    });
    let adapters: Vec<Checked> = examined.collect();
    drop(progress);

    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        model: states.map(|states| states.model_name().to_owned()),
        ok: adapters.iter().all(|checked| checked.ok),
        adapters,
    };
    if args.json {
        let json = serde_json::to_string_pretty(&report)
            .map_err(|e| Error::new(ErrorKind::Text, format!("not JSON: {e}")).with_source(e))?;
        terminal::print(format!("{json}\n").as_bytes())?;
    } else {
        terminal::print(report.to_string().as_bytes())?;
    }
    report.verdict()
}

/// The adapters that `device` means, each with its place among all.
fn choose(device: &Device) -> Result<Vec<(usize, Adapter)>> {
    // `auto` is every adapter here, software ones too; `gpu` is the first.
    let pick = match device {
        Device::Auto => Pick::Any,
        Device::Gpu => Pick::At(0),
        device => device.pick().ok_or_else(|| {
            Error::new(
                ErrorKind::Usage,
                "there is nothing to compare on the device `cpu`: the CPU executor is what GPUs \
                 are compared with; leave --device and EVERYLAYER_DEVICE at `auto`, or name an \
                 adapter",
            )
        })?,
    };
    let all = adapters();
    if all.is_empty() {
        let said = "no GPU adapter was found on this machine, so there is nothing to compare with \
                    the CPU executor; install a Vulkan driver";
        return Err(Error::new(ErrorKind::NoAdapter, said));
    }
    let names: Vec<String> = all.iter().map(|adapter| adapter.name.clone()).collect();
    let fits = |(_, a): &(usize, Adapter)| pick.fits(a.index, &a.name, a.software);
    let chosen: Vec<_> = all.into_iter().enumerate().filter(fits).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        return Err(missing(&pick, &names));
    }
    Ok(chosen)
}

impl Checked {
    fn new(adapter: Adapter) -> Self {
        let notes = notes::of(&adapter);
        Self {
            adapter,
            notes,
            kernels: Vec::new(),
            coop: "not tried".to_owned(),
            states: Vec::new(),
            verified: None,
            ok: false,
            error: None,
        }
    }

    /// Everything on the adapter at `place` of the list. What was compared before an error stays.
    fn examine(
        &mut self,
        place: usize,
        (kernels, states): (&Kernels, Option<&States>),
        is_quick: bool,
        progress: &Progress,
    ) -> Result<()> {
        let (pick, options) = (Pick::At(place), GpuOptions::default());
        let gpu = Arc::new(pollster::block_on(Gpu::open(&pick, &options))?);
        self.verified = summary(gpu.report());
        // What the model uses is told first: there may be little time.
        let run = states.map_or(Ok(()), |states| states.check(&gpu, &mut self.states, progress));
        let lost = |e: &Error| e.kind() == ErrorKind::DeviceLost;
        if run.as_ref().is_err_and(lost) {
            return run;
        }
        let own = states.map(|states| states.kernels(&gpu)).unwrap_or_default();
        let computed = kernels.check(&gpu, (&own, is_quick), &mut self.kernels, progress);
        if is_quick || computed.as_ref().is_err_and(lost) {
            return run.and(computed);
        }
        let coop = self.examine_coop(&pick, kernels, progress);
        run.and(computed).and(coop)
    }

    /// Products on cooperative matrices, which a device has to be opened for.
    fn examine_coop(&mut self, pick: &Pick, kernels: &Kernels, progress: &Progress) -> Result<()> {
        let options = GpuOptions { coop: true, ..GpuOptions::default() };
        match pollster::block_on(Gpu::open(pick, &options)) {
            Ok(gpu) => {
                let tile = gpu.abilities().coop.map_or("none".to_owned(), |tile| tile.to_string());
                self.coop = tile;
                kernels.check_coop(&Arc::new(gpu), &mut self.kernels, progress)
            }
            Err(e) if e.kind() == ErrorKind::Usage => {
                self.coop = format!("not on this adapter ({e})");
                Ok(())
            }
            Err(e) => Err(e),
        }
    }

    fn conclude(mut self, done: Result<()>) -> Self {
        self.error = done.err().map(|e| e.to_string());
        let kernels = !self.kernels.is_empty() && self.kernels.iter().all(|row| row.ok);
        self.ok = self.error.is_none() && kernels && self.states.iter().all(|row| row.ok);
        self
    }
}

impl Report {
    /// The error that the exit code comes of, where an adapter is wrong.
    fn verdict(&self) -> Result<()> {
        let wrong = self.adapters.iter().filter(|checked| !checked.ok);
        let wrong: Vec<&str> = wrong.map(|checked| checked.adapter.name.as_str()).collect();
        if wrong.is_empty() {
            return Ok(());
        }
        let said = format!(
            "{} does not compute what the CPU executor does; update its driver, use --device cpu \
             meanwhile, and paste `everylayer doctor --json` into a report at {}/issues",
            wrong.join(", "),
            env!("CARGO_PKG_REPOSITORY")
        );
        Err(Error::new(ErrorKind::Gpu, said))
    }
}

#[cfg(test)]
mod tests;
