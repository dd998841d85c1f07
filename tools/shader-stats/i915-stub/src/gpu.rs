//! The GPUs that the driver can be told of.

use std::sync::OnceLock;

/// What the kernel would tell of a GPU.
pub struct Gpu {
    name: &'static str,
    /// PCI device and revision.
    pub device: u16,
    pub revision: u8,
    /// Slices, subslices a slice, execution units a subslice.
    pub slices: u16,
    pub subslices: u16,
    pub units: u16,
    /// Cycles a second of the time stamp counter.
    pub timestamps: i32,
    /// Whether the CPU's last level of cache is shared.
    pub shares_cache: bool,
    /// Bytes of its own memory.
    pub memory: u64,
}

const GPUS: [Gpu; 3] = [
    // HD Graphics 530.
    Gpu {
        name: "skl",
        device: 0x1912,
        revision: 6,
        slices: 1,
        subslices: 3,
        units: 8,
        timestamps: 12_000_000,
        shares_cache: true,
        memory: 0,
    },
    // Iris Xe.
    Gpu {
        name: "tgl",
        device: 0x9a49,
        revision: 1,
        slices: 1,
        subslices: 6,
        units: 16,
        timestamps: 19_200_000,
        shares_cache: true,
        memory: 0,
    },
    // Arc A770.
    Gpu {
        name: "dg2",
        device: 0x56a0,
        revision: 8,
        slices: 8,
        subslices: 4,
        units: 16,
        timestamps: 19_200_000,
        shares_cache: false,
        memory: 16 << 30,
    },
];

impl Gpu {
    /// The GPU that the environment names; none where it names none that is known.
    pub fn chosen() -> Option<&'static Self> {
        static CHOSEN: OnceLock<Option<&'static Gpu>> = OnceLock::new();
        *CHOSEN.get_or_init(|| {
            let name = std::env::var_os("I915_STUB")?;
            GPUS.iter().find(|gpu| name == gpu.name)
        })
    }
}
