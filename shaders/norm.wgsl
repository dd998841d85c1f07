// y = γ (x - mean) / √(var + ε) + β over each row (Ba et al. 2016). One workgroup a row; mean and
// variance in two passes in f32, since squares lose what their difference needs.

struct NormParams {
    rows: u32,
    stride4: u32,
    width: u32,
    eps: f32,
    state: u32,
}

@group(0) @binding(0) var<uniform> params: NormParams;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>; // (rows, stride4)
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>; // (2, stride4): γ, β
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>; // (rows, stride4)
@group(0) @binding(4) var<storage, read_write> status: array<atomic<u32>>; // (states)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group.x;
    let start = row * params.stride4;
    let n = f32(params.width);

    // Columns past the width hold zero and add nothing.
    var sum = 0.0;
    for (var i = lane; i < params.stride4; i += 64u) {
        sum += sum4(x[start + i]);
    }
    let mean = workgroup_sum(sum, lane) / n;

    var square = 0.0;
    for (var i = lane; i < params.stride4; i += 64u) {
        let d = within(x[start + i] - mean, 4u * i, params.width);
        square += sum4(d * d);
    }
    let scale = 1.0 / sqrt(workgroup_sum(square, lane) / n + params.eps);

    // γ and β are zero past the width, and so is the result.
    var bad = false;
    for (var i = lane; i < params.stride4; i += 64u) {
        let value = fma((x[start + i] - mean) * scale, weight[i], weight[params.stride4 + i]);
        bad = bad || not_finite(value);
        y[start + i] = value;
    }
    if bad {
        atomicMax(&status[params.state], row + 1u);
    }
}
