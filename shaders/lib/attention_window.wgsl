// Sliding window: keys at most `reach` away. Tiles wholly outside are not visited; inside, what is
// too far gets the sentinel, whose weight is zero as soon as one key of the window was seen.
fn begin(head: u32) {}

fn first_key(query: u32) -> u32 {
    return (query - min(query, params.reach)) / 8u * 8u;
}

fn last_key(query: u32, length: u32) -> u32 {
    return min(query + ROWS + params.reach, length);
}

fn adjust(s: vec4<f32>, query: u32, key: u32) -> vec4<f32> {
    let keys = vec4<u32>(key) + vec4<u32>(0u, 1u, 2u, 3u);
    let near = (vec4<u32>(query) <= keys + params.reach) & (keys <= vec4<u32>(query + params.reach));
    return select(vec4<f32>(FAR), s, near);
}
