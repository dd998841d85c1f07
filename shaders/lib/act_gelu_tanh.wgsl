// GELU's tanh form, x/2 (1 + tanh(√(2/π)(x + 0.044715 x³))), as x / (1 + exp(-2u)): exact in the
// tails, and no tanh, whose built-in is allowed an error of 1e-5. The clamp keeps exp finite.
fn activate(x: vec4<f32>) -> vec4<f32> {
    let u = 0.7978845608 * fma(0.044715 * x * x, x, x);
    return x / (1.0 + exp(min(-2.0 * u, vec4<f32>(80.0))));
}
