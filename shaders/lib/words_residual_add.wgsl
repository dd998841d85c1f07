@group(0) @binding(5) var<storage, read> residual: array<vec2<u64>>; // (m, n4)

fn add_residual(value: vec4<f32>, at: u32) -> vec4<f32> {
    return value + four(residual[at]);
}
