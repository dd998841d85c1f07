// One row a text: an invocation walks the rows of its text in one column of vectors.
// The lib file adds `reduce`.

struct PoolParams {
    stride4: u32,
    out4: u32,
    start4: u32,
}

@group(0) @binding(0) var<uniform> params: PoolParams;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>; // (tokens, stride4)
@group(0) @binding(2) var<storage, read> ranges: array<vec2<u32>>; // (texts): first row, rows
@group(0) @binding(3) var<storage, read_write> pooled: array<vec4<f32>>; // (parts, texts, out4)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let column = group.y * 64u + lane;
    if column >= params.stride4 {
        return;
    }
    let range = ranges[group.x];
    let at = range.x * params.stride4 + column;
    pooled[params.start4 + group.x * params.out4 + column] = reduce(at, range.y);
}
