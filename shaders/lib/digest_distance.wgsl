// How far each query looks, (heads, tokens): Σ w |query - key|.
fn digest(i: u32) {
    let row = params.first_row + i % params.rows;
    let place = vec4<i32>(i32(lines[row].z));
    var sum = 0.0;
    for (var k = 0u; k < params.keys4; k++) {
        let keys = vec4<i32>(i32(4u * k)) + vec4<i32>(0, 1, 2, 3);
        sum += sum4(weights[i * params.keys4 + k] * vec4<f32>(abs(keys - place)));
    }
    result[i / params.rows * params.tokens + row] = sum;
}
