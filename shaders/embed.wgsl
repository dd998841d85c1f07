// x = norm(word[id] + position[p] + type[t]): one workgroup a token gathers three table rows and
// normalises their sum.

struct EmbedParams {
    rows: u32,
    stride4: u32,
    width: u32,
    eps: f32,
    state: u32,
    parts: u32,
}

@group(0) @binding(0) var<uniform> params: EmbedParams;
@group(0) @binding(1) var<storage, read> tokens: array<vec4<u32>>; // (rows): word, position, type
@group(0) @binding(2) var<storage, read> word: array<WordRow>; // (words, stride4)
@group(0) @binding(3) var<storage, read> position: array<Packed4>; // (positions, stride4)
@group(0) @binding(4) var<storage, read> token_type: array<Packed4>; // (types, stride4)
@group(0) @binding(5) var<storage, read> weight: array<vec4<f32>>; // (2, stride4): γ, β
@group(0) @binding(6) var<storage, read_write> x: array<vec4<f32>>; // (rows, stride4)
@group(0) @binding(7) var<storage, read_write> status: array<atomic<u32>>; // (rows / 32 + states)

fn row_at(row: u32, i: u32) -> vec4<f32> {
    let token = tokens[row] * params.stride4;
    return unpack_word(word[token.x + i]) + unpack4(token_type[token.z + i]) + unpack4(position[token.y + i]);
}

fn put_row(at: u32, value: vec4<f32>) {
    x[at] = value;
}
