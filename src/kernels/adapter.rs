//! What an adapter can do, and what kind of adapter it is.

use super::Tile;

/// What an adapter can do that kernels are chosen by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AdapterFeatures {
    /// What products and attention are cut up for.
    pub class: Class,
    /// Whether invocations may exchange values across a subgroup of at least eight.
    pub subgroups: bool,
    /// Whether shaders may use 16-bit floats (`shader-f16`).
    pub half: bool,
    /// The cut of products on cooperative matrices, where the device was opened for them.
    pub coop: Option<Tile>,
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
