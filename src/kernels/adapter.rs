//! What an adapter can do, and what kind of adapter it is.

use super::{Tile, Vendor};

/// What an adapter can do that kernels are chosen by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AdapterFeatures {
    /// What products and attention are cut up for.
    pub class: Class,
    /// Whose compiler it has.
    pub vendor: Vendor,
    /// Whether invocations may exchange values across a subgroup of at least eight.
    pub subgroups: bool,
    /// Whether shaders may use 16-bit floats (`shader-f16`).
    pub half: bool,
    /// The cut of products on cooperative matrices, where the device was opened for them.
    pub coop: Option<Tile>,
}

impl AdapterFeatures {
    /// What to choose kernels by where those of `self` compute wrong, in the order to try: without
    /// cooperative matrices, then what runs on any GPU, then kernels without workgroup memory.
    pub fn simpler(self) -> Vec<Self> {
        let portable = Self { class: Class::Small, ..Self::default() };
        let direct = Self { class: Class::CpuAdapter, ..Self::default() };
        let mut ladder = vec![Self { coop: None, ..self }, portable, direct];
        ladder.retain(|can| *can != self);
        ladder.dedup();
        ladder
    }
}

/// What kind of adapter the work is cut up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Class {
    /// Software Vulkan whose subgroups are eight wide: no workgroup memory, values are handed round.
    Software,
    /// Another processor that plays a GPU (a page's SwiftShader): barriers and loads cost, and there
    /// are few cores to fill.
    CpuAdapter,
    /// Few compute units: integrated and mobile GPUs, browsers that do not say.
    #[default]
    Small,
    /// A discrete GPU, which wants hundreds of workgroups.
    Large,
}

impl Class {
    /// Whether a processor plays the GPU.
    pub fn is_processor(self) -> bool {
        matches!(self, Self::Software | Self::CpuAdapter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simpler_kernels_ask_for_less() {
        let all = AdapterFeatures {
            vendor: Vendor::Amd,
            class: Class::Large,
            subgroups: true,
            half: true,
            coop: None,
        };
        let of = |can: AdapterFeatures| {
            let of = |can: AdapterFeatures| (can.class, can.subgroups, can.half, can.coop);
            can.simpler().into_iter().map(of).collect::<Vec<_>>()
        };
        let (portable, direct) =
            ((Class::Small, false, false, None), (Class::CpuAdapter, false, false, None));
        assert_eq!(of(all), [portable, direct]);
        let coop = AdapterFeatures { coop: Some(Tile::Coop16), ..all };
        assert_eq!(of(coop), [(Class::Large, true, true, None), portable, direct]);
        assert_eq!(of(AdapterFeatures::default()), [direct]);
        let direct = AdapterFeatures { class: Class::CpuAdapter, ..AdapterFeatures::default() };
        assert_eq!(of(direct), [portable]);
    }
}
