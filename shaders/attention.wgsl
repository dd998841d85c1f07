// softmax(q kᵀ / √d) v within each text, one head a workgroup row, online over tiles of keys
// (Milakov and Gimelshein 2018; Dao et al. 2022): scores never reach memory, and no mask is read,
// since a tile knows the first row and the length of its text.
//
// For GPUs: one query row an invocation, 64 rows a workgroup, query and result in registers, KEYS keys and
// values at a time in workgroup memory. Keys go four at a time from the start of the text, so the
// bits of a row depend on its text alone. exp2 with log2(e) folded into the scale; the sentinel is
// finite, and the division is left to the end.
//
// The prelude gives HEAD_DIM4 (vectors a head) and KEYS (keys a tile, a multiple of 4).

var<workgroup> keys: array<vec4<f32>, KEYS * HEAD_DIM4>;
var<workgroup> values: array<vec4<f32>, KEYS * HEAD_DIM4>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = tiles[group.x];
    let first = tile.x;
    let length = tile.y;
    let head = group.y * HEAD_DIM4;
    let query = tile.z + lane;
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

    for (var start = 0u; start < length; start += KEYS) {
        workgroupBarrier();
        for (var i = lane; i < KEYS * HEAD_DIM4; i += 64u) {
            let key = start + i / HEAD_DIM4;
            // Keys past the end are zero rows; their weight below is zero as well.
            var k = vec4<f32>(0.0);
            var v = vec4<f32>(0.0);
            if key < length {
                let at = (first + key) * params.qkv4 + params.out4 + head + i % HEAD_DIM4;
                k = qkv[at];
                v = qkv[at + params.out4];
            }
            keys[i] = k;
            values[i] = v;
        }
        workgroupBarrier();

        let here = min(KEYS, length - start);
        for (var j = 0u; j < here; j += 4u) {
            var s0 = vec4<f32>(0.0);
            var s1 = vec4<f32>(0.0);
            var s2 = vec4<f32>(0.0);
            var s3 = vec4<f32>(0.0);
            let at = j * HEAD_DIM4;
            for (var i = 0u; i < HEAD_DIM4; i++) {
                s0 = fma(q[i], keys[at + i], s0);
                s1 = fma(q[i], keys[at + HEAD_DIM4 + i], s1);
                s2 = fma(q[i], keys[at + 2u * HEAD_DIM4 + i], s2);
                s3 = fma(q[i], keys[at + 3u * HEAD_DIM4 + i], s3);
            }
            let scores = vec4<f32>(sum4(s0), sum4(s1), sum4(s2), sum4(s3));
            let inside = vec4<u32>(j) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(here);
            let s = select(vec4<f32>(FAR), scores, inside);
            let next = max(largest, max(max(s.x, s.y), max(s.z, s.w)));
            let fade = exp2(largest - next);
            let p = exp2(s - next);
            total = fma(total, fade, sum4(p));
            largest = next;
            for (var i = 0u; i < HEAD_DIM4; i++) {
                var sum = o[i] * fade;
                sum = fma(p.xxxx, values[at + i], sum);
                sum = fma(p.yyyy, values[at + HEAD_DIM4 + i], sum);
                sum = fma(p.zzzz, values[at + 2u * HEAD_DIM4 + i], sum);
                sum = fma(p.wwww, values[at + 3u * HEAD_DIM4 + i], sum);
                o[i] = sum;
            }
        }
    }

    if query < length {
        let factor = 1.0 / total;
        for (var i = 0u; i < HEAD_DIM4; i++) {
            context[row * params.out4 + head + i] = o[i] * factor;
        }
    }
}
