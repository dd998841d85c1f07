// Weights stored as f32: four numbers are one vector.
alias Packed4 = vec4<f32>;

fn unpack4(p: Packed4) -> vec4<f32> {
    return p;
}
