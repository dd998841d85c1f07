// C = activate(A Wᵀ + b) (+ residual), without workgroup memory: for adapters whose subgroups are
// known to be 8 wide and whose workgroup memory is no faster than any other, which is software
// Vulkan (llvmpipe runs a workgroup as 8-wide vectors and a barrier as a switch of coroutines).
//
// A subgroup computes 16 rows by 32 columns: lane l holds one vector of columns of every row, loads
// rows l and l + 8 of A four numbers at a time, and the rows are handed round by broadcast. 64
// multiply-adds of vectors for every six loads.
//
// The chain of each number is that of matmul.wgsl, k = 0, 1, 2, ...: the same bits where both run.

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let lane = index % 8u;
    let part = index / 8u;
    let row = group.y * 64u + 16u * (part / 2u);
    let column4 = group.x * 16u + 8u * (part % 2u) + lane;
    // Rows past the end repeat the last one and are not written.
    let from_a = min(row + lane, params.m - 1u) * params.k4;
    let from_b = min(row + lane + 8u, params.m - 1u) * params.k4;
    var from_w = group.x * params.k_steps * 256u + 8u * (part % 2u) + lane;

    var c0 = vec4<f32>(0.0);
    var c1 = vec4<f32>(0.0);
    var c2 = vec4<f32>(0.0);
    var c3 = vec4<f32>(0.0);
    var c4 = vec4<f32>(0.0);
    var c5 = vec4<f32>(0.0);
    var c6 = vec4<f32>(0.0);
    var c7 = vec4<f32>(0.0);
    var c8 = vec4<f32>(0.0);
    var c9 = vec4<f32>(0.0);
    var c10 = vec4<f32>(0.0);
    var c11 = vec4<f32>(0.0);
    var c12 = vec4<f32>(0.0);
    var c13 = vec4<f32>(0.0);
    var c14 = vec4<f32>(0.0);
    var c15 = vec4<f32>(0.0);

    for (var k4 = 0u; k4 < params.k4; k4++) {
        let upper = a[from_a + k4];
        let lower = a[from_b + k4];
        let w0 = unpack4(w[from_w]);
        let w1 = unpack4(w[from_w + 16u]);
        let w2 = unpack4(w[from_w + 32u]);
        let w3 = unpack4(w[from_w + 48u]);
        from_w += 64u;
        var v: vec4<f32>;
        v = subgroupBroadcast(upper, 0u);
        c0 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c0))));
        v = subgroupBroadcast(upper, 1u);
        c1 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c1))));
        v = subgroupBroadcast(upper, 2u);
        c2 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c2))));
        v = subgroupBroadcast(upper, 3u);
        c3 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c3))));
        v = subgroupBroadcast(upper, 4u);
        c4 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c4))));
        v = subgroupBroadcast(upper, 5u);
        c5 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c5))));
        v = subgroupBroadcast(upper, 6u);
        c6 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c6))));
        v = subgroupBroadcast(upper, 7u);
        c7 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c7))));
        v = subgroupBroadcast(lower, 0u);
        c8 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c8))));
        v = subgroupBroadcast(lower, 1u);
        c9 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c9))));
        v = subgroupBroadcast(lower, 2u);
        c10 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c10))));
        v = subgroupBroadcast(lower, 3u);
        c11 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c11))));
        v = subgroupBroadcast(lower, 4u);
        c12 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c12))));
        v = subgroupBroadcast(lower, 5u);
        c13 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c13))));
        v = subgroupBroadcast(lower, 6u);
        c14 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c14))));
        v = subgroupBroadcast(lower, 7u);
        c15 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c15))));
    }

    store(row + 0u, column4, c0);
    store(row + 1u, column4, c1);
    store(row + 2u, column4, c2);
    store(row + 3u, column4, c3);
    store(row + 4u, column4, c4);
    store(row + 5u, column4, c5);
    store(row + 6u, column4, c6);
    store(row + 7u, column4, c7);
    store(row + 8u, column4, c8);
    store(row + 9u, column4, c9);
    store(row + 10u, column4, c10);
    store(row + 11u, column4, c11);
    store(row + 12u, column4, c12);
    store(row + 13u, column4, c13);
    store(row + 14u, column4, c14);
    store(row + 15u, column4, c15);
}
