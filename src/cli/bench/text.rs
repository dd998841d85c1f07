//! The report of `bench` for people: a table of calls, one of kernels, a line of counts.

use std::fmt::{self, Display};

use super::{Report, Row, Taken};
use crate::cli::bench::kernels::Kernel;
use crate::cli::info::bytes;

impl Display for Report {
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

impl Display for Row {
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

impl Display for Kernel {
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
