// The most bytes a device moves: a vector read and written an invocation, side by side.
// Not a kernel: `everylayer bench` holds the kernels against it.

@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>; // (invocations)
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>; // (invocations)

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * groups.x + group.x) * 256u + lane;
    y[i] = x[i];
}
