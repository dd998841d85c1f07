//! Whose compiler makes machine code of the kernels: what fits its registers is cut for it.

/// The GPUs whose compilers were looked at, or are known to differ.
///
/// No bit of a result follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Vendor {
    /// AMD.
    Amd,
    /// Intel's graphics up to the twelfth generation, by Mesa.
    Intel,
    /// NVIDIA.
    Nvidia,
    /// Whatever runs by Metal.
    Apple,
    /// Qualcomm.
    Adreno,
    /// Arm.
    Mali,
    /// All others: Arc and later graphics of Intel's, Intel's own drivers, a page that is not told.
    #[default]
    Portable,
}

impl Vendor {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::Amd,
        Self::Intel,
        Self::Nvidia,
        Self::Apple,
        Self::Adreno,
        Self::Mali,
        Self::Portable,
    ];

    /// That of a device by its numbers on the PCI bus and its driver's name; both are 0 where an
    /// adapter does not tell, as in a page.
    pub fn of(vendor: u32, device: u32, driver: &str) -> Self {
        match vendor {
            0x1002 | 0x1022 => Self::Amd,
            0x10de => Self::Nvidia,
            0x106b => Self::Apple,
            0x5143 => Self::Adreno,
            0x13b5 => Self::Mali,
            // Its driver for Windows has another compiler, which nobody looked at.
            0x8086 if GEN9_TO_12.contains(&(device >> 8)) && driver.contains("Mesa") => Self::Intel,
            _ => Self::Portable,
        }
    }
}

/// Device numbers of Intel's ninth to twelfth generation without their last two digits.
const GEN9_TO_12: [u32; 17] = [
    0x0a, // Broxton
    0x19, // Skylake
    0x1a, // Broxton
    0x31, // Gemini Lake
    0x3e, // Coffee Lake
    0x45, // Elkhart Lake
    0x46, // Alder Lake
    0x4c, // Rocket Lake
    0x4e, // Jasper Lake
    0x59, // Kaby Lake
    0x5a, // Apollo Lake
    0x87, // Kaby Lake, Amber Lake
    0x8a, // Ice Lake
    0x9a, // Tiger Lake
    0x9b, // Comet Lake
    0xa7, // Raptor Lake
    0x98, // Lakefield
];

#[cfg(test)]
mod tests {
    use super::Vendor;

    #[test]
    fn numbers_name_a_vendor_and_none_is_portable() {
        const MESA: &str = "Intel open-source Mesa driver";
        let cases = [
            (0x1002, 0x73bf, "radv", Vendor::Amd),
            (0x10de, 0x2684, "NVIDIA", Vendor::Nvidia),
            (0x8086, 0x9a49, MESA, Vendor::Intel),
            (0x8086, 0x1912, MESA, Vendor::Intel),
            (0x8086, 0x56a0, MESA, Vendor::Portable),
            (0x8086, 0x7d55, MESA, Vendor::Portable),
            (0x8086, 0x9a49, "Intel Corporation", Vendor::Portable),
            (0x5143, 0x0606_0001, "turnip Mesa driver", Vendor::Adreno),
            (0x13b5, 0x9091_0010, "Mali", Vendor::Mali),
            // Mesa's software.
            (0x1_0005, 0, "llvmpipe", Vendor::Portable),
            (0, 0, "", Vendor::Portable),
        ];
        for (vendor, device, driver, want) in cases {
            assert_eq!(Vendor::of(vendor, device, driver), want, "{vendor:#x} {device:#x}");
        }
    }
}
