// softmax(q kᵀ / √d) v within each text, as attention.wgsl, without workgroup memory: for adapters
// whose subgroups are known to be 8 wide (software Vulkan; see matmul_broadcast.wgsl).
//
// One query row an invocation. Eight keys at a time, from the start of the text: lane l loads a
// vector of key l, and the eight are handed round. The bits of a row depend on its text alone.

@compute @workgroup_size(ROWS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let tile = tiles[group.x];
    let first = tile.x;
    let length = tile.y;
    let number = params.first_head + group.y;
    let head = number * HEAD_DIM4;
    let kv_head = number / params.group * HEAD_DIM4;
    begin(number);
    let query = tile.z + index;
    let lane = index % 8u;
    // Nothing waits for the others: a subgroup past the end of the text is done.
    if query - lane >= length {
        return;
    }
    // Invocations past the end of the text work on its last row and write nothing.
    let row = first + min(query, length - 1u);

    var q: array<vec4<f32>, HEAD_DIM4>;
    var o: array<vec4<f32>, HEAD_DIM4>;
    for (var i = 0u; i < HEAD_DIM4; i++) {
        q[i] = qkv[row * params.qkv4 + head + i] * params.scale;
        o[i] = vec4<f32>(0.0);
    }
    var largest = FAR;
    var total = 0.0;
    var each: vec4<f32>;

    let last = last_key(tile.z, length - tile.w);
    for (var start = first_key(tile.z); start < last; start += 8u) {
        // Keys past the end repeat the last one, with weight zero below.
        let at = (first + min(start + lane, length - 1u)) * params.qkv4 + params.out4 + kv_head;
        var s0 = vec4<f32>(0.0);
        var s1 = vec4<f32>(0.0);
        for (var i = 0u; i < HEAD_DIM4; i++) {
            let key = qkv[at + i];
            each = subgroupBroadcast(key, 0u);
            s0.x += dot(q[i], each);
            each = subgroupBroadcast(key, 1u);
            s0.y += dot(q[i], each);
            each = subgroupBroadcast(key, 2u);
            s0.z += dot(q[i], each);
            each = subgroupBroadcast(key, 3u);
            s0.w += dot(q[i], each);
            each = subgroupBroadcast(key, 4u);
            s1.x += dot(q[i], each);
            each = subgroupBroadcast(key, 5u);
            s1.y += dot(q[i], each);
            each = subgroupBroadcast(key, 6u);
            s1.z += dot(q[i], each);
            each = subgroupBroadcast(key, 7u);
            s1.w += dot(q[i], each);
        }
        let keys = vec4<u32>(start) + vec4<u32>(0u, 1u, 2u, 3u);
        s0 = select(vec4<f32>(FAR), adjust(s0, query, start), keys < vec4<u32>(last));
        s1 = select(vec4<f32>(FAR), adjust(s1, query, start + 4u), keys + 4u < vec4<u32>(last));
        let m = max(s0, s1);
        let next = max(largest, max(max(m.x, m.y), max(m.z, m.w)));
        let fade = exp2(largest - next);
        let p0 = exp2(s0 - next);
        let p1 = exp2(s1 - next);
        total = fma(total, fade, sum4(p0) + sum4(p1));
        largest = next;
        for (var i = 0u; i < HEAD_DIM4; i++) {
            let value = qkv[at + params.kv4 + i];
            var sum = o[i] * fade;
            each = subgroupBroadcast(value, 0u);
            sum = fma(p0.xxxx, each, sum);
            each = subgroupBroadcast(value, 1u);
            sum = fma(p0.yyyy, each, sum);
            each = subgroupBroadcast(value, 2u);
            sum = fma(p0.zzzz, each, sum);
            each = subgroupBroadcast(value, 3u);
            sum = fma(p0.wwww, each, sum);
            each = subgroupBroadcast(value, 4u);
            sum = fma(p1.xxxx, each, sum);
            each = subgroupBroadcast(value, 5u);
            sum = fma(p1.yyyy, each, sum);
            each = subgroupBroadcast(value, 6u);
            sum = fma(p1.zzzz, each, sum);
            each = subgroupBroadcast(value, 7u);
            sum = fma(p1.wwww, each, sum);
            o[i] = sum;
        }
    }

    if query < length {
        let factor = 1.0 / total;
        for (var i = 0u; i < HEAD_DIM4; i++) {
            context[row * params.out4 + head + i] = o[i] * factor;
        }
    }
}
