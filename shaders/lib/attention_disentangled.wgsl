// Two products with relative positions are added to a score: DeBERTa's disentangled attention (He et al.
// 2021, eq. 4). The position of a pair is a row of the distance query - key: the query meets its key, the
// key its query, which the scale of the query has not reached. Gathered positions never reach memory.

@group(0) @binding(4) var<storage, read> places: array<vec4<f32>>; // (2 span, 2, heads, HEAD_DIM4): queries, keys
@group(0) @binding(5) var<storage, read> place_of: array<u32>; // (2 reach + 1): row of a distance

var<private> own_head: u32;

fn begin(head: u32) {
    own_head = head * HEAD_DIM4;
}

fn adjust(s: vec4<f32>, query: u32, key: u32) -> vec4<f32> {
    return s;
}

/// Where the positions of a pair begin.
fn position(query: u32, key: u32) -> u32 {
    let reach = i32(params.reach);
    let distance = clamp(i32(query) - i32(key), -reach, reach) + reach;
    return place_of[distance] * 2u * params.out4 + own_head;
}

/// Vector `i` of part `part` of a position that starts at `at`; zero past the head.
fn position_part(at: u32, i: u32, part: u32) -> vec4<f32> {
    let d = i * PARTS + part;
    if LINE == HEAD_DIM4 || d < HEAD_DIM4 {
        return places[at + d];
    }
    return vec4<f32>(0.0);
}
