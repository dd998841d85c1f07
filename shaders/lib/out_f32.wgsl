// The activations that a kernel writes are stored as f32: four numbers are one vector.
alias Out4 = vec4<f32>;

fn store4(v: vec4<f32>) -> Out4 {
    return v;
}
