fn reduce(at: u32, rows: u32) -> vec4<f32> {
    return x[at + (rows - 1u) * params.stride4];
}
