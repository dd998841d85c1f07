// The activations that a kernel writes are stored as f16, two in a u32, low half first: on any WebGPU
// adapter.
//
// What f16 does not hold must not saturate, and what a conversion makes of it is not said (WGSL's
// finite math assumption). So it is looked for in the bits of the f32, infinity and NaN among it, and
// the four numbers become NaN by their bits, which the next normalisation finds and flags.
alias Out4 = vec2<u32>;

const LARGEST_HALF = vec4<u32>(0x477fe000u); // the bits of 65504.0

fn store4(v: vec4<f32>) -> Out4 {
    let magnitude = bitcast<vec4<u32>>(v) & vec4<u32>(0x7fffffffu);
    if any(magnitude > LARGEST_HALF) {
        return vec2<u32>(0x7e007e00u);
    }
    return vec2<u32>(pack2x16float(v.xy), pack2x16float(v.zw));
}
