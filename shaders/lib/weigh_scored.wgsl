// Scores with what attention adds to them.
fn scored(s: vec4<f32>, text: vec4<u32>, key: u32, head: u32) -> vec4<f32> {
    return adjust(s * params.scale, text.z, key);
}
