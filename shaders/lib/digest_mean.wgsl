// The mean over the heads, (rows, 4 keys4).
fn digest(i: u32) {
    var sum = 0.0;
    for (var head = 0u; head < params.heads; head++) {
        sum += weights[(head * params.rows) * params.keys4 + i / 4u][i % 4u];
    }
    result[i] = sum / f32(params.heads);
}
