// The weights that attention gives: softmax(q kᵀ / √d) of rows of queries, by some of their heads, in memory.
// attention.wgsl keeps them to itself; this is for those who ask to see them.
//
// One workgroup a row and head, vectors of four keys an invocation: scores, the largest of them, their
// exponentials and sum, weights. What lies past the keys of a text has weight zero. Scores are in base 2, and
// `adjust` is attention's.

struct WeighParams {
    qkv4: u32,
    out4: u32,
    scale: f32,
    group: u32,
    reach: u32,
    line: u32,
    first_head: u32,
    head4: u32,
    first_row: u32,
    keys4: u32,
    to: u32,
}

@group(0) @binding(0) var<uniform> params: WeighParams;
@group(0) @binding(1) var<storage, read> qkv: array<In4>; // (tokens, heads + 2 kv_heads, head4)
@group(0) @binding(2) var<storage, read> lines: array<vec4<u32>>; // (tokens): first row of its text, tokens, its place, keys
@group(0) @binding(3) var<storage, read_write> weights: array<vec4<f32>>; // (heads, rows, keys4)

const FAR = -1e30;
/// Queries that share what `attention_window.wgsl` visits.
const ROWS = 1u;

fn sum4(v: vec4<f32>) -> f32 {
    return (v.x + v.y) + (v.z + v.w);
}

/// The scores of four keys from `key` on; those past the last repeat it.
fn products(query: u32, first: u32, key: u32, last: u32, shared_head: u32) -> vec4<f32> {
    let keys = (first + min(vec4<u32>(key) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(last))) * params.qkv4 + params.out4 + shared_head;
    var a = vec4<f32>(0.0);
    var b = vec4<f32>(0.0);
    var c = vec4<f32>(0.0);
    var d = vec4<f32>(0.0);
    for (var i = 0u; i < params.head4; i++) {
        let q = load4(qkv[query + i]);
        a = fma(q, load4(qkv[keys.x + i]), a);
        b = fma(q, load4(qkv[keys.y + i]), b);
        c = fma(q, load4(qkv[keys.z + i]), c);
        d = fma(q, load4(qkv[keys.w + i]), d);
    }
    return vec4<f32>(sum4(a), sum4(b), sum4(c), sum4(d));
}

var<workgroup> partial: array<f32, 128>; // the largest, then the sums

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = params.first_row + group.x;
    let text = lines[row];
    let head = params.first_head + group.y;
    let at = ((params.to + group.y) * groups.x + group.x) * params.keys4;
    begin(head);
    var largest = FAR;
    for (var i = lane; i < params.keys4; i += 64u) {
        var s = vec4<f32>(FAR);
        if 4u * i < text.w {
            let query = row * params.qkv4 + head * params.head4;
            s = products(query, text.x, 4u * i, text.w - 1u, head / params.group * params.head4);
            s = scored(s, text, 4u * i, head);
            let keys = vec4<u32>(4u * i) + vec4<u32>(0u, 1u, 2u, 3u);
            s = select(vec4<f32>(FAR), s, keys < vec4<u32>(text.w));
        }
        weights[at + i] = s;
        largest = max(largest, max(max(s.x, s.y), max(s.z, s.w)));
    }
    partial[lane] = largest;
    workgroupBarrier();
    for (var i = 0u; i < 64u; i++) {
        largest = max(largest, partial[i]);
    }
    var total = 0.0;
    for (var i = lane; i < params.keys4; i += 64u) {
        let p = exp2(weights[at + i] - largest);
        weights[at + i] = p;
        total += sum4(p);
    }
    partial[64u + lane] = total;
    workgroupBarrier();
    total = 0.0;
    for (var i = 64u; i < 128u; i++) {
        total += partial[i];
    }
    for (var i = lane; i < params.keys4; i += 64u) {
        weights[at + i] = weights[at + i] / total;
    }
}
