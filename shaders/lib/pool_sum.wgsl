// The sum of the rows, each times `weight`, in blocks of 16: a plain chain over 512 rows would
// lose three more bits.
fn sum_rows(at: u32, rows: u32) -> vec4<f32> {
    var sum = vec4<f32>(0.0);
    for (var block = 0u; block < rows; block += 16u) {
        var part = vec4<f32>(0.0);
        let end = min(block + 16u, rows);
        for (var i = block; i < end; i++) {
            part = fma(vec4<f32>(weight(i)), x[at + i * params.stride4], part);
        }
        sum += part;
    }
    return sum;
}
