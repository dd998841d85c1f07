// The whole product, with its end: C is (m, n4).
const SPLITS = 1u;

fn store(slice: u32, row: u32, column4: u32, sum: vec4<f32>) {
    if row < params.m && column4 < params.n4 {
        let at = row * params.n4 + column4;
        c[at] = store4(add_residual(activate(sum + bias[column4]), at));
    }
}
