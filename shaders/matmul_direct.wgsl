// C = activate(A Wᵀ + b) (+ residual), without workgroup memory: for processors that play a GPU. There
// a barrier switches coroutines, and a load costs a test and a jump a number whatever its place is,
// in workgroup memory as well (SwiftShader in a page checks each against the end of its array, and
// keeps nothing in a register): so an invocation has a block of C as large as its code stays
// compilable, and reads what it needs itself.
//
// An invocation computes TALL rows by four vectors of a panel of 64 columns, ACROSS of them the panel.
// The steps are written by src/gpu/product.rs. The chain of each number is that of matmul.wgsl,
// k = 0, 1, 2, ...

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    // Part `slice` of SPLITS along k (matmul_part.wgsl), or the whole.
    let slice = group.y % SPLITS;
    let row = group.y / SPLITS * ROWS + lane / ACROSS * TALL;
    // Nothing waits for the others: an invocation without rows is done.
    if row >= params.m {
        return;
    }
    let steps = (params.k_steps + SPLITS - 1u) / SPLITS;
    let first = 4u * slice * steps;
    let last = min(first + 4u * steps, params.k4);
    let x = lane % ACROSS;
    let starts = start_rows(row);
    var from_w = 64u * (group.x * params.k_steps + slice * steps) * 4u + x;
    var sums = Sums();
    for (var k4 = first; k4 < last; k4++) {
        multiply(&sums, starts, k4, from_w);
        from_w += 64u;
    }
    put(&sums, slice, row, 16u * group.x + x);
}
