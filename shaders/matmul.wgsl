// C = activate(A Wᵀ + b) (+ residual), tiles in workgroup memory: for GPUs.
//
// 64 invocations compute a tile of 64 x 64, each 8 rows by 8 columns in sixteen named vectors:
// an indexed array would not be kept in registers by every compiler. Tiles of A and W of depth 16
// lie in workgroup memory, A turned so that a row of four is one vector. W is packed at load into
// panels of 64 columns, padded with zeros to whole tiles, so it is read without a bound.
//
// Every number of C is one chain of fused multiply-adds over k = 0, 1, 2, ...: its bits depend on
// its row of A alone, not on the rows beside it.

var<workgroup> tile_a: array<vec4<f32>, 256>; // (16 k, 16 groups of 4 rows)
var<workgroup> tile_w: array<vec4<f32>, 256>; // (16 k, 16 groups of 4 columns)

fn load_a(row: u32, k4: u32) -> vec4<f32> {
    if row < params.m && k4 < params.k4 {
        return a[row * params.k4 + k4];
    }
    return vec4<f32>(0.0);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group.y * 64u;
    let column4 = group.x * 16u;
    let x = lane % 8u; // columns 4x.. and 32 + 4x..
    let y = lane / 8u; // rows 8y..8y + 8
    // What this invocation loads: four rows of A at one k4, four vectors of W.
    let load_row = row + 4u * (lane / 4u);
    let load_k4 = lane % 4u;
    let panel = group.x * params.k_steps * 256u;

    var c00 = vec4<f32>(0.0); var c01 = vec4<f32>(0.0);
    var c10 = vec4<f32>(0.0); var c11 = vec4<f32>(0.0);
    var c20 = vec4<f32>(0.0); var c21 = vec4<f32>(0.0);
    var c30 = vec4<f32>(0.0); var c31 = vec4<f32>(0.0);
    var c40 = vec4<f32>(0.0); var c41 = vec4<f32>(0.0);
    var c50 = vec4<f32>(0.0); var c51 = vec4<f32>(0.0);
    var c60 = vec4<f32>(0.0); var c61 = vec4<f32>(0.0);
    var c70 = vec4<f32>(0.0); var c71 = vec4<f32>(0.0);

    for (var step = 0u; step < params.k_steps; step++) {
        let k4 = step * 4u + load_k4;
        let turned = transpose(mat4x4<f32>(
            load_a(load_row, k4),
            load_a(load_row + 1u, k4),
            load_a(load_row + 2u, k4),
            load_a(load_row + 3u, k4),
        ));
        let at = load_k4 * 64u + lane / 4u;
        tile_a[at] = turned[0];
        tile_a[at + 16u] = turned[1];
        tile_a[at + 32u] = turned[2];
        tile_a[at + 48u] = turned[3];
        let from_w = panel + step * 256u + lane;
        tile_w[lane] = unpack4(w[from_w]);
        tile_w[lane + 64u] = unpack4(w[from_w + 64u]);
        tile_w[lane + 128u] = unpack4(w[from_w + 128u]);
        tile_w[lane + 192u] = unpack4(w[from_w + 192u]);
        workgroupBarrier();

        for (var k = 0u; k < 16u; k++) {
            let a0 = tile_a[k * 16u + 2u * y];
            let a1 = tile_a[k * 16u + 2u * y + 1u];
            let w0 = tile_w[k * 16u + x];
            let w1 = tile_w[k * 16u + x + 8u];
            c00 = fma(a0.xxxx, w0, c00); c01 = fma(a0.xxxx, w1, c01);
            c10 = fma(a0.yyyy, w0, c10); c11 = fma(a0.yyyy, w1, c11);
            c20 = fma(a0.zzzz, w0, c20); c21 = fma(a0.zzzz, w1, c21);
            c30 = fma(a0.wwww, w0, c30); c31 = fma(a0.wwww, w1, c31);
            c40 = fma(a1.xxxx, w0, c40); c41 = fma(a1.xxxx, w1, c41);
            c50 = fma(a1.yyyy, w0, c50); c51 = fma(a1.yyyy, w1, c51);
            c60 = fma(a1.zzzz, w0, c60); c61 = fma(a1.zzzz, w1, c61);
            c70 = fma(a1.wwww, w0, c70); c71 = fma(a1.wwww, w1, c71);
        }
        workgroupBarrier();
    }

    let r = row + 8u * y;
    let left = column4 + x;
    let right = left + 8u;
    store(r, left, c00);      store(r, right, c01);
    store(r + 1u, left, c10); store(r + 1u, right, c11);
    store(r + 2u, left, c20); store(r + 2u, right, c21);
    store(r + 3u, left, c30); store(r + 3u, right, c31);
    store(r + 4u, left, c40); store(r + 4u, right, c41);
    store(r + 5u, left, c50); store(r + 5u, right, c51);
    store(r + 6u, left, c60); store(r + 6u, right, c61);
    store(r + 7u, left, c70); store(r + 7u, right, c71);
}
