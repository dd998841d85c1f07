// The sum over LANES through workgroup memory, the same bits in every one. `which` of two sums
// tells its memory, so that none waits for readers of the other.
var<workgroup> partial: array<f32, 2u * LANES>;

fn row_sum(value: f32, lane: u32, which: u32) -> f32 {
    let first = LANES * which;
    partial[first + lane] = value;
    workgroupBarrier();
    // Every lane adds all of them, in the same order: one barrier where a tree has six.
    var sum = vec4<f32>(0.0);
    for (var i = first; i < first + LANES; i += 4u) {
        sum += vec4<f32>(partial[i], partial[i + 1u], partial[i + 2u], partial[i + 3u]);
    }
    return sum4(sum);
}
