// A run of columns of every row, as f32: y = x[.., first..first + columns], element by element.

struct SliceParams {
    vectors: u32,
    row: u32,
    out4: u32,
    in4: u32,
    first4: u32,
    parts: u32,
}

@group(0) @binding(0) var<uniform> params: SliceParams;
@group(0) @binding(1) var<storage, read> x: array<In4>; // (rows, in4)
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>; // (rows, out4)

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.y * params.row + id.x;
    if i >= params.vectors {
        return;
    }
    let column = i % params.out4;
    y[i] = value_at(i / params.out4 * params.in4 + params.first4 + column, column);
}
