// The neighbours of each token side by side, which makes a convolution over tokens a product: y is
// (tokens, taps, stride4), tap i of a token being its text's token i - taps / 2 further on, or zeros
// where the text has none there.

struct Im2colParams {
    vectors: u32,
    row: u32,
    stride4: u32,
    taps: u32,
}

@group(0) @binding(0) var<uniform> params: Im2colParams;
@group(0) @binding(1) var<storage, read> tokens: array<vec4<u32>>; // (tokens): .w is the place
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>; // (tokens, stride4)
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>; // (tokens, taps, stride4)

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let at = group.y * params.row + group.x * 64u + lane;
    if at >= params.vectors {
        return;
    }
    let column = at % params.stride4;
    let tap = at / params.stride4 % params.taps;
    let token = at / (params.stride4 * params.taps);
    let rows = params.vectors / (params.stride4 * params.taps);
    // Both shifted up by the reach, so that nothing is below zero.
    let reach = params.taps / 2u;
    let near = token + tap;
    var value = vec4<f32>(0.0);
    if near >= reach && near - reach < rows {
        // Places of one text rise by one a token; another text's token is at another place.
        if tokens[near - reach].w + reach == tokens[token].w + tap {
            value = x[(near - reach) * params.stride4 + column];
        }
    }
    y[at] = value;
}
