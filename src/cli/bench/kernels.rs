//! The dispatches of a call, those of one kernel and variant together.

use std::time::Duration;

use everylayer::encoder::Step;
use everylayer::execute::Ceilings;
use serde::Serialize;

use super::{median, round};

/// One variant of a kernel over all its calls. What only a run tells is `None` under `--plan`.
#[derive(Debug, Serialize)]
pub struct KernelTimes {
    /// Its file in `shaders/`.
    pub name: &'static str,
    /// What is compiled into it.
    pub variant: String,
    /// Dispatches.
    pub calls: usize,
    /// All calls together, each the median of the runs.
    pub ms: Option<f64>,
    /// Operations a second / 10⁹; 0 for elementwise work.
    pub gflops: Option<f64>,
    /// Bytes a second / 10⁹, each array counted once.
    pub gbps: Option<f64>,
    /// Of the ceiling it is nearer to; above 1 where a cache is faster than memory.
    pub share_of_ceiling: Option<f64>,
    /// Of all calls.
    #[serde(skip)]
    pub flops: u64,
    /// Of all calls.
    #[serde(skip)]
    pub bytes: u64,
}

/// Groups `steps`; `measured` holds the time of each step in several runs.
pub fn group(steps: Vec<Step>, measured: Option<(&[Vec<Duration>], Ceilings)>) -> Vec<KernelTimes> {
    let mut rows: Vec<KernelTimes> = Vec::new();
    for (i, step) in steps.into_iter().enumerate() {
        let variant = step.variant.to_string();
        let at = rows.iter().position(|row| row.variant == variant).unwrap_or_else(|| {
            rows.push(KernelTimes::new(step.variant.kernel(), variant));
            rows.len() - 1
        });
        let row = &mut rows[at];
        row.calls += 1;
        row.flops += step.flops;
        row.bytes += step.bytes;
        if let Some((runs, _)) = measured {
            let times = runs.iter().filter_map(|run| run.get(i));
            let mut times: Vec<f64> = times.map(|time| time.as_secs_f64() * 1e3).collect();
            *row.ms.get_or_insert(0.0) += median(&mut times);
        }
    }
    if let Some((_, ceilings)) = measured {
        rows.iter_mut().for_each(|row| row.judge(&ceilings));
        rows.sort_by(|a, b| b.ms.unwrap_or_default().total_cmp(&a.ms.unwrap_or_default()));
    }
    rows
}

impl KernelTimes {
    fn new(name: &'static str, variant: String) -> Self {
        Self {
            name,
            variant,
            calls: 0,
            ms: None,
            gflops: None,
            gbps: None,
            share_of_ceiling: None,
            flops: 0,
            bytes: 0,
        }
    }

    /// Fills in what follows from the time. A time below the clock's step says nothing.
    fn judge(&mut self, most: &Ceilings) {
        let Some(ms) = self.ms.filter(|&ms| ms > 0.0) else { return };
        let [flops, bytes] = [self.flops, self.bytes].map(|n| n as f64 / ms * 1e3);
        self.ms = Some(round(ms, 4));
        self.gflops = Some(round(flops / 1e9, 2));
        self.gbps = Some(round(bytes / 1e9, 2));
        self.share_of_ceiling = Some(round((flops / most.flops).max(bytes / most.bytes), 4));
    }
}
