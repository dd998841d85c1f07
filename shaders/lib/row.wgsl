// One row of a hidden state, 64 invocations a row: the sum over a row, normalisation, and the
// flag that a number is not finite. Used by embed.wgsl and norm.wgsl.

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
