// The whole product on cooperative matrices, with its end: C is (m, n4). A row that f16 does not hold
// (`beyond`) becomes NaN after the activation, which might hide it.
const SPLITS = 1u;

fn store(slice: u32, row: u32, column4: u32, sum: vec4<f32>, beyond: bool) {
    if row < params.m && column4 < params.n4 {
        let at = row * params.n4 + column4;
        var value = add_residual(activate(sum + bias[column4]), at);
        if beyond {
            value = vec4<f32>(bitcast<f32>(0x7fc00000u | slice));
        }
        c[at] = store4(value);
    }
}
