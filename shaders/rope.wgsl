// Rotary positions (Su et al. 2021), in place: numbers i and i + half of each head of queries and
// keys turn by the angle of their pair times the token's place in its text. The cosines and sines
// of the places that a batch has are made on the host, where angles are rounded as Transformers
// rounds them.

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
@group(0) @binding(2) var<storage, read> turns: array<vec2<f32>>; // (places, half): cosine, sine
@group(0) @binding(3) var<storage, read_write> qkv: array<f32>; // (tokens, stride)

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let at = group.y * params.row + group.x * 64u + lane;
    if at >= params.pairs {
        return;
    }
    let pair = at % params.half;
    let head = at / params.half % params.heads;
    let token = at / (params.half * params.heads);
    let turn = turns[tokens[token].w * params.half + pair];
    let first = token * params.stride + head * params.head_dim + pair;
    let x = qkv[first];
    let y = qkv[first + params.half];
    qkv[first] = x * turn.x - y * turn.y;
    qkv[first + params.half] = y * turn.x + x * turn.y;
}
