// The largest weights of each query, the largest first and of equal ones the first, then their keys,
// (heads, tokens, 2, top). Where a text has fewer keys, the rest is 0, and -1.
fn digest(i: u32) {
    let row = params.first_row + i % params.rows;
    let keys = lines[row].w;
    let to = (i / params.rows * params.tokens + row) * 2u * params.top;
    var last = 2.0;
    var last_key = 0u;
    for (var n = 0u; n < params.top; n++) {
        var best = -1.0;
        var best_key = 0u;
        for (var key = 0u; key < keys; key++) {
            let w = weight(i, key);
            let is_left = w < last || (w == last && key > last_key);
            if is_left && w > best {
                best = w;
                best_key = key;
            }
        }
        if best < 0.0 {
            result[to + n] = 0.0;
            result[to + params.top + n] = -1.0;
        } else {
            result[to + n] = best;
            result[to + params.top + n] = f32(best_key);
            last = best;
            last_key = best_key;
        }
    }
}
