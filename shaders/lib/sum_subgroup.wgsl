// The sum over 64 lanes: across each subgroup, then over the subgroups through workgroup memory, in the
// order of their numbers. How many there are (8 at most) is known at run time alone, and WGSL does not
// promise which lanes make one.
var<workgroup> partial: array<f32, 16>;

fn row_sum(value: f32, lane: u32, which: u32) -> f32 {
    let sum = subgroupAdd(value);
    if subgroups == 1u {
        return sum;
    }
    let first = 8u * which;
    if lane == subgroupBroadcastFirst(lane) {
        partial[first + own_subgroup] = sum;
    }
    workgroupBarrier();
    var total = partial[first];
    for (var i = 1u; i < subgroups; i++) {
        total += partial[first + i];
    }
    return total;
}
