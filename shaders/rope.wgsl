// Rotary positions (Su et al. 2021), in place: numbers i and i + half of each head of queries and
// keys turn by the angle of their pair times the token's place in its text. The cosines and sines
// of the places that a batch has are made on the host, where angles are rounded as Transformers
// rounds them. A lib file turns PAIRS pairs that lie together (`rotate`).

struct RopeParams {
    pairs: u32,
    row: u32,
    heads: u32,
    half: u32,
    head_dim: u32,
    stride: u32,
}

@group(0) @binding(0) var<uniform> params: RopeParams;
@group(0) @binding(1) var<storage, read> tokens: array<vec4<u32>>; // (tokens): .w is the place

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let at = group.y * params.row + group.x * 64u + lane;
    if at >= params.pairs / PAIRS {
        return;
    }
    let half = params.half / PAIRS;
    let pair = at % half;
    let head = at / half % params.heads;
    let token = at / (half * params.heads);
    let first = (token * params.stride + head * params.head_dim) / PAIRS + pair;
    rotate(first, first + half, tokens[token].w * half + pair);
}
