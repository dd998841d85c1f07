// merged = merge(merged, factor x state), element by element; the first state starts it.
// The prelude adds `merge`.

struct CombineParams {
    vectors: u32,
    row: u32,
    factor: f32,
    first: u32,
}

@group(0) @binding(0) var<uniform> params: CombineParams;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>; // (vectors)
@group(0) @binding(2) var<storage, read_write> merged: array<vec4<f32>>; // (vectors)

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.y * params.row + id.x;
    if i >= params.vectors {
        return;
    }
    let value = params.factor * x[i];
    if params.first == 1u {
        merged[i] = value;
    } else {
        merged[i] = merge(merged[i], value);
    }
}
