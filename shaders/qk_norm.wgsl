// Normalises queries and keys in place, each over all its heads at once (Jina's code models), one
// workgroup for the queries of a token and one for its keys. Heads lie a whole number of vectors
// apart; what pads them is zero, takes no part, and stays zero since its γ and β are.

struct QkNormParams {
    qkv4: u32,
    joined4: u32,
    head4: u32,
    head_dim: u32,
    width: u32,
    eps: f32,
    rows: u32,
}

@group(0) @binding(0) var<uniform> params: QkNormParams;
@group(0) @binding(1) var<storage, read> weight: array<vec4<f32>>; // (2, 2, joined4): γ, β of each
@group(0) @binding(2) var<storage, read_write> qkv: array<vec4<f32>>; // (tokens, qkv4)

var<workgroup> partial: array<f32, 128>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let n = f32(params.width);
    let first = group.x * params.qkv4 + group.y * params.joined4;
    var total = 0.0;
    for (var i = lane; i < params.joined4; i += 64u) {
        let v = qkv[first + i];
        total += (v.x + v.y) + (v.z + v.w);
    }
    // Sums over the lanes, in the same order in each.
    partial[lane] = total;
    workgroupBarrier();
    var sum = 0.0;
    for (var i = 0u; i < 64u; i++) {
        sum += partial[i];
    }
    let mean = sum / n;
    var squares = 0.0;
    for (var i = lane; i < params.joined4; i += 64u) {
        let column = vec4<u32>(i % params.head4 * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
        let counts = column < vec4<u32>(params.head_dim);
        let d = select(vec4<f32>(0.0), qkv[first + i] - mean, counts);
        squares += dot(d, d);
    }
    // In memory of its own, so that none waits for readers of the first.
    partial[64u + lane] = squares;
    workgroupBarrier();
    sum = 0.0;
    for (var i = 64u; i < 128u; i++) {
        sum += partial[i];
    }
    let scale = 1.0 / sqrt(sum / n + params.eps);
    let gamma = 2u * group.y * params.joined4;
    for (var i = lane; i < params.joined4; i += 64u) {
        let x = (qkv[first + i] - mean) * scale;
        qkv[first + i] = fma(x, weight[gamma + i], weight[gamma + params.joined4 + i]);
    }
}
