// C = activate(A Wᵀ) for the rows that go through one expert, or that times their share: row s of C
// is made of row s % a_rows of A, for each slot s of the expert's list (route.wgsl). Which rows
// those are the device alone knows, so there are workgroups for all tokens, and those past the end
// of the list are done at once.
//
// A workgroup computes 16 slots by 64 columns, an invocation 4 by 4. W lies in the panels of
// matmul.wgsl, and so does the chain of each number: fused multiply-adds over k = 0, 1, 2, ...

struct ExpertParams {
    tokens: u32,
    experts: u32,
    expert: u32,
    a_rows: u32,
    n4: u32,
    k4: u32,
    k_steps: u32,
}

@group(0) @binding(0) var<uniform> params: ExpertParams;
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>; // (a_rows, k4)
@group(0) @binding(2) var<storage, read> w: array<Packed4>; // (n / 64, k, 16)
@group(0) @binding(3) var<storage, read> routes: array<f32>; // route.wgsl
@group(0) @binding(4) var<storage, read_write> c: array<vec4<f32>>; // (slots, n4)

/// Slot `i` of the expert, the last one past its end.
fn slot_at(i: u32, count: u32) -> u32 {
    return u32(routes[params.experts + params.expert * params.tokens + min(i, count - 1u)]);
}

fn through(v: vec4<f32>, from_w: u32, sum: vec4<f32>) -> vec4<f32> {
    let first = fma(v.xxxx, unpack4(w[from_w]), sum);
    let second = fma(v.yyyy, unpack4(w[from_w + 16u]), first);
    let third = fma(v.zzzz, unpack4(w[from_w + 32u]), second);
    return fma(v.wwww, unpack4(w[from_w + 48u]), third);
}

fn store(slot: u32, column4: u32, sum: vec4<f32>) {
    var value = activate(sum);
    if SHARED {
        value *= routes[params.experts * (1u + params.tokens) + slot];
    }
    c[slot * params.n4 + column4] = value;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let count = u32(routes[params.expert]);
    let first = 16u * group.y + 4u * (lane / 16u);
    let column4 = 16u * group.x + lane % 16u;
    if first >= count || column4 >= params.n4 {
        return;
    }
    let slot0 = slot_at(first, count);
    let slot1 = slot_at(first + 1u, count);
    let slot2 = slot_at(first + 2u, count);
    let slot3 = slot_at(first + 3u, count);
    let row0 = slot0 % params.a_rows * params.k4;
    let row1 = slot1 % params.a_rows * params.k4;
    let row2 = slot2 % params.a_rows * params.k4;
    let row3 = slot3 % params.a_rows * params.k4;
    var from_w = group.x * params.k_steps * 256u + lane % 16u;
    var sum0 = vec4<f32>(0.0);
    var sum1 = vec4<f32>(0.0);
    var sum2 = vec4<f32>(0.0);
    var sum3 = vec4<f32>(0.0);
    for (var k4 = 0u; k4 < params.k4; k4++) {
        sum0 = through(a[row0 + k4], from_w, sum0);
        sum1 = through(a[row1 + k4], from_w, sum1);
        sum2 = through(a[row2 + k4], from_w, sum2);
        sum3 = through(a[row3 + k4], from_w, sum3);
        from_w += 64u;
    }
    store(slot0, column4, sum0);
    // Those past the end are the last one again.
    store(slot1, column4, sum1);
    store(slot2, column4, sum2);
    store(slot3, column4, sum3);
}
