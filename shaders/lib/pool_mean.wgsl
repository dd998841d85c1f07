fn weight(i: u32) -> f32 {
    return 1.0;
}

fn reduce(at: u32, rows: u32) -> vec4<f32> {
    return sum_rows(at, rows) / f32(rows);
}
