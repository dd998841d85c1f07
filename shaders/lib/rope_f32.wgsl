// Queries and keys stored as f32: a pair of numbers at a time.
const PAIRS = 1u;

@group(0) @binding(2) var<storage, read> turns: array<vec2<f32>>; // (places, half): cosine, sine
@group(0) @binding(3) var<storage, read_write> qkv: array<f32>; // (tokens, stride)

fn rotate(first: u32, second: u32, turn: u32) {
    let t = turns[turn];
    let x = qkv[first];
    let y = qkv[second];
    qkv[first] = x * t.x - y * t.y;
    qkv[second] = y * t.x + x * t.y;
}
