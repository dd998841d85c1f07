// Numbers as 64-bit words, for software Vulkan: llvmpipe reads and writes a buffer one invocation and
// one component after the other, each behind a test of the execution mask and of the buffer's end,
// whatever the width of the component. So two numbers go at a time.
fn four(words: vec2<u64>) -> vec4<f32> {
    return bitcast<vec4<f32>>(vec4<u32>(
        u32(words.x), u32(words.x >> 32u), u32(words.y), u32(words.y >> 32u),
    ));
}

fn words(numbers: vec4<f32>) -> vec2<u64> {
    let bits = bitcast<vec4<u32>>(numbers);
    return vec2<u64>(
        u64(bits.x) | (u64(bits.y) << 32u),
        u64(bits.z) | (u64(bits.w) << 32u),
    );
}
