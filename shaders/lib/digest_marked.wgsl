// What each query gives to the keys that are marked, (heads, tokens).
@group(0) @binding(4) var<storage, read> marks: array<f32>; // (tokens): 1 or 0

fn digest(i: u32) {
    let row = params.first_row + i % params.rows;
    let text = lines[row];
    var sum = 0.0;
    for (var key = 0u; key < text.w; key++) {
        sum += weight(i, key) * marks[text.x + key];
    }
    result[i / params.rows * params.tokens + row] = sum;
}
