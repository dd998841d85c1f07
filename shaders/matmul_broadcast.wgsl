// C = activate(A Wᵀ + b) (+ residual), without workgroup memory: for adapters whose subgroups are
// known to be 8 wide and whose workgroup memory is no faster than any other, which is software
// Vulkan (llvmpipe runs a workgroup as 8-wide vectors and a barrier as a switch of coroutines).
//
// Four subgroups compute a tile of 64 x 64, each 32 rows by 32 columns: lane l holds one vector of
// columns of every row, loads rows l, l + 8, l + 16 and l + 24 of A four numbers at a time, and the
// rows are handed round by broadcast. 128 multiply-adds of vectors for every eight loads.
//
// The chain of each number is that of matmul.wgsl, k = 0, 1, 2, ...

@compute @workgroup_size(32)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let lane = index % 8u;
    let part = index / 8u;
    let row = group.y * 64u + 32u * (part / 2u);
    // Nothing waits for the others: a subgroup without rows is done.
    if row >= params.m {
        return;
    }
    let column4 = group.x * 16u + 8u * (part % 2u) + lane;
    // Rows past the end repeat the last one and are not written.
    let from0 = min(row + lane + 0u, params.m - 1u) * params.k4;
    let from1 = min(row + lane + 8u, params.m - 1u) * params.k4;
    let from2 = min(row + lane + 16u, params.m - 1u) * params.k4;
    let from3 = min(row + lane + 24u, params.m - 1u) * params.k4;
    var from_w = group.x * params.k_steps * 256u + 8u * (part % 2u) + lane;

    var c0 = vec4<f32>(0.0); var c1 = vec4<f32>(0.0);
    var c2 = vec4<f32>(0.0); var c3 = vec4<f32>(0.0);
    var c4 = vec4<f32>(0.0); var c5 = vec4<f32>(0.0);
    var c6 = vec4<f32>(0.0); var c7 = vec4<f32>(0.0);
    var c8 = vec4<f32>(0.0); var c9 = vec4<f32>(0.0);
    var c10 = vec4<f32>(0.0); var c11 = vec4<f32>(0.0);
    var c12 = vec4<f32>(0.0); var c13 = vec4<f32>(0.0);
    var c14 = vec4<f32>(0.0); var c15 = vec4<f32>(0.0);
    var c16 = vec4<f32>(0.0); var c17 = vec4<f32>(0.0);
    var c18 = vec4<f32>(0.0); var c19 = vec4<f32>(0.0);
    var c20 = vec4<f32>(0.0); var c21 = vec4<f32>(0.0);
    var c22 = vec4<f32>(0.0); var c23 = vec4<f32>(0.0);
    var c24 = vec4<f32>(0.0); var c25 = vec4<f32>(0.0);
    var c26 = vec4<f32>(0.0); var c27 = vec4<f32>(0.0);
    var c28 = vec4<f32>(0.0); var c29 = vec4<f32>(0.0);
    var c30 = vec4<f32>(0.0); var c31 = vec4<f32>(0.0);

    for (var k4 = 0u; k4 < params.k4; k4++) {
        let a0 = a[from0 + k4];
        let a1 = a[from1 + k4];
        let a2 = a[from2 + k4];
        let a3 = a[from3 + k4];
        let w0 = unpack4(w[from_w]);
        let w1 = unpack4(w[from_w + 16u]);
        let w2 = unpack4(w[from_w + 32u]);
        let w3 = unpack4(w[from_w + 48u]);
        from_w += 64u;
        var v: vec4<f32>;
        v = subgroupBroadcast(a0, 0u);
        c0 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c0))));
        v = subgroupBroadcast(a0, 1u);
        c1 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c1))));
        v = subgroupBroadcast(a0, 2u);
        c2 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c2))));
        v = subgroupBroadcast(a0, 3u);
        c3 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c3))));
        v = subgroupBroadcast(a0, 4u);
        c4 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c4))));
        v = subgroupBroadcast(a0, 5u);
        c5 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c5))));
        v = subgroupBroadcast(a0, 6u);
        c6 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c6))));
        v = subgroupBroadcast(a0, 7u);
        c7 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c7))));
        v = subgroupBroadcast(a1, 0u);
        c8 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c8))));
        v = subgroupBroadcast(a1, 1u);
        c9 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c9))));
        v = subgroupBroadcast(a1, 2u);
        c10 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c10))));
        v = subgroupBroadcast(a1, 3u);
        c11 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c11))));
        v = subgroupBroadcast(a1, 4u);
        c12 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c12))));
        v = subgroupBroadcast(a1, 5u);
        c13 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c13))));
        v = subgroupBroadcast(a1, 6u);
        c14 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c14))));
        v = subgroupBroadcast(a1, 7u);
        c15 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c15))));
        v = subgroupBroadcast(a2, 0u);
        c16 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c16))));
        v = subgroupBroadcast(a2, 1u);
        c17 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c17))));
        v = subgroupBroadcast(a2, 2u);
        c18 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c18))));
        v = subgroupBroadcast(a2, 3u);
        c19 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c19))));
        v = subgroupBroadcast(a2, 4u);
        c20 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c20))));
        v = subgroupBroadcast(a2, 5u);
        c21 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c21))));
        v = subgroupBroadcast(a2, 6u);
        c22 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c22))));
        v = subgroupBroadcast(a2, 7u);
        c23 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c23))));
        v = subgroupBroadcast(a3, 0u);
        c24 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c24))));
        v = subgroupBroadcast(a3, 1u);
        c25 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c25))));
        v = subgroupBroadcast(a3, 2u);
        c26 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c26))));
        v = subgroupBroadcast(a3, 3u);
        c27 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c27))));
        v = subgroupBroadcast(a3, 4u);
        c28 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c28))));
        v = subgroupBroadcast(a3, 5u);
        c29 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c29))));
        v = subgroupBroadcast(a3, 6u);
        c30 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c30))));
        v = subgroupBroadcast(a3, 7u);
        c31 = fma(v.wwww, w3, fma(v.zzzz, w2, fma(v.yyyy, w1, fma(v.xxxx, w0, c31))));
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
    store(row + 16u, column4, c16);
    store(row + 17u, column4, c17);
    store(row + 18u, column4, c18);
    store(row + 19u, column4, c19);
    store(row + 20u, column4, c20);
    store(row + 21u, column4, c21);
    store(row + 22u, column4, c22);
    store(row + 23u, column4, c23);
    store(row + 24u, column4, c24);
    store(row + 25u, column4, c25);
    store(row + 26u, column4, c26);
    store(row + 27u, column4, c27);
    store(row + 28u, column4, c28);
    store(row + 29u, column4, c29);
    store(row + 30u, column4, c30);
    store(row + 31u, column4, c31);
}
