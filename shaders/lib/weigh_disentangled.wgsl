// DeBERTa's disentangled attention (He et al. 2021, eq. 4): a query meets the key of a relative position, a key
// the query of it, before all is scaled. See attention_disentangled.wgsl.
@group(0) @binding(4) var<storage, read> places: array<vec4<f32>>; // (2 span, 2, heads, head4): queries, keys
@group(0) @binding(5) var<storage, read> place_of: array<u32>; // (2 reach + 1): row of a distance

fn begin(head: u32) {}

/// What the pair adds.
fn near(text: vec4<u32>, key: u32, head: u32) -> f32 {
    let reach = i32(params.reach);
    let distance = clamp(i32(text.z) - i32(key), -reach, reach) + reach;
    let place = place_of[distance] * 2u * params.out4 + head * params.head4;
    let query = (text.x + text.z) * params.qkv4 + head * params.head4;
    let to_key = (text.x + key) * params.qkv4 + params.out4 + head * params.head4;
    var sum = vec4<f32>(0.0);
    for (var i = 0u; i < params.head4; i++) {
        sum = fma(load4(qkv[query + i]), places[place + params.out4 + i], sum);
        sum = fma(load4(qkv[to_key + i]), places[place + i], sum);
    }
    return sum4(sum);
}

fn scored(s: vec4<f32>, text: vec4<u32>, key: u32, head: u32) -> vec4<f32> {
    let keys = min(vec4<u32>(key) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(text.w - 1u));
    let added = vec4<f32>(near(text, keys.x, head), near(text, keys.y, head), near(text, keys.z, head), near(text, keys.w, head));
    return (s + added) * params.scale;
}
