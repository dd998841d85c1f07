//! Every kernel on its own: what the CPU executor computes, once, and how far an adapter is off.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::fmt::Display;
use std::sync::Arc;

use everylayer::cpu::Cpu;
use everylayer::gpu::GpuExecutor;
use everylayer::gpu::device::Gpu;
use everylayer::model::layout::Layout;
use everylayer::schedule::{Elem, Recording, Variant};
use everylayer::{ErrorKind, Result};
use serde::Serialize;

use crate::cli::progress::Progress;
use everylayer::testing::cases::{COOP, ModelSizes, TOLERANCES, apart, cases, row_of, tolerance};
use everylayer::testing::{Held, Shelf, run};

/// A kernel and how an adapter did.
#[derive(Debug, Serialize)]
pub struct Kernel {
    /// Its name.
    pub kernel: &'static str,
    /// Variants that were run.
    pub variants: usize,
    /// Cases that were run.
    pub cases: usize,
    /// Over all cases; infinite, which JSON writes as null, where one failed or was not finite.
    pub max_difference: f32,
    /// What it may be.
    pub tolerance: f32,
    /// Whether it is.
    pub ok: bool,
    /// The variants that have a case beyond it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<String>,
}

impl Kernel {
    /// A row of the table before the first case.
    pub fn new(kernel: &'static str, tolerance: f32) -> Self {
        Self {
            kernel,
            variants: 0,
            cases: 0,
            max_difference: 0.0,
            tolerance,
            ok: false,
            failed: Vec::new(),
        }
    }

    /// One case more, of `variant`, off by `difference`.
    pub fn add(&mut self, variant: &dyn Display, difference: f32) {
        self.cases += 1;
        self.max_difference = self.max_difference.max(difference);
        self.ok = self.max_difference <= self.tolerance;
        if difference > self.tolerance {
            let variant = variant.to_string();
            if !self.failed.contains(&variant) {
                self.failed.push(variant);
            }
        }
    }
}

/// Every case, and what the CPU executor makes of those that were run.
pub struct Kernels {
    shelves: Vec<Computed>,
}

/// The cases that read one set of weights.
struct Computed {
    elem: Elem,
    layout: Arc<Layout>,
    held: Arc<Held>,
    cpu: Cpu,
    cases: Vec<Case>,
}

struct Case {
    variant: Variant,
    recording: Recording,
    want: OnceCell<Vec<Vec<f32>>>,
}

impl Case {
    /// What `cpu` makes of it, computed once for all adapters.
    fn want(&self, cpu: &Cpu) -> Result<&Vec<Vec<f32>>> {
        if let Some(want) = self.want.get() {
            return Ok(want);
        }
        let want = run(cpu, &self.recording)?;
        Ok(self.want.get_or_init(|| want))
    }
}

impl Kernels {
    /// Every case, those of the model's `own` sizes among them.
    pub fn new(own: Option<ModelSizes>) -> Result<Self> {
        let shelf = |elem| {
            let mut shelf = Shelf::default();
            let cases = cases(elem, own, &mut shelf);
            let (layout, held) = shelf.close();
            let cpu = Cpu::new(Arc::clone(&layout), held.as_ref(), elem)?;
            let case = |(variant, recording)| Case { variant, recording, want: OnceCell::new() };
            let cases = cases.into_iter().map(case).collect();
            Ok(Computed { elem, layout, held, cpu, cases })
        };
        Ok(Self { shelves: Elem::ALL.into_iter().map(shelf).collect::<Result<_>>()? })
    }

    /// Runs every case on the CPU.
    #[cfg(test)]
    pub fn run_on_cpu(&self) -> Result<()> {
        let mut all = self.shelves.iter().flat_map(|s| s.cases.iter().map(|case| (case, &s.cpu)));
        all.try_for_each(|(case, cpu)| case.want(cpu).map(drop))
    }

    /// How many cases there are.
    pub fn count(&self) -> usize {
        self.shelves.iter().map(|shelf| shelf.cases.len()).sum()
    }

    /// Runs every case that `gpu` can run and fills `rows`. A case that the device refuses fails,
    /// and the others go on, unless the device is lost; the first error is given back. Those of `own`
    /// come first, and are all where it `is_quick`.
    pub fn check(
        &self,
        gpu: &Arc<Gpu>,
        (own, is_quick): (&HashSet<Variant>, bool),
        rows: &mut Vec<Kernel>,
        progress: &Progress,
    ) -> Result<()> {
        rows.extend(TOLERANCES.map(|(kernel, tolerance)| Kernel::new(kernel, tolerance)));
        let first = self.compare(gpu, rows, (false, &|v| own.contains(v)), progress);
        if is_quick {
            let cases = self.shelves.iter().flat_map(|shelf| &shelf.cases);
            progress.advance(cases.filter(|case| !own.contains(&case.variant)).count());
            rows.retain(|row| row.cases > 0);
            return first;
        }
        if first.as_ref().is_err_and(|e| e.kind() == ErrorKind::DeviceLost) {
            return first;
        }
        first.and(self.compare(gpu, rows, (false, &|v| !own.contains(v)), progress))
    }

    /// As [`Kernels::check`], the products on cooperative matrices alone, on a device that was opened
    /// for them.
    pub fn check_coop(
        &self,
        gpu: &Arc<Gpu>,
        rows: &mut Vec<Kernel>,
        progress: &Progress,
    ) -> Result<()> {
        rows.extend(COOP.map(|(kernel, tolerance)| Kernel::new(kernel, tolerance)));
        self.compare(gpu, rows, (true, &|_| true), progress)
    }

    fn compare(
        &self,
        gpu: &Arc<Gpu>,
        rows: &mut [Kernel],
        (coop, asked): (bool, &dyn Fn(&Variant) -> bool),
        progress: &Progress,
    ) -> Result<()> {
        let mut first = Ok(());
        for Computed { elem, layout, held, cpu, cases } in &self.shelves {
            let (layout, held) = (Arc::clone(layout), Arc::clone(held));
            if *elem == Elem::NativeF16 && !gpu.abilities().half {
                let left = cases.iter().filter(|case| asked(&case.variant)).count();
                progress.advance(if coop { 0 } else { left });
                continue;
            }
            let executor = GpuExecutor::new(Arc::clone(gpu), layout, held, *elem)?;
            let mut seen = HashSet::new();
            for case in cases.iter().filter(|case| asked(&case.variant)) {
                let Case { variant, recording, .. } = case;
                // Counted once, whether they run or not.
                progress.advance(usize::from(!coop));
                if variant.is_coop() != coop || !variant.runs_on(&gpu.abilities()) {
                    continue;
                }
                let want = case.want(cpu)?;
                let got = run(&executor, recording).map_err(|e| e.at(variant));
                let apart = got.as_ref().map_or(f32::INFINITY, |got| apart(variant, got, want));
                let allowed = tolerance(variant);
                let word = if apart <= allowed { "ok" } else { "FAIL" };
                progress.result(&format!("{word} {variant} off by {apart:.1e} of {allowed:.0e}"));
                if let Some(row) = rows.iter_mut().find(|row| row.kernel == row_of(variant)) {
                    row.variants += usize::from(seen.insert(*variant));
                    row.add(variant, apart);
                }
                let lost = got.as_ref().is_err_and(|e| e.kind() == ErrorKind::DeviceLost);
                first = first.and(got.map(drop));
                if lost {
                    return first;
                }
            }
        }
        first
    }
}
