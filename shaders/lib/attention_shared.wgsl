// The parts of a score are added through workgroup memory, in the order of the parts, so that every
// invocation of a row has the same bits.
var<workgroup> parts: array<vec4<f32>, 2u * INVOCATIONS>;

fn join(s: Scores, lane: u32) -> Scores {
    parts[2u * lane] = s.a;
    parts[2u * lane + 1u] = s.b;
    workgroupBarrier();
    let first = 2u * (lane - lane % PARTS);
    var sum = Scores(parts[first], parts[first + 1u]);
    for (var p = 1u; p < PARTS; p++) {
        sum.a += parts[first + 2u * p];
        sum.b += parts[first + 2u * p + 1u];
    }
    workgroupBarrier();
    return sum;
}
