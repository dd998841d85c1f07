//! The statistics of a pipeline, by name.

use serde::{Deserialize, Serialize};

use crate::driver::Compiled;
use crate::failure::Failure;
use crate::family::Vendor;

/// A statistic's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// A count.
    Whole(u64),
    /// A real number.
    Real(f64),
}

/// What this tool reads of a compiled kernel; none where its driver does not tell.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// Vector registers a lane, of 32 bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vgprs: Option<u64>,
    /// AMD: vector registers kept in memory. Intel: registers written there. Adreno: such stores.
    #[serde(alias = "spilled_vgprs")]
    pub spilled: u64,
    /// Intel: registers read back. Adreno: such loads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fills: Option<u64>,
    /// Workgroup memory, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lds_bytes: Option<u64>,
    /// Invocations of a hardware thread, where the compiler chooses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub simd: Option<u64>,
    /// Waves that fit a SIMD at once; as RADV counts them, on RDNA in waves of 32, so a wave of 64
    /// counts twice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waves_per_simd: Option<u64>,
    /// Instructions of the machine code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<u64>,
    /// AMD: cycles a wave of 64 takes of the scarcest unit, as ACO weighs them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inverse_throughput: Option<u64>,
    /// Intel: cycles a hardware thread takes, each loop counted 10 times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cycles: Option<u64>,
    /// Private memory in bytes: spills, and arrays that are not in registers. Not in the JSON.
    #[serde(skip)]
    pub scratch_bytes: u64,
}

impl Statistics {
    /// The driver's estimate of cycles.
    pub fn estimate(&self) -> Option<u64> {
        self.inverse_throughput.or(self.cycles)
    }

    /// Picks them out of the list of `vendor`'s driver, for a kernel of `simd` invocations a
    /// subgroup. Names differ a little between versions of Mesa in case and spacing, and are held
    /// against each other without either.
    ///
    /// # Errors
    ///
    /// [`Failure::Work`] that names a statistic that is not there.
    pub fn read(vendor: Vendor, compiled: &Compiled) -> Result<Self, Failure> {
        let all = &compiled.statistics;
        let read = |names: &[&str]| find(all, names);
        let told = |names: &[&str]| find(all, names).map(Some);
        Ok(match vendor {
            Vendor::Amd => Self {
                vgprs: told(&["VGPRs"])?,
                spilled: read(&["Spilled VGPRs"])?,
                scratch_bytes: read(&["Scratch size"])?,
                lds_bytes: told(&["LDS size"])?,
                waves_per_simd: told(&["Subgroups per SIMD", "Max Waves", "Occupancy"])?,
                inverse_throughput: told(&["Inverse Throughput", "InvThroughput"])?,
                ..Self::default()
            },
            Vendor::Intel => Self {
                spilled: read(&["Spill Count"])?,
                fills: told(&["Fill Count"])?,
                scratch_bytes: read(&["Scratch Memory Size"])?,
                lds_bytes: told(&["Workgroup Memory Size"])?,
                simd: Some(compiled.subgroup),
                instructions: told(&["Instruction Count"])?,
                cycles: told(&["Cycle Count"])?,
                ..Self::default()
            },
            Vendor::Adreno => Self {
                vgprs: told(&["Registers used"])?,
                spilled: read(&["STP Count"])?,
                fills: told(&["LDP Count"])?,
                waves_per_simd: told(&["Max Waves Per Core"])?,
                instructions: told(&["Instruction Count"])?,
                ..Self::default()
            },
        })
    }
}

fn find(all: &[(String, Value)], names: &[&str]) -> Result<u64, Failure> {
    let plain = |name: &str| -> String {
        name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
    };
    let found =
        names.iter().find_map(|wanted| all.iter().find(|(name, _)| plain(name) == plain(wanted)));
    match found {
        Some((_, Value::Whole(n))) => Ok(*n),
        Some((_, Value::Real(x))) => Ok(x.round() as u64),
        None => {
            let known: Vec<_> = all.iter().map(|(name, _)| name.as_str()).collect();
            Err(Failure::Work(format!(
                "the driver tells no statistic \"{}\", only: {}",
                names[0],
                known.join(", ")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Statistics, Value};
    use crate::driver::Compiled;
    use crate::family::Vendor;

    fn told(names: &[&str]) -> Compiled {
        let statistics =
            (10..).zip(names).map(|(n, name)| ((*name).to_owned(), Value::Whole(n))).collect();
        Compiled { subgroup: 16, statistics, texts: Vec::new() }
    }

    fn amd(compiled: &Compiled) -> Statistics {
        Statistics::read(Vendor::Amd, compiled).unwrap()
    }

    const MESA_22: [&str; 6] = [
        "VGPRs",
        "Spilled VGPRs",
        "Scratch size",
        "LDS size",
        "Subgroups per SIMD",
        "Inverse Throughput",
    ];

    #[test]
    fn names_are_found_whatever_their_case_and_spacing() {
        let expected = Statistics {
            vgprs: Some(10),
            spilled: 11,
            scratch_bytes: 12,
            lds_bytes: Some(13),
            waves_per_simd: Some(14),
            inverse_throughput: Some(15),
            ..Statistics::default()
        };
        assert_eq!(amd(&told(&MESA_22)), expected);
        let other = [
            "vgprs",
            "Spilled_VGPRs",
            "Scratch Size",
            "LDS Size",
            "subgroups per SIMD",
            "InvThroughput",
        ];
        assert_eq!(amd(&told(&other)), expected);
    }

    #[test]
    fn what_intels_driver_tells_is_read_with_the_width() {
        let names = [
            "Instruction Count",
            "Cycle Count",
            "Spill Count",
            "Fill Count",
            "Scratch Memory Size",
            "Workgroup Memory Size",
        ];
        let found = Statistics::read(Vendor::Intel, &told(&names)).unwrap();
        assert_eq!(
            (found.simd, found.cycles, found.spilled, found.fills),
            (Some(16), Some(11), 12, Some(13))
        );
    }

    #[test]
    fn one_name_is_not_taken_for_another() {
        let mut all = told(&MESA_22);
        all.statistics.insert(0, ("Pre-Sched VGPRs".to_owned(), Value::Whole(1)));
        all.statistics.swap(1, 2);
        assert_eq!(amd(&all).vgprs, Some(10));
    }

    #[test]
    fn a_real_number_is_rounded() {
        let mut all = told(&MESA_22);
        all.statistics[5].1 = Value::Real(99.6);
        assert_eq!(amd(&all).inverse_throughput, Some(100));
    }

    #[test]
    fn a_missing_statistic_is_named_with_those_there_are() {
        let mut all = told(&MESA_22);
        all.statistics.retain(|(name, _)| name != "LDS size");
        let text = Statistics::read(Vendor::Amd, &all).unwrap_err().to_string();
        assert!(text.contains("\"LDS size\"") && text.contains("Scratch size"), "{text}");
    }
}
