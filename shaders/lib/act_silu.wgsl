// x / (1 + exp(-x)); the clamp keeps exp finite where x is far below zero.
fn activate(x: vec4<f32>) -> vec4<f32> {
    return x / (1.0 + exp(min(-x, vec4<f32>(80.0))));
}
