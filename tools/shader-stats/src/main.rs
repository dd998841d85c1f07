//! shader-stats: what a GPU's compiler makes of everylayer's kernels, without the GPU.
//!
//! WGSL becomes SPIR-V as wgpu makes it (`spirv.rs`), a driver of Mesa's compiles it for a device that
//! is not there (`driver.rs`, in the environment of `child.rs`), and what it tells of the machine code
//! (`statistics.rs`) becomes a row each (`measure.rs`), printed or held against a baseline.

#![deny(unsafe_code)]
#![warn(missing_docs)]

mod aco;
mod baseline;
mod child;
mod driver;
mod failure;
mod family;
mod measure;
mod spirv;
mod statistics;
mod table;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use serde_json::json;

use crate::baseline::Baseline;
use crate::child::{Device, Task};
use crate::driver::Driver;
use crate::failure::Failure;
use crate::family::Family;
use crate::measure::{Bench, Row};

const MORE: &str = "\
Columns:
  registers    vector registers a lane; fewer of them let more waves in
  spilled      AMD: registers kept in memory; Intel: written there. Must be 0
  fills        registers read back from there
  scratch      private memory in bytes, of spills or of arrays indexed at run time: must be 0
  LDS          workgroup memory in bytes
  SIMD         invocations of a thread on Intel, as its compiler chose
  waves        subgroups a SIMD holds at once, as RADV counts: a wave of 64 is 2 on RDNA
  cycles       AMD: estimated cycles of 64 invocations: those of the scarcest unit, or the latency
               that too few waves do not hide. A loop counts 8 times, one in a loop 32, in two 64.
               Intel: of a thread; each loop counts 10 times. Not to be compared with each other
  ALU eff.     AMD: multiply-adds of a step of the innermost loop at the GPU's peak, over the cycles
               the step costs with its loads and addresses. Intel: those of the innermost loop at
               their best, over the cycles of the kernel, of one thread that hides nothing behind
               others. - where a kernel is not arithmetic, and for Adreno

It says nothing of the bandwidth of memory and of workgroup memory, of barriers, or of other
vendors' GPUs.

Exit codes: 0, 1 for a kernel or a check that fails, 2 where there is no such driver.

Examples:
  shader-stats --kernel attention
  shader-stats --family skl,tgl,dg2,navi21 --kernel matmul.64x64
  shader-stats --check tools/shader-stats/baseline-navi21.json
  shader-stats --check tools/shader-stats/baseline-navi21.json --bless
  shader-stats --family navi31 --icd DIR/usr/share/vulkan/icd.d/radeon_icd.json
  shader-stats --wgsl trial.wgsl --texts | less

navi31 wants Mesa 23 or later. Debian 12 has 22.3; benches/peers/mesa25.sh DIR unpacks a newer one
beside it, whose description is then DIR/root/usr/share/vulkan/icd.d/radeon_icd.json.";

/// What the compilers of AMD's and Intel's GPUs make of every kernel, on a machine without one
#[derive(Parser)]
#[command(after_long_help = MORE, max_term_width = 100)]
struct Args {
    /// The GPUs to compile for, side by side where several
    #[arg(long, value_enum, default_value = "navi21", value_delimiter = ',')]
    family: Vec<Family>,
    /// Description of a driver other than the system's
    #[arg(long, value_name = "FILE")]
    icd: Option<PathBuf>,
    /// Library that answers for the kernel's driver, for Turnip
    #[arg(long, value_name = "FILE")]
    preload: Option<PathBuf>,
    /// Only variants whose name starts with this, e.g. matmul.f16
    #[arg(long, value_name = "NAME")]
    kernel: Option<String>,
    /// Print a JSON array and nothing else
    #[arg(long)]
    json: bool,
    /// Fail where a variant spills, is unknown to this baseline, or is worse than in it; in a folder
    /// it is baseline-FAMILY.json
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
    /// Write the numbers to the baseline of --check instead
    #[arg(long, requires = "check", conflicts_with = "kernel")]
    bless: bool,
    /// Whole WGSL modules to look at instead of the kernels, without their efficiency
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["kernel", "check"])]
    wgsl: Vec<PathBuf>,
    /// Print NIR, the compiler's own form and the assembly of each
    #[arg(long, conflicts_with = "json")]
    texts: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match child::inside() {
        Some(Task::Open) => Driver::open().map(|_| 0),
        Some(Task::Work) => work(&args),
        None => parent(&args),
    };
    ExitCode::from(done.unwrap_or_else(|failure| {
        eprintln!("error: {failure}");
        failure.code()
    }))
}

/// Prints a line; a reader that has gone away, as `head` does, is no mistake.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Starts a child for each family; where there are several, their rows come in one table or array.
fn parent(args: &Args) -> Result<u8, Failure> {
    let (icd, preload) = (args.icd.as_deref(), args.preload.as_deref());
    let device = |family: &Family| Device { family: *family, icd, preload };
    if let [family] = args.family.as_slice() {
        return child::run(device(family), false).map(|(code, _)| code);
    }
    if args.texts {
        return Err(Failure::Work("--texts are of one --family at a time".to_owned()));
    }
    let mut all: Vec<(Family, Baseline)> = Vec::new();
    let mut worst = 0;
    for family in &args.family {
        let (code, printed) = child::run(device(family), true)?;
        worst = worst.max(code);
        // A child without a driver has said so.
        if let Ok(part) = serde_json::from_slice(&printed) {
            all.push((*family, part));
        }
    }
    if args.json {
        let parts: Vec<_> =
            all.iter().map(|(family, part)| json!({ "family": family.name(), "driver": part.driver, "kernels": part.kernels })).collect();
        let text =
            serde_json::to_string_pretty(&parts).map_err(|e| Failure::Work(e.to_string()))?;
        say(&text);
    } else {
        all.iter().for_each(|(family, part)| say(&format!("{family}: {}", part.driver)));
        let tables: Vec<_> =
            all.iter().map(|(family, part)| (family.name(), part.kernels.as_slice())).collect();
        say(&format!("\n{}", table::table(&tables)));
    }
    Ok(worst)
}

fn work(args: &Args) -> Result<u8, Failure> {
    let Some(family) = child::family() else {
        return Err(Failure::Work("started as its own child, without a family".to_owned()));
    };
    let mut bench = Bench::new(Driver::open()?, family);
    if !family.is(bench.name()) {
        let name = bench.name();
        return Err(Failure::Driver(format!("the driver is {name}, not {family}")));
    }
    let rows = rows(&mut bench, args)?;
    if child::piped() {
        let part = Baseline { driver: bench.name().to_owned(), kernels: rows.clone() };
        say(&serde_json::to_string(&part).map_err(|e| Failure::Work(e.to_string()))?);
    } else if args.json {
        let text = serde_json::to_string_pretty(&rows).map_err(|e| Failure::Work(e.to_string()))?;
        say(&text);
    } else {
        say(&format!("{}\n\n{}", bench.name(), table::table(&[(family.name(), &rows)])));
    }
    let path = args.check.as_ref().map(|path| match path.is_dir() {
        true => path.join(format!("baseline-{family}.json")),
        false => path.clone(),
    });
    match &path {
        Some(path) if args.bless => {
            Baseline { driver: bench.name().to_owned(), kernels: rows }.write(path).map(|()| 0)
        }
        Some(path) => check(&rows, bench.name(), path),
        None => Ok(0),
    }
}

/// The rows asked for, sorted by name.
fn rows(bench: &mut Bench, args: &Args) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    let texts = |bench: &Bench, name: &str, wgsl: &str| -> Result<(), Failure> {
        for (kind, text) in bench.compile(wgsl, true)?.map(|c| c.texts).unwrap_or_default() {
            say(&format!("== {name}: {kind}\n{text}"));
        }
        Ok(())
    };
    for path in &args.wgsl {
        let name = path.display().to_string();
        let wgsl = fs::read_to_string(path).map_err(|e| Failure::Work(format!("{name}: {e}")))?;
        rows.extend(bench.row("", &name, &wgsl)?);
        if args.texts {
            texts(bench, &name, &wgsl)?;
        }
    }
    if !args.wgsl.is_empty() {
        return Ok(rows);
    }
    let wanted = args.kernel.as_deref().unwrap_or_default();
    for variant in measure::variants(bench.family()) {
        let name = variant.to_string();
        if !name.starts_with(wanted) {
            continue;
        }
        match bench.variant(variant)? {
            Some(row) => rows.push(row),
            None => eprintln!("left out: {name}, {} has no cooperative matrices", bench.name()),
        }
        if args.texts {
            texts(bench, &name, &everylayer::gpu::kernels::source(variant))?;
        }
    }
    if rows.is_empty() {
        return Err(Failure::Work(format!("no variant's name starts with \"{wanted}\"")));
    }
    rows.sort_by(|a, b| a.variant.cmp(&b.variant));
    Ok(rows)
}

/// Tells what is wrong with `rows`, a sentence each; the exit code.
fn check(rows: &[Row], driver: &str, path: &Path) -> Result<u8, Failure> {
    let baseline = Baseline::read(path)?;
    let mut problems = baseline::spills(rows);
    if baseline.driver == driver {
        problems.extend(baseline.problems(rows));
    } else {
        let was = &baseline.driver;
        let text = format!(
            "skipped: the baseline is of {was}, this is {driver}: only spills were looked for"
        );
        if child::piped() {
            eprintln!("{text}");
        } else {
            say(&text);
        }
    }
    for problem in &problems {
        eprintln!("error: {problem}");
    }
    Ok(u8::from(!problems.is_empty()))
}
