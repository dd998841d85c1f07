// Weights stored as f16, two in a u32, low half first: works on any WebGPU adapter, with or
// without `shader-f16`. Sums stay in f32.
alias Packed4 = vec2<u32>;

fn unpack4(p: Packed4) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(p.x), unpack2x16float(p.y));
}
