// Eight weights stored as f32, read as four 64-bit words (lib/words.wgsl).
alias Packed8 = vec4<u64>;

fn low4(p: Packed8) -> vec4<f32> {
    return four(p.xy);
}

fn high4(p: Packed8) -> vec4<f32> {
    return four(p.zw);
}
