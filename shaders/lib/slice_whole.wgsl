// What a slice reads is there as it is.
fn value_at(at: u32, column: u32) -> vec4<f32> {
    return load4(x[at]);
}
