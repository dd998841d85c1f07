// The sum over 64 lanes: across each subgroup, then over the subgroups through workgroup memory.
// The size of a subgroup is known at run time alone; lanes of one follow each other.
var<workgroup> partial: array<f32, 16>;

fn row_sum(value: f32, lane: u32, which: u32) -> f32 {
    let sum = subgroupAdd(value);
    let size = subgroupAdd(1u);
    if size >= 64u {
        return sum;
    }
    let first = 8u * which;
    if lane % size == 0u {
        partial[first + lane / size] = sum;
    }
    workgroupBarrier();
    var total = partial[first];
    for (var i = 1u; i < 64u / size; i++) {
        total += partial[first + i];
    }
    return total;
}
