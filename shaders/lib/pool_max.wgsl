fn reduce(at: u32, rows: u32) -> vec4<f32> {
    var largest = x[at];
    for (var i = 1u; i < rows; i++) {
        largest = max(largest, x[at + i * params.stride4]);
    }
    return largest;
}
