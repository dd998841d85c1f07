// The entropy of each query's weights in nats, (heads, tokens): -Σ w ln w.
fn digest(i: u32) {
    let row = i % params.rows;
    var sum = 0.0;
    for (var k = 0u; k < params.keys4; k++) {
        let w = weights[i * params.keys4 + k];
        // Of a weight of zero nothing is added.
        sum -= sum4(w * log(max(w, vec4<f32>(1e-37))));
    }
    result[i / params.rows * params.tokens + params.first_row + row] = sum;
}
