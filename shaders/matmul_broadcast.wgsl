// C = activate(A Wᵀ + b) (+ residual), without workgroup memory: for adapters whose subgroups are
// known to be 8 wide and whose workgroup memory is no faster than any other, which is software
// Vulkan (llvmpipe runs a workgroup as 8-wide vectors and a barrier as a switch of coroutines).
//
// A subgroup computes TALL rows by 32 WIDE4 columns: lane l holds WIDE4 vectors of columns of every
// row, loads rows l, l + 8, ... of A four numbers at a time, and the rows are handed round by
// broadcast. The steps are unrolled by the prelude that src/gpu/product.rs writes.
//
// The chain of each number is that of matmul.wgsl, k = 0, 1, 2, ...

const COLUMNS4 = 8u * WIDE4;
const ACROSS = 16u / COLUMNS4;

@compute @workgroup_size(64u / TALL * ACROSS * 8u)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let lane = index % 8u;
    let part = index / 8u;
    let row = group.y * 64u + TALL * (part / ACROSS);
    // Nothing waits for the others: a subgroup without rows is done.
    if row >= params.m {
        return;
    }
    let inside4 = COLUMNS4 * (part % ACROSS) + lane;
    let starts = start_rows(row + lane);
    var from_w = group.x * params.k_steps * 256u + inside4;
    var sums = Sums();
    for (var k4 = 0u; k4 < params.k4; k4++) {
        multiply(&sums, starts, k4, from_w);
        from_w += 64u;
    }
    put(&sums, row, group.x * 16u + inside4);
}
