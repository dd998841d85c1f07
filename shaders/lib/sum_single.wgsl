// A row belongs to one subgroup of eight.
fn row_sum(value: f32, lane: u32, which: u32) -> f32 {
    return subgroupAdd(value);
}
