// A part of the product along k: C is (SPLITS, m, n4), and the bare sums go there. `norm` adds them
// up (norm_parts.wgsl).
fn store(slice: u32, row: u32, column4: u32, sum: vec4<f32>) {
    if row < params.m && column4 < params.n4 {
        c[(slice * params.m + row) * params.n4 + column4] = store4(sum);
    }
}
