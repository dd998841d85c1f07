// Row i weighs i + 1 (Muennighoff 2022, as sentence-transformers' `weightedmean`).
fn weight(i: u32) -> f32 {
    return f32(i + 1u);
}

fn reduce(at: u32, rows: u32) -> vec4<f32> {
    return sum_rows(at, rows) / (0.5 * f32(rows) * f32(rows + 1u));
}
