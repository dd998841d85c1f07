//! Sizes that kernels share: of tiles of weights, of workgroups, of grids.

/// Columns of a panel: the order of packed weights, the same for every tile.
pub const PANEL: usize = 64;
/// Depth of a step of `matmul.wgsl`; packed weights are padded with zeros to whole steps.
pub const MATMUL_K: usize = 16;
/// Invocations of a workgroup in every kernel.
pub const INVOCATIONS: usize = 64;
/// Largest number of workgroups along one axis on default WebGPU limits.
pub const MAX_GROUPS: usize = 65_535;

/// One workgroup a row. Rows are at most [`MAX_GROUPS`], which the caller's token budget holds.
pub fn row_grid(rows: usize) -> [u32; 2] {
    [rows as u32, 1]
}

/// Workgroups for `vectors` elements, one an invocation, folded into two axes; and how many
/// elements a row of workgroups covers.
pub fn flat_grid(vectors: usize) -> ([u32; 2], u32) {
    let groups = vectors.div_ceil(INVOCATIONS).max(1);
    let x = groups.min(MAX_GROUPS);
    ([x as u32, groups.div_ceil(x) as u32], (x * INVOCATIONS) as u32)
}

/// Whether `grid`, a row of which covers `row` elements, is that of so many.
pub(super) fn is_flat(grid: [u32; 2], elements: u32, row: u32) -> bool {
    (grid, row) == flat_grid(elements as usize)
}
