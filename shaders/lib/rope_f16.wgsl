// Queries and keys stored as f16, two in a u32: two pairs of numbers at a time, as they lie. What f16
// does not hold becomes NaN (out_f16.wgsl).
const PAIRS = 2u;

@group(0) @binding(2) var<storage, read> turns: array<vec4<f32>>; // (places, half / 2): cosine, sine, twice
@group(0) @binding(3) var<storage, read_write> qkv: array<u32>; // (tokens, stride / 2)

fn rotate(first: u32, second: u32, turn: u32) {
    let t = turns[turn];
    let x = unpack2x16float(qkv[first]);
    let y = unpack2x16float(qkv[second]);
    let turned = store4(vec4<f32>(x * t.xz - y * t.yw, y * t.xz + x * t.yw));
    qkv[first] = turned.x;
    qkv[second] = turned.y;
}
