// What was left in parts, those of a product that was split along k or the experts of a token: x is
// (parts, rows, stride4), its parts are added in their order, then bias and residual.
@group(0) @binding(5) var<storage, read> bias: array<vec4<f32>>; // (stride4)
@group(0) @binding(6) var<storage, read> residual: array<vec4<f32>>; // (rows, stride4)

fn row_at(row: u32, i: u32) -> vec4<f32> {
    let at = row * params.stride4 + i;
    var sum = x[at];
    for (var part = 1u; part < params.parts; part++) {
        sum += x[part * params.rows * params.stride4 + at];
    }
    return sum + bias[i] + residual[at];
}
