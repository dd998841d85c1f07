// softmax((q kᵀ + content to position + position to content) / √(3d)) v within each text: DeBERTa's
// disentangled attention (He et al. 2021, eq. 4), online over the keys as attention.wgsl, for processors that
// play a GPU; lib/attention_disentangled.wgsl has it for GPUs.
//
// One query row an invocation, one key at a time from the start of the text. The position of a
// pair is a row of the distance query - key: q meets its key, k its query. Scores and gathered
// positions never reach memory. The bits of a row depend on its text alone.

@group(0) @binding(4) var<storage, read> places: array<vec4<f32>>; // (2 span, 2, heads, HEAD_DIM4): queries, keys
@group(0) @binding(5) var<storage, read> place_of: array<u32>; // (2 reach + 1): row of a distance

/// Vectors of a query that stay in registers; those of a larger head are read again at each key.
const HELD4 = min(HEAD_DIM4, 8u);

@compute @workgroup_size(ROWS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let tile = tiles[group.x];
    let first = tile.x;
    let length = tile.y;
    let head = (params.first_head + group.y) * HEAD_DIM4;
    let query = tile.z + index;
    // Nothing waits for the others: an invocation past the end of the text is done.
    if query >= length {
        return;
    }
    let row = first + query;
    var q: array<vec4<f32>, HELD4>;
    var o: array<vec4<f32>, HEAD_DIM4>;
    let own = row * params.qkv4 + head;
    for (var i = 0u; i < HEAD_DIM4; i++) {
        o[i] = vec4<f32>(0.0);
        if i < HELD4 {
            q[i] = load4(qkv[own + i]);
        }
    }
    var largest = FAR;
    var total = 0.0;
    let reach = i32(params.reach);
    for (var key = 0u; key < length - tile.w; key++) {
        let at = (first + key) * params.qkv4 + params.out4 + head;
        let distance = clamp(i32(query) - i32(key), -reach, reach) + reach;
        let place = place_of[distance] * 2u * params.out4 + head;
        var content = vec4<f32>(0.0);
        var position = vec4<f32>(0.0);
        for (var i = 0u; i < HEAD_DIM4; i++) {
            let k = load4(qkv[at + i]);
            var part: vec4<f32>;
            if i < HELD4 {
                part = q[i];
            } else {
                part = load4(qkv[own + i]);
            }
            content = fma(part, k + places[place + params.out4 + i], content);
            position = fma(k, places[place + i], position);
        }
        let s = (sum4(content) + sum4(position)) * params.scale;
        let next = max(largest, s);
        let fade = exp2(largest - next);
        let p = exp2(s - next);
        total = fma(total, fade, p);
        largest = next;
        for (var i = 0u; i < HEAD_DIM4; i++) {
            o[i] = fma(vec4<f32>(p), load4(qkv[at + params.kv4 + i]), o[i] * fade);
        }
    }
    let factor = 1.0 / total;
    for (var i = 0u; i < HEAD_DIM4; i++) {
        context[row * params.out4 + head + i] = store4(o[i] * factor);
    }
}
