// Weights of attention become what is asked of them, one invocation a number of the result (or a few), each by
// itself: a row's bits depend on its text alone. The file behind says what `digest` does.

struct DigestParams {
    count: u32,
    row: u32,
    rows: u32,
    first_row: u32,
    keys4: u32,
    heads: u32,
    tokens: u32,
    top: u32,
}

@group(0) @binding(0) var<uniform> params: DigestParams;
@group(0) @binding(1) var<storage, read> weights: array<vec4<f32>>; // (heads, rows, keys4)
@group(0) @binding(2) var<storage, read> lines: array<vec4<u32>>; // (tokens): first row of its text, tokens, its place, keys
@group(0) @binding(3) var<storage, read_write> result: array<f32>;

fn sum4(v: vec4<f32>) -> f32 {
    return (v.x + v.y) + (v.z + v.w);
}

/// The weight of a key in a row of the tile.
fn weight(at: u32, key: u32) -> f32 {
    return weights[at * params.keys4 + key / 4u][key % 4u];
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.y * params.row + id.x;
    if i < params.count {
        digest(i);
    }
}
