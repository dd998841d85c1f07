// What every variant of attention reads and writes.

struct AttentionParams {
    qkv4: u32,
    out4: u32,
    scale: f32,
    kv4: u32,
    group: u32,
    reach: u32,
    line: u32,
    first_head: u32,
}

@group(0) @binding(0) var<uniform> params: AttentionParams;
@group(0) @binding(1) var<storage, read> qkv: array<In4>; // (tokens, heads + 2 kv_heads, HEAD_DIM4)
@group(0) @binding(2) var<storage, read> tiles: array<vec4<u32>>; // first row, tokens, first query, tokens at the end that are no keys
@group(0) @binding(3) var<storage, read_write> context: array<Out4>; // (tokens, heads, HEAD_DIM4)

const FAR = -1e30;

/// The scores of eight keys.
struct Scores {
    a: vec4<f32>,
    b: vec4<f32>,
}

fn sum4(v: vec4<f32>) -> f32 {
    return (v.x + v.y) + (v.z + v.w);
}
