// What a slice reads was left in parts, those of a product that was split along k or the experts of a
// token: x is (parts, rows, in4), its parts are added in their order, then the bias, as norm_parts.wgsl
// does.
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>; // (out4)

fn value_at(at: u32, column: u32) -> vec4<f32> {
    let part4 = params.vectors / params.out4 * params.in4;
    var sum = load4(x[at]);
    for (var part = 1u; part < params.parts; part++) {
        sum += load4(x[part * part4 + at]);
    }
    return sum + bias[column];
}
