// A part of the product along k on cooperative matrices: C is (SPLITS, m, n4). A row that f16 does not
// hold in this part (`beyond`) becomes NaN, which stays one when `norm` adds the parts up.
fn store(slice: u32, row: u32, column4: u32, sum: vec4<f32>, beyond: bool) {
    if row < params.m && column4 < params.n4 {
        var value = sum;
        if beyond {
            value = vec4<f32>(bitcast<f32>(0x7fc00000u | slice));
        }
        c[(slice * params.m + row) * params.n4 + column4] = store4(value);
    }
}
