// Relative positions (Raffel et al. 2020): a row of the distance key - query, a number a head. The
// buckets were spread over distances at load. Scores are in base 2.
@group(0) @binding(4) var<storage, read> distances: array<f32>; // (2 reach + 1, line)

var<private> bias_head: u32;

fn begin(head: u32) {
    bias_head = head;
}

fn bias(distance: i32) -> f32 {
    let reach = i32(params.reach);
    return distances[u32(clamp(distance, -reach, reach) + reach) * params.line + bias_head];
}

fn adjust(s: vec4<f32>, query: u32, key: u32) -> vec4<f32> {
    let d = i32(key) - i32(query);
    let b = vec4<f32>(bias(d), bias(d + 1), bias(d + 2), bias(d + 3));
    return fma(b, vec4<f32>(1.4426950408889634), s);
}
