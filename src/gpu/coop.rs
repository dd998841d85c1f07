//! Cooperative matrices, which wgpu calls experimental: what an adapter needs for `matmul_coop.wgsl`,
//! and the word that wgpu wants before it opens a device for them. Only where they were asked for.

use wgpu::{CooperativeScalarType as Scalar, Features};

use super::pick::GpuOptions;
use crate::error::{Result, Setting, fail};
use crate::schedule::Tile;

/// Invocations of a workgroup of `matmul_coop.wgsl`, which have to be whole subgroups.
const INVOCATIONS: u32 = 128;

/// The cut that `adapter` has matrices for, 16 x 16 before 8 x 8; or what it lacks.
pub fn tile(adapter: &wgpu::Adapter) -> Result<Tile, String> {
    let features = adapter.features();
    let needed = [
        ("cooperative-matrix", Features::EXPERIMENTAL_COOPERATIVE_MATRIX),
        ("shader-f16", Features::SHADER_F16),
        ("subgroups", Features::SUBGROUP),
    ];
    if let Some((name, _)) = needed.iter().find(|(_, feature)| !features.contains(*feature)) {
        return Err(format!("the feature {name}"));
    }
    let size = adapter.get_info().subgroup_max_size;
    if !(1..=INVOCATIONS).contains(&size) || !INVOCATIONS.is_multiple_of(size) {
        return Err(format!(
            "subgroups that {INVOCATIONS} invocations are whole numbers of: its are of {size}"
        ));
    }
    let all = adapter.cooperative_matrix_properties();
    let has = |side: u32| {
        all.iter().any(|p| {
            (p.m_size, p.n_size, p.k_size) == (side, side, side)
                && (p.ab_type, p.cr_type) == (Scalar::F16, Scalar::F32)
        })
    };
    [(16, Tile::Coop16), (8, Tile::Coop8)]
        .into_iter()
        .find(|(side, _)| has(*side))
        .map(|(_, tile)| tile)
        .ok_or_else(|| "matrices of 8 x 8 or 16 x 16 with f16 inputs and f32 sums".to_owned())
}

/// As [`tile`], for a device that is opened with `options`.
///
/// # Errors
///
/// `Usage` that names what is missing.
pub fn ask(adapter: &wgpu::Adapter, options: &GpuOptions) -> Result<Tile> {
    if options.default_limits {
        return Err(fail!(
            Usage,
            "cooperative matrices are beyond the default WebGPU limits: ask for one or the other"
        ));
    }
    tile(adapter).map_err(|missing| {
        let name = adapter.get_info().name;
        fail!(
            Usage,
            "{name} cannot multiply with cooperative matrices, it lacks {missing}; turn them off"
        )
        .about(&[Setting::Coop])
    })
}

/// The word that wgpu wants before it opens a device for an experimental feature.
#[expect(
    unsafe_code,
    reason = "wgpu wants it said that an experimental feature may have undefined behaviour of its own; \
              it is said only where the user asked for cooperative matrices, and the one shader that \
              uses them is ours"
)]
pub fn token(asked: bool) -> wgpu::ExperimentalFeatures {
    if !asked {
        return wgpu::ExperimentalFeatures::disabled();
    }
    // SAFETY: see the reason above; tests/shaders.rs and tests/kernels/coop.rs hold the shader to it.
    unsafe { wgpu::ExperimentalFeatures::enabled() }
}
