//! The numbers that were good enough once, and what is worse than they are.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::measure::Row;

/// How far an efficiency may drop, or cycles may grow, unnoticed.
const SLACK: f64 = 0.01;

/// A file of `--bless`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Baseline {
    /// Device and driver: another compiler gives other numbers.
    pub driver: String,
    /// As `--json`.
    pub kernels: Vec<Row>,
}

impl Baseline {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// [`Failure::Work`] where it is missing or no baseline.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let bad = |why: String| {
            Failure::Work(format!("{}: {why} (--bless writes a baseline)", path.display()))
        };
        let text = fs::read_to_string(path).map_err(|e| bad(e.to_string()))?;
        serde_json::from_str(&text).map_err(|e| bad(e.to_string()))
    }

    /// Writes a file.
    ///
    /// # Errors
    ///
    /// [`Failure::Work`] where it cannot.
    pub fn write(&self, path: &Path) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(self).map_err(|e| e.to_string());
        text.and_then(|text| fs::write(path, text + "\n").map_err(|e| e.to_string()))
            .map_err(|e| Failure::Work(format!("{}: {e}", path.display())))
    }

    /// One sentence for each row that is worse than here, or unknown.
    pub fn problems(&self, rows: &[Row]) -> Vec<String> {
        let mut problems = Vec::new();
        for row in rows {
            let name = &row.variant;
            let Some(was) = self.kernels.iter().find(|was| was.variant == *name) else {
                problems.push(format!(
                    "{name} is not in the baseline: look at its numbers, then run with --bless"
                ));
                continue;
            };
            if let (Some(is), Some(was)) = (row.found.waves_per_simd, was.found.waves_per_simd)
                && is < was
            {
                problems.push(format!("{name} fits {is} waves a SIMD, it was {was}"));
            }
            if let (Some(is), Some(was)) = (row.found.simd, was.found.simd)
                && is < was
            {
                problems.push(format!("{name} is compiled for SIMD{is}, it was SIMD{was}"));
            }
            if let (Some(is), Some(was)) = (row.found.cycles, was.found.cycles)
                && is as f64 > was as f64 * (1.0 + SLACK)
            {
                problems.push(format!("{name} takes {is} cycles, it was {was}"));
            }
            match (was.alu_efficiency, row.alu_efficiency) {
                (Some(was), Some(is)) if is < was - SLACK => problems
                    .push(format!("{name} has an ALU efficiency of {is:.3}, it was {was:.3}")),
                (Some(was), None) => {
                    problems.push(format!("{name} has no ALU efficiency any more, it was {was:.3}"))
                }
                _ => {}
            }
        }
        problems
    }
}

/// One sentence for each row with something in memory that belongs in registers.
pub fn spills(rows: &[Row]) -> Vec<String> {
    let spills = |row: &Row| {
        let name = &row.variant;
        match (row.found.spilled, row.found.scratch_bytes) {
            (0, 0) => None,
            (0, bytes) => Some(format!("{name} keeps {bytes} bytes of an array in memory")),
            (registers, _) => Some(format!("{name} spills {registers} registers")),
        }
    };
    rows.iter().filter_map(spills).collect()
}

#[cfg(test)]
pub mod tests {
    use super::{Baseline, spills};
    use crate::measure::Row;
    use crate::statistics::Statistics;

    pub fn row(variant: &str, alu_efficiency: Option<f64>) -> Row {
        Row {
            kernel: "kernel".to_owned(),
            variant: variant.to_owned(),
            found: found(8, 0, 0),
            alu_efficiency,
        }
    }

    fn found(waves: u64, spilled: u64, scratch_bytes: u64) -> Statistics {
        Statistics {
            vgprs: Some(112),
            spilled,
            lds_bytes: Some(8192),
            waves_per_simd: Some(waves),
            inverse_throughput: Some(5626),
            scratch_bytes,
            ..Statistics::default()
        }
    }

    fn problems(is: Row) -> Vec<String> {
        let kernels = vec![row("matmul", Some(0.97)), row("norm", None)];
        Baseline { driver: String::new(), kernels }.problems(&[is])
    }

    #[test]
    fn what_is_as_good_is_no_problem() {
        assert!(problems(row("norm", None)).is_empty());
        assert!(problems(row("matmul", Some(0.961))).is_empty());
        assert!(problems(Row { found: found(10, 0, 0), ..row("matmul", Some(0.99)) }).is_empty());
    }

    #[test]
    fn a_drop_is_one_sentence_each() {
        let slow = Row { found: found(6, 0, 0), ..row("matmul", Some(0.95)) };
        assert_eq!(
            problems(slow),
            [
                "matmul fits 6 waves a SIMD, it was 8",
                "matmul has an ALU efficiency of 0.950, it was 0.970"
            ]
        );
        assert!(problems(row("matmul", None))[0].contains("any more"));
    }

    #[test]
    fn a_new_variant_tells_how_it_becomes_known() {
        assert!(problems(row("pool.new", None))[0].contains("--bless"));
    }

    #[test]
    fn spills_and_arrays_in_memory_are_told() {
        let spilt = Row { found: found(8, 43, 7168), ..row("attention.d128", None) };
        let array = Row { found: found(8, 0, 64), ..row("pool.max", None) };
        assert_eq!(
            spills(&[spilt.clone(), array, row("norm", None)]),
            ["attention.d128 spills 43 registers", "pool.max keeps 64 bytes of an array in memory"]
        );
    }

    #[test]
    fn a_baseline_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("baseline.json");
        assert!(Baseline::read(&path).unwrap_err().to_string().contains("--bless"));
        let kernels = vec![row("matmul", Some(0.97)), row("norm", None)];
        let written = Baseline { driver: "RADV NAVI21".to_owned(), kernels };
        written.write(&path).unwrap();
        let read = Baseline::read(&path).unwrap();
        assert_eq!((read.driver, read.kernels), (written.driver, written.kernels));
    }
}
