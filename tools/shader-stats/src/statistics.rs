//! The statistics of a pipeline, by name.

use crate::failure::Failure;

/// A statistic's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// A count.
    Whole(u64),
    /// A real number.
    Real(f64),
}

/// What this tool reads of a compiled kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statistics {
    /// Vector registers a lane, of 32 bits.
    pub vgprs: u64,
    /// Vector registers that had to be kept in memory.
    pub spilled_vgprs: u64,
    /// Private memory a wave, in bytes: an array that is not in registers, or spills.
    pub scratch_bytes: u64,
    /// Workgroup memory, in bytes.
    pub lds_bytes: u64,
    /// Waves that fit a SIMD at once.
    pub waves_per_simd: u64,
    /// Cycles a wave of 64 takes of the scarcest unit, as the compiler estimates it.
    pub inverse_throughput: u64,
}

impl Statistics {
    /// Picks them out of the driver's list. Names differ a little between versions of Mesa in case
    /// and spacing, and are held against each other without either.
    ///
    /// # Errors
    ///
    /// [`Failure::Work`] that names a statistic that is not there.
    pub fn read(all: &[(String, Value)]) -> Result<Self, Failure> {
        let read = |names: &[&str]| find(all, names);
        Ok(Self {
            vgprs: read(&["VGPRs"])?,
            spilled_vgprs: read(&["Spilled VGPRs"])?,
            scratch_bytes: read(&["Scratch size"])?,
            lds_bytes: read(&["LDS size"])?,
            waves_per_simd: read(&["Subgroups per SIMD", "Max Waves", "Occupancy"])?,
            inverse_throughput: read(&["Inverse Throughput", "InvThroughput"])?,
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

    fn told(names: [&str; 6]) -> Vec<(String, Value)> {
        (10..).zip(names).map(|(n, name)| (name.to_owned(), Value::Whole(n))).collect()
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
            vgprs: 10,
            spilled_vgprs: 11,
            scratch_bytes: 12,
            lds_bytes: 13,
            waves_per_simd: 14,
            inverse_throughput: 15,
        };
        assert_eq!(Statistics::read(&told(MESA_22)), Ok(expected));
        let other = [
            "vgprs",
            "Spilled_VGPRs",
            "Scratch Size",
            "LDS Size",
            "subgroups per SIMD",
            "InvThroughput",
        ];
        assert_eq!(Statistics::read(&told(other)), Ok(expected));
    }

    #[test]
    fn one_name_is_not_taken_for_another() {
        let mut all = told(MESA_22);
        all.insert(0, ("Pre-Sched VGPRs".to_owned(), Value::Whole(1)));
        all.swap(1, 2);
        assert_eq!(Statistics::read(&all).unwrap().vgprs, 10);
    }

    #[test]
    fn a_real_number_is_rounded() {
        let mut all = told(MESA_22);
        all[5].1 = Value::Real(99.6);
        assert_eq!(Statistics::read(&all).unwrap().inverse_throughput, 100);
    }

    #[test]
    fn a_missing_statistic_is_named_with_those_there_are() {
        let all: Vec<_> = told(MESA_22).into_iter().filter(|(n, _)| n != "LDS size").collect();
        let text = Statistics::read(&all).unwrap_err().to_string();
        assert!(text.contains("\"LDS size\"") && text.contains("Scratch size"), "{text}");
    }
}
