// softmax(q kᵀ / √d) v within each text, as attention.wgsl, without workgroup memory: for processors
// that play a GPU (see matmul_direct.wgsl).
//
// Four query rows an invocation, which share what is read: q and o are a `Block` of named vectors. Four keys at a time, from the start of the text, one after
// the other; their scores go through a vector a row, which is turned by one number a key, since an
// index that only the loop knows would put it in memory. The bits of a row depend on its text alone.

/// A head of each of four rows.
struct Block {
//: for row in x y z w
//:   for i in 0..HEAD_DIM4
    ${row}${i}: vec4<f32>,
//:   end
//: end
}

fn load_queries(at: vec4<u32>) -> Block {
    return Block(
//: for row in x y z w
//:   for i in 0..HEAD_DIM4
        load4(qkv[at.${row} + ${i}u]) * params.scale,
//:   end
//: end
    );
}

/// The scores of one key: one chain of multiply-adds a row.
fn scores(q: ptr<function, Block>, at: u32) -> vec4<f32> {
//: for i in 0..HEAD_DIM4
    let k${i} = load4(qkv[at + ${i}u]);
//: end
//: for row in x y z w
    var s${row} = 0.0;
//:   for i in 0..HEAD_DIM4
    s${row} = fma((*q).${row}${i}.w, k${i}.w, fma((*q).${row}${i}.z, k${i}.z, fma((*q).${row}${i}.y, k${i}.y, fma((*q).${row}${i}.x, k${i}.x, s${row}))));
//:   end
//: end
    return vec4<f32>(sx, sy, sz, sw);
}

fn fade(o: ptr<function, Block>, by: vec4<f32>) {
//: for row in x y z w
//:   for i in 0..HEAD_DIM4
    (*o).${row}${i} *= by.${row};
//:   end
//: end
}

/// Adds one value, `p` being its weight in each row.
fn gather(o: ptr<function, Block>, p: vec4<f32>, at: u32) {
//: for i in 0..HEAD_DIM4
    let v${i} = load4(qkv[at + ${i}u]);
//:   for row in x y z w
    (*o).${row}${i} = fma(vec4<f32>(p.${row}), v${i}, (*o).${row}${i});
//:   end
//: end
}

/// Writes the rows, of which `left` are in the text.
fn put(o: ptr<function, Block>, by: vec4<f32>, at: u32, left: u32) {
//: for r, row in x y z w
    if left > ${r}u {
//:   for i in 0..HEAD_DIM4
        context[at + ${r}u * params.out4 + ${i}u] = store4((*o).${row}${i} * by.${row});
//:   end
    }
//: end
}

/// The row of a block and of four keys: scores, then weights.
struct Four {
    r0: vec4<f32>,
    r1: vec4<f32>,
    r2: vec4<f32>,
    r3: vec4<f32>,
}

/// The largest scores of the rows so far, and the sums of the weights against them.
struct Online {
    largest: vec4<f32>,
    total: vec4<f32>,
}

/// Scores as they count: those of keys at and past `last` do not.
fn counted(s: vec4<f32>, query: u32, start: u32, last: u32) -> vec4<f32> {
    let keys = vec4<u32>(start) + vec4<u32>(0u, 1u, 2u, 3u);
    return select(vec4<f32>(FAR), adjust(s, query, start), keys < vec4<u32>(last));
}

fn largest4(v: vec4<f32>) -> f32 {
    return max(max(v.x, v.y), max(v.z, v.w));
}

@compute @workgroup_size(ROWS / 4u)
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
    let query = tile.z + 4u * index;
    // Nothing waits for the others: an invocation past the end of the text is done.
    if query >= length {
        return;
    }
    // Rows past the end of the text repeat its last one and are not written.
    let rows = min(vec4<u32>(query) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(length - 1u));
    var q = load_queries((first + rows) * params.qkv4 + head);
    var o = Block();
    var run = Online(vec4<f32>(FAR), vec4<f32>(0.0));

    let last = last_key(tile.z, length - tile.w);
    for (var start = first_key(tile.z); start < last; start += 4u) {
        // Keys past the end repeat the last one, with weight zero below.
        let to_keys = first * params.qkv4 + params.out4 + kv_head;
        var s = Four();
        for (var j = 0u; j < 4u; j++) {
            let at = to_keys + min(start + j, last - 1u) * params.qkv4;
            let added = scores(&q, at);
            s = Four(vec4<f32>(s.r0.yzw, added.x), vec4<f32>(s.r1.yzw, added.y), vec4<f32>(s.r2.yzw, added.z), vec4<f32>(s.r3.yzw, added.w));
        }
        s.r0 = counted(s.r0, rows.x, start, last);
        s.r1 = counted(s.r1, rows.y, start, last);
        s.r2 = counted(s.r2, rows.z, start, last);
        s.r3 = counted(s.r3, rows.w, start, last);
        let here = vec4<f32>(largest4(s.r0), largest4(s.r1), largest4(s.r2), largest4(s.r3));
        let next = max(run.largest, here);
        let faded = exp2(run.largest - next);
        var p = Four(exp2(s.r0 - next.x), exp2(s.r1 - next.y), exp2(s.r2 - next.z), exp2(s.r3 - next.w));
        let sums = vec4<f32>(sum4(p.r0), sum4(p.r1), sum4(p.r2), sum4(p.r3));
        run = Online(next, fma(run.total, faded, sums));
        fade(&o, faded);
        for (var j = 0u; j < 4u; j++) {
            let at = to_keys + min(start + j, last - 1u) * params.qkv4 + params.kv4;
            gather(&o, vec4<f32>(p.r0.x, p.r1.x, p.r2.x, p.r3.x), at);
            p = Four(p.r0.yzwx, p.r1.yzwx, p.r2.yzwx, p.r3.yzwx);
        }
    }

    put(&o, 1.0 / run.total, (first + query) * params.out4 + head, length - query);
}
