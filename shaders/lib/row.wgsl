// One row of a hidden state, 64 invocations a row: the sum over a row, normalisation, and the
// flag that a number is not finite. A kernel that uses it has `params`, `weight`, `status`, and
// says where a row is read (`row_at`) and written (`put_row`).

var<workgroup> partial: array<f32, 64>;

/// The sum over the workgroup, the same bits in every invocation. A tree, so the order of the
/// sum depends on the width alone.
fn workgroup_sum(value: f32, lane: u32) -> f32 {
    partial[lane] = value;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if lane < half {
            partial[lane] += partial[lane + half];
        }
        workgroupBarrier();
    }
    let total = partial[0];
    workgroupBarrier();
    return total;
}

fn sum4(v: vec4<f32>) -> f32 {
    return (v.x + v.y) + (v.z + v.w);
}

/// 1 where a number of `v` is NaN or infinite, told by its exponent bits: comparisons with NaN
/// may be optimised away (WGSL's finite math assumption).
fn not_finite(v: vec4<f32>) -> bool {
    let exponent = bitcast<vec4<u32>>(v) & vec4<u32>(0x7f800000u);
    return any(exponent == vec4<u32>(0x7f800000u));
}

/// `v` with the columns at and past `width` set to zero; `column` is that of its first number.
fn within(v: vec4<f32>, column: u32, width: u32) -> vec4<f32> {
    let columns = vec4<u32>(column) + vec4<u32>(0u, 1u, 2u, 3u);
    return select(vec4<f32>(0.0), v, columns < vec4<u32>(width));
}

/// γ (x - mean) / √(var + ε) + β over row `row` (Ba et al. 2016). Mean and variance in two passes
/// in f32, since squares lose what their difference needs.
fn normalize_row(row: u32, lane: u32) {
    let start = row * params.stride4;
    let n = f32(params.width);

    // Columns past the width hold zero and add nothing.
    var sum = 0.0;
    for (var i = lane; i < params.stride4; i += 64u) {
        sum += sum4(row_at(start + i));
    }
    let mean = workgroup_sum(sum, lane) / n;

    var square = 0.0;
    for (var i = lane; i < params.stride4; i += 64u) {
        let d = within(row_at(start + i) - mean, 4u * i, params.width);
        square += sum4(d * d);
    }
    let scale = 1.0 / sqrt(workgroup_sum(square, lane) / n + params.eps);

    // γ and β are zero past the width, and so is the result.
    var bad = false;
    for (var i = lane; i < params.stride4; i += 64u) {
        let value = fma((row_at(start + i) - mean) * scale, weight[i], weight[params.stride4 + i]);
        bad = bad || not_finite(value);
        put_row(start + i, value);
    }
    if bad {
        atomicMax(&status[params.state], row + 1u);
    }
}
