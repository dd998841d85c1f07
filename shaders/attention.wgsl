// softmax(q kᵀ / √d) v within each text, one head a workgroup row, online over tiles of keys
// (Milakov and Gimelshein 2018; Dao et al. 2022): scores never reach memory, and no mask is read,
// since a tile knows the first row and the length of its text.
//
// For GPUs. A query row belongs to PARTS invocations side by side, each with PART4 vectors of query
// and result in named registers (`Slice`): a large
// head in one invocation would leave room for few of them. Each adds its part of eight scores, and
// `join` (attention_one, attention_shared or attention_overlay.wgsl) adds the parts. KEYS keys and
// values at a time lie in workgroup memory, vector i of part p at i PARTS + p, so that the parts
// read different banks.
//
// Keys go eight at a time from the start of the text, so the bits of a row depend on its text
// alone. exp2 with log2(e) folded into the scale; the sentinel is finite, and the division is left
// to the end. The bias of a family would go where `adjust` stands (attention_plain.wgsl).

const INVOCATIONS = ROWS * PARTS;
const LINE = PARTS * PART4; // HEAD_DIM4, rounded up to whole parts

var<workgroup> keys: array<vec4<f32>, KEYS * LINE>;
var<workgroup> values: array<vec4<f32>, KEYS * LINE>;

/// Vector `i` of part `part` of a head that starts at `at`; zero past the head.
fn load_part(at: u32, i: u32, part: u32) -> vec4<f32> {
    let d = i * PARTS + part;
    if LINE == HEAD_DIM4 || d < HEAD_DIM4 {
        return load4(qkv[at + d]);
    }
    return vec4<f32>(0.0);
}

fn store_part(at: u32, i: u32, part: u32, value: vec4<f32>) {
    let d = i * PARTS + part;
    if LINE == HEAD_DIM4 || d < HEAD_DIM4 {
        context[at + d] = store4(value);
    }
}

/// An invocation's part of a query or of a result.
struct Slice {
//: for i in 0..PART4
    v${i}: vec4<f32>,
//: end
}

fn load_query(at: u32, part: u32) -> Slice {
    return Slice(
//: for i in 0..PART4
        load_part(at, ${i}u, part) * params.scale,
//: end
    );
}

/// This part of the scores of eight keys: one chain of multiply-adds a key, the eight are independent.
fn score(q: ptr<function, Slice>, at: u32) -> Scores {
    var s = Scores();
//: for i in 0..PART4
//:   for key, place in a.x a.y a.z a.w b.x b.y b.z b.w
    let k${key}_${i} = keys[at + ${key}u * LINE + ${i}u * PARTS];
    s.${place} = fma((*q).v${i}.w, k${key}_${i}.w, fma((*q).v${i}.z, k${key}_${i}.z, fma((*q).v${i}.y, k${key}_${i}.y, fma((*q).v${i}.x, k${key}_${i}.x, s.${place}))));
//:   end
//: end
    return s;
}

/// o = o fade + p v over eight values.
fn gather(o: ptr<function, Slice>, p: Scores, fade: f32, at: u32) {
//: for i in 0..PART4
//:   for key in 0..8
    let v${key}_${i} = values[at + ${key}u * LINE + ${i}u * PARTS];
//:   end
    let o0_${i} = (*o).v${i} * fade;
//:   for key, place in a.x a.y a.z a.w b.x b.y b.z b.w
    let o${key + 1}_${i} = fma(vec4<f32>(p.${place}), v${key}_${i}, o${key}_${i});
//:   end
    (*o).v${i} = o8_${i};
//: end
}

fn put(o: ptr<function, Slice>, factor: f32, at: u32, part: u32) {
//: for i in 0..PART4
    store_part(at, ${i}u, part, (*o).v${i} * factor);
//: end
}

/// The largest score of a row so far, and the sum of the weights against it.
struct Online {
    largest: f32,
    total: f32,
}

/// Keys `j`.. of a tile whose first is key `start` of the text and which holds `here`.
struct Keys {
    start: u32,
    j: u32,
    here: u32,
}

/// Takes eight keys into the row whose query is `q` and whose result is `o`.
fn eight(
    q: ptr<function, Slice>,
    o: ptr<function, Slice>,
    run: ptr<function, Online>,
    at: Keys,
    query: u32,
    lane: u32,
) {
    // The last term is zero. Without it the address of a single part would be the same in every
    // lane, and RDNA would pay an instruction a load to bring it there (a tenth of the kernel).
    let line = at.j * LINE + lane % PARTS + lane / INVOCATIONS;
    var s = join(score(q, line), lane);
    let key = vec4<u32>(at.j) + vec4<u32>(0u, 1u, 2u, 3u);
    s.a = select(vec4<f32>(FAR), adjust(s.a, query, at.start + at.j), key < vec4<u32>(at.here));
    s.b = select(vec4<f32>(FAR), adjust(s.b, query, at.start + at.j + 4u), key + 4u < vec4<u32>(at.here));
    let m = max(s.a, s.b);
    let next = max((*run).largest, max(max(m.x, m.y), max(m.z, m.w)));
    let fade = exp2((*run).largest - next);
    s.a = exp2(s.a - next);
    s.b = exp2(s.b - next);
    (*run).total = fma((*run).total, fade, sum4(s.a) + sum4(s.b));
    (*run).largest = next;
    gather(o, s, fade, line);
}

/// Takes UNROLL times eight keys, once in earnest. Copies follow each other as turns of the loop do: no
/// loads ahead of their turn.
fn group(
    q: ptr<function, Slice>,
    o: ptr<function, Slice>,
    run: ptr<function, Online>,
    at: Keys,
    query: u32,
    lane: u32,
) {
//: for i in 0..UNROLL
//:   if i > 0
    workgroupBarrier();
//:   end
    eight(q, o, run, Keys(at.start, at.j + ${8 * i}u, at.here), query, lane);
//: end
}

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = tiles[workgroup.x];
    let first = tile.x;
    let length = tile.y;
    let number = params.first_head + workgroup.y;
    let head = number * HEAD_DIM4;
    let kv_head = number / params.group * HEAD_DIM4;
    begin(number);
    let query = tile.z + lane / PARTS;
    let part = lane % PARTS;
    // Invocations past the end of the text work on its last row and write nothing.
    let at = first + min(query, length - 1u);

    var q = load_query(at * params.qkv4 + head, part);
    var o = Slice();
    var run = Online(FAR, 0.0);

    let last = last_key(tile.z, length - tile.w);
    for (var start = first_key(tile.z); start < last; start += KEYS) {
        workgroupBarrier();
        for (var i = lane; i < KEYS * LINE; i += INVOCATIONS) {
            let key = start + i / LINE;
            // Keys past the end are zero rows; their weight below is zero as well.
            var k = vec4<f32>(0.0);
            var v = vec4<f32>(0.0);
            if key < last && (LINE == HEAD_DIM4 || i % LINE < HEAD_DIM4) {
                let at = (first + key) * params.qkv4 + params.out4 + kv_head + i % LINE;
                k = load4(qkv[at]);
                v = load4(qkv[at + params.kv4]);
            }
            keys[i] = k;
            values[i] = v;
        }
        workgroupBarrier();

        let here = min(KEYS, last - start);
        for (var j = 0u; j < here; j += 8u * UNROLL) {
            group(&q, &o, &run, Keys(start, j, here), query, lane);
        }
    }

    if query < length {
        put(&o, 1.0 / run.total, at * params.out4 + head, part);
    }
}
