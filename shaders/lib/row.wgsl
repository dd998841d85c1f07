// One row of a hidden state, LANES invocations a row: normalisation, and the flag that a number is
// not finite. The row lies in registers (`Held`): read
// once, written once. A kernel that uses it has `params`, `weight`, `status` (one bit a row, then one
// word a state), and says where a vector of a row is read (`row_at`) and written (`put_row`). It has
// the entry point, since no function but that one touches workgroup memory (shaders/README.md).

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

/// Vector `i` of a row; zero past its end.
fn load_part(row: u32, i: u32) -> vec4<f32> {
    if i < params.stride4 {
        return row_at(row, i);
    }
    return vec4<f32>(0.0);
}

/// Writes γ x + β for vector `i` and tells whether it is not finite. γ and β are zero past the
/// width, and so is the result.
fn put_part(x: vec4<f32>, row: u32, i: u32) -> bool {
    if i >= params.stride4 {
        return false;
    }
    var value = x;
    if SCALED {
        value = fma(x, weight[i], weight[params.stride4 + i]);
    }
    put_row(row * params.stride4 + i, value);
    return not_finite(value);
}

/// An invocation's vectors of a row, LANES apart: HELD of them.
struct Held {
//: for i in 0..HELD
    v${i}: vec4<f32>,
//: end
}

fn load(row: u32, lane: u32) -> Held {
    return Held(
//: for i in 0..HELD
        load_part(row, lane + ${i}u * LANES),
//: end
    );
}

fn sum_held(h: Held) -> f32 {
    var sum = h.v0;
//: for i in 1..HELD
    sum += h.v${i};
//: end
    return sum4(sum);
}

fn sum_squares(h: Held, mean: f32, lane: u32) -> f32 {
    var sum = vec4<f32>(0.0);
    var d: vec4<f32>;
//: for i in 0..HELD
    d = within(h.v${i} - mean, 4u * (lane + ${i}u * LANES), params.width);
    sum = fma(d, d, sum);
//: end
    return sum4(sum);
}

/// Writes the vectors and tells whether one of them is not finite.
fn put(h: Held, mean: f32, scale: f32, row: u32, lane: u32) -> bool {
    var bad = false;
//: for i in 0..HELD
    bad = put_part((h.v${i} - mean) * scale, row, lane + ${i}u * LANES) || bad;
//: end
    return bad;
}

//: if SUM_MEMORY > 0
var<workgroup> partial: array<f32, SUM_MEMORY>; // two sums, so that none waits for readers of the other
//: end

/// γ (x - mean) / √(var + ε) + β over row `group.x` (Ba et al. 2016), γ x / √(mean x² + ε) where it is
/// not CENTERED (Zhang and Sennrich 2019), x itself where it is not SCALED. Mean and variance in two passes
/// in f32, since squares lose what their difference needs.
@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
//: if SUBGROUPS
    @builtin(subgroup_id) own_subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
//: end
) {
    let row = group.x;
    let n = f32(params.width);
    let held = load(row, lane);
    var mean = 0.0;
    var scale = 1.0;
    // Columns past the width hold zero and add nothing.
//: for which in 0..2
//:   if which == 0
    if CENTERED {
        let value = sum_held(held);
//:   else
    if SCALED {
        let value = sum_squares(held, mean, lane);
//:   end
//:   if SUM_SHARED
        // Through workgroup memory: every lane adds all of them, in the same order, the same bits in every
        // one; one barrier where a tree has six.
        partial[${which}u * LANES + lane] = value;
        workgroupBarrier();
        var parts = vec4<f32>(0.0);
        for (var i = ${which}u * LANES; i < ${which + 1}u * LANES; i += 4u) {
            parts += vec4<f32>(partial[i], partial[i + 1u], partial[i + 2u], partial[i + 3u]);
        }
        let sum = sum4(parts);
//:   else
        var sum = subgroupAdd(value);
//:     if SUBGROUPS
        // Then over the subgroups through workgroup memory, in the order of their numbers. How many there
        // are (8 at most) is known at run time alone, and WGSL does not promise which lanes make one.
        if subgroups > 1u {
            if lane == subgroupBroadcastFirst(lane) {
                partial[${8 * which}u + own_subgroup] = sum;
            }
            workgroupBarrier();
            sum = partial[${8 * which}u];
            for (var i = 1u; i < subgroups; i++) {
                sum += partial[${8 * which}u + i];
            }
        }
//:     end
//:   end
//:   if which == 0
        mean = sum / n;
//:   else
        scale = 1.0 / sqrt(sum / n + params.eps);
//:   end
    }
//: end
    if put(held, mean, scale, row, lane) {
        atomicOr(&status[row / 32u], 1u << (row % 32u));
        atomicMax(&status[(params.rows + 31u) / 32u + params.state], row + 1u);
    }
}
