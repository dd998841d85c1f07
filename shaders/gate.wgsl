// A gated feed-forward layer (Shazeer 2020): y = act(gate) x up, element by element. The product in
// front left both side by side.

struct GateParams {
    vectors: u32,
    row: u32,
    inner4: u32,
}

@group(0) @binding(0) var<uniform> params: GateParams;
@group(0) @binding(1) var<storage, read> both: array<In4>; // (tokens, 2, inner4): up, gate
@group(0) @binding(2) var<storage, read_write> y: array<Out4>; // (tokens, inner4)

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let at = group.y * params.row + group.x * 64u + lane;
    if at >= params.vectors {
        return;
    }
    let up = at / params.inner4 * params.inner4 + at;
    y[at] = store4(activate(load4(both[up + params.inner4])) * load4(both[up]));
}
