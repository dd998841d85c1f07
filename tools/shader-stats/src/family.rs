//! The GPUs that can be compiled for without them, and how their driver is told to be one.

use std::fmt;

use clap::ValueEnum;

/// A GPU that a driver can be without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Family {
    /// AMD GCN 5, e.g. RX Vega 64; any Mesa.
    Vega10,
    /// AMD RDNA, e.g. RX 5700; any Mesa.
    Navi10,
    /// AMD RDNA 2, e.g. RX 6800; any Mesa.
    Navi21,
    /// AMD RDNA 3, e.g. RX 7900; Mesa 23 and later.
    Navi31,
    /// Intel Gen9, e.g. HD Graphics 530; any Mesa.
    Skl,
    /// Intel Gen12, e.g. Iris Xe; any Mesa.
    Tgl,
    /// Intel Xe-HPG, e.g. Arc A770; any Mesa.
    Dg2,
    /// Qualcomm Adreno 660; a Turnip and a library to preload: see tools/shader-stats/README.md.
    A660,
    /// Qualcomm Adreno 730; likewise, where that Mesa knows it.
    A730,
}

/// A driver of Mesa's, with a compiler of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vendor {
    /// RADV, whose compiler is ACO.
    Amd,
    /// ANV.
    Intel,
    /// Turnip.
    Adreno,
}

impl Vendor {
    /// The driver's name, and the file that describes it without its end.
    pub fn driver(self) -> (&'static str, &'static str) {
        match self {
            Self::Amd => ("RADV", "radeon_icd"),
            Self::Intel => ("Intel", "intel_icd"),
            Self::Adreno => ("Turnip", "freedreno_icd"),
        }
    }
}

impl Family {
    /// As its driver spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vega10 => "vega10",
            Self::Navi10 => "navi10",
            Self::Navi21 => "navi21",
            Self::Navi31 => "navi31",
            Self::Skl => "skl",
            Self::Tgl => "tgl",
            Self::Dg2 => "dg2",
            Self::A660 => "a660",
            Self::A730 => "a730",
        }
    }

    /// Whose it is.
    pub fn vendor(self) -> Vendor {
        match self {
            Self::Vega10 | Self::Navi10 | Self::Navi21 | Self::Navi31 => Vendor::Amd,
            Self::Skl | Self::Tgl | Self::Dg2 => Vendor::Intel,
            Self::A660 | Self::A730 => Vendor::Adreno,
        }
    }

    /// Whose cuts of kernels the engine takes on it.
    pub fn cut_for(self) -> everylayer::kernels::Vendor {
        use everylayer::kernels::Vendor as Cut;

        match self {
            Self::Vega10 | Self::Navi10 | Self::Navi21 | Self::Navi31 => Cut::Amd,
            Self::Skl | Self::Tgl => Cut::Intel,
            Self::Dg2 => Cut::Portable,
            Self::A660 | Self::A730 => Cut::Adreno,
        }
    }

    /// What the environment says to make the driver this GPU.
    pub fn environment(self) -> (&'static str, &'static str) {
        match self.vendor() {
            Vendor::Amd => ("RADV_FORCE_FAMILY", self.name()),
            Vendor::Intel => ("I915_STUB", self.name()),
            Vendor::Adreno => ("FD_GPU_ID", &self.name()[1..]),
        }
    }

    /// Whether the driver calls the device so.
    pub fn is(self, device: &str) -> bool {
        let name = if self.vendor() == Vendor::Adreno { &self.name()[1..] } else { self.name() };
        device.to_lowercase().contains(name)
    }

    /// Cycles that a SIMD of AMD's takes at best for a multiply-add of a wave of 64: its width is
    /// 16 in GCN, 32 in RDNA, 32 twice in RDNA 3. None for other vendors' GPUs.
    pub fn cycles_per_fma(self) -> Option<u64> {
        match self {
            Self::Vega10 => Some(4),
            Self::Navi10 | Self::Navi21 => Some(2),
            Self::Navi31 => Some(1),
            _ => None,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
