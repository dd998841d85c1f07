// Sliding window: keys at most `reach` away. Tiles wholly outside are not visited; inside, what is
// too far gets the sentinel, whose weight is zero as soon as one key of the window was seen.
fn begin(head: u32) {}

fn first_key(query: u32) -> u32 {
    return (query - min(query, params.reach)) / 8u * 8u;
}

fn last_key(query: u32, length: u32) -> u32 {
    return min(query + ROWS + params.reach, length);
}

/// The sentinel for keys that are too far from `query`, or not before `end`.
fn within(s: vec4<f32>, query: u32, key: u32, end: u32) -> vec4<f32> {
    let least = query - min(query, params.reach);
    let past = max(min(query + params.reach + 1u, end), least);
    // A key before the least one is far behind the last, since the difference wraps.
    let near = vec4<u32>(key - least) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(past - least);
    return select(vec4<f32>(FAR), s, near);
}

fn adjust(s: vec4<f32>, query: u32, key: u32) -> vec4<f32> {
    return within(s, query, key, key + 4u);
}
