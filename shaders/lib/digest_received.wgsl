// What each key gets, (heads, tokens): the mean over the queries of its text, which come a tile at a time.
fn digest(i: u32) {
    let token = i % params.tokens;
    let head = i / params.tokens;
    let text = lines[token];
    let first = max(params.first_row, text.x);
    let last = min(params.first_row + params.rows, text.x + text.y);
    if first >= last {
        return;
    }
    var sum = 0.0;
    if first != text.x {
        sum = result[i];
    }
    for (var row = first; row < last; row++) {
        sum += weight(head * params.rows + row - params.first_row, text.z);
    }
    if last == text.x + text.y {
        sum /= f32(text.y);
    }
    result[i] = sum;
}
