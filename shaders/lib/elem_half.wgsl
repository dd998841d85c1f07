// Weights stored as f16 and read as such: adapters with `shader-f16`. The same bytes as the packed
// form, without its unpacking. Sums stay in f32.
alias Packed4 = vec4<f16>;

fn unpack4(p: Packed4) -> vec4<f32> {
    return vec4<f32>(p);
}
