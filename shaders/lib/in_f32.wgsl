// The activations that a kernel reads are stored as f32: four numbers are one vector.
alias In4 = vec4<f32>;

fn load4(p: In4) -> vec4<f32> {
    return p;
}
