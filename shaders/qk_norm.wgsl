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

/// The sum over the lanes, in the same order in each. `which` tells two sums' memory apart.
fn joined_sum(value: f32, lane: u32, which: u32) -> f32 {
    let first = 64u * which;
    partial[first + lane] = value;
    workgroupBarrier();
    var sum = 0.0;
    for (var i = first; i < first + 64u; i++) {
        sum += partial[i];
    }
    return sum;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let n = f32(params.width);
    let first = group.x * params.qkv4 + group.y * params.joined4;
    var total = 0.0;
    for (var i = lane; i < params.joined4; i += 64u) {
        let v = qkv[first + i];
        total += (v.x + v.y) + (v.z + v.w);
    }
    let mean = joined_sum(total, lane, 0u) / n;
    var squares = 0.0;
    for (var i = lane; i < params.joined4; i += 64u) {
        let column = vec4<u32>(i % params.head4 * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
        let counts = column < vec4<u32>(params.head_dim);
        let d = select(vec4<f32>(0.0), qkv[first + i] - mean, counts);
        squares += dot(d, d);
    }
    let scale = 1.0 / sqrt(joined_sum(squares, lane, 1u) / n + params.eps);
    let gamma = 2u * group.y * params.joined4;
    for (var i = lane; i < params.joined4; i += 64u) {
        let x = (qkv[first + i] - mean) * scale;
        qkv[first + i] = fma(x, weight[gamma + i], weight[gamma + params.joined4 + i]);
    }
}
