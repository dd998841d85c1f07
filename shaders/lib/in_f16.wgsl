// The activations that a kernel reads are stored as f16, two in a u32, low half first: on any WebGPU
// adapter. What is computed of them is f32.
alias In4 = vec2<u32>;

fn load4(p: In4) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(p.x), unpack2x16float(p.y));
}
