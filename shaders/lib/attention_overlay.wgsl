// As attention_shared.wgsl, in the memory of the keys, which are done with: KEYS is 8, so a tile is
// one group. For the largest heads, whose keys and values fill the workgroup's memory.
fn join(s: Scores, lane: u32) -> Scores {
    workgroupBarrier();
    keys[2u * lane] = s.a;
    keys[2u * lane + 1u] = s.b;
    workgroupBarrier();
    let first = 2u * (lane - lane % PARTS);
    var sum = Scores(keys[first], keys[first + 1u]);
    for (var p = 1u; p < PARTS; p++) {
        sum.a += keys[first + 2u * p];
        sum.b += keys[first + 2u * p + 1u];
    }
    return sum;
}
