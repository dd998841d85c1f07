// Eight weights stored as f16, read as two 64-bit words of four (lib/words.wgsl); with or without
// `shader-f16`, the bytes are the same. Sums stay in f32.
alias Packed8 = vec2<u64>;

fn halves(p: u64) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(u32(p)), unpack2x16float(u32(p >> 32u)));
}

fn low4(p: Packed8) -> vec4<f32> {
    return halves(p.x);
}

fn high4(p: Packed8) -> vec4<f32> {
    return halves(p.y);
}
