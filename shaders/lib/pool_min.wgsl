fn reduce(at: u32, rows: u32) -> vec4<f32> {
    var smallest = x[at];
    for (var i = 1u; i < rows; i++) {
        smallest = min(smallest, x[at + i * params.stride4]);
    }
    return smallest;
}
