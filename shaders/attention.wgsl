// softmax(q kᵀ / √d) v within each text, one head a workgroup row, online over tiles of keys
// (Milakov and Gimelshein 2018; Dao et al. 2022): scores never reach memory, and no mask is read,
// since a tile knows the first row and the length of its text.
//
// For GPUs. A query row belongs to PARTS invocations side by side, each with PART4 vectors of query
// and result in named registers (`Slice`): a large
// head in one invocation would leave room for few of them. KEYS keys and
// values at a time lie in workgroup memory, vector i of part p at i PARTS + p, so that the parts
// read different banks.
//
// A score is added up in the same order whatever the number of parts is. Vector d of a head belongs to
// chain d % n, n being CHAINS PARTS, which follows from the head's size alone; an invocation has every
// PARTS-th chain. Chains c and c + n/2 are added, then those sums for c and c + n/4, and so on, first in
// the invocation, then among those of the row.
//
// Keys go eight at a time from the start of the text, so the bits of a row depend on its text
// alone. exp2 with log2(e) folded into the scale; the sentinel is finite, and the division is left
// to the end. The bias of a family would go where `adjust` stands (attention_plain.wgsl).

const INVOCATIONS = ROWS * PARTS;
const LINE = PARTS * PART4; // HEAD_DIM4, rounded up to whole parts

var<workgroup> keys: array<vec4<f32>, KEYS_ROOM>; // KEYS * LINE, or what join needs
var<workgroup> values: array<vec4<f32>, KEYS * LINE>;
//: if JOINED > 0
var<workgroup> joined: array<vec4<f32>, JOINED>; // (INVOCATIONS, 2)
//: end

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

fn put(o: ptr<function, Slice>, factor: f32, at: u32, part: u32) {
//: for i in 0..PART4
    store_part(at, ${i}u, part, (*o).v${i} * factor);
//: end
}

fn plus(x: Scores, y: Scores) -> Scores {
    return Scores(x.a + y.a, x.b + y.b);
}

/// The first `count` of eight scores, which are fewer than eight; the others do not count.
fn first_of(scores: Scores, count: u32) -> Scores {
    var s = scores;
//: for n, place in a.y a.z a.w b.x b.y b.z
    if count < ${n + 2}u {
        s.${place} = FAR;
    }
//: end
    s.b.w = FAR;
    return s;
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

    let q = load_query(at * params.qkv4 + head, part);
    var o = Slice();
    // The largest score so far, and the sum of the weights against it.
    var largest = FAR;
    var total = 0.0;

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
//: for turn in 0..UNROLL
//:   if turn > 0
            // As turns of the loop follow each other: no loads ahead of their turn.
            workgroupBarrier();
//:   end
            {
            // Eight keys from this one of the tile on.
            let from_key = j + ${8 * turn}u;
            // The last term is zero. Without it the address of a single part would be the same in every
            // lane, and RDNA would pay an instruction a load to bring it there (a tenth of the kernel).
            let line = from_key * LINE + part + lane / INVOCATIONS;

            // The chains of their scores: multiply-adds one after the other, the eight are independent.
//: if DISENTANGLED
            var s0 = Scores();
            // And those of each key with the position that the query has from it.
            var t = Scores();
//:   for key, place in a.x a.y a.z a.w b.x b.y b.z b.w
            let p${key} = position(query, start + from_key + ${key}u);
//:     for i in 0..PART4
            let k${key}_${i} = keys[line + ${key}u * LINE + ${i}u * PARTS];
            let c${key}_${i} = k${key}_${i} + position_part(p${key} + params.out4, ${i}u, part);
            s0.${place} = fma(q.v${i}.w, c${key}_${i}.w, fma(q.v${i}.z, c${key}_${i}.z, fma(q.v${i}.y, c${key}_${i}.y, fma(q.v${i}.x, c${key}_${i}.x, s0.${place}))));
            let d${key}_${i} = position_part(p${key}, ${i}u, part);
            t.${place} = fma(k${key}_${i}.w, d${key}_${i}.w, fma(k${key}_${i}.z, d${key}_${i}.z, fma(k${key}_${i}.y, d${key}_${i}.y, fma(k${key}_${i}.x, d${key}_${i}.x, t.${place}))));
//:     end
//:   end
            s0.a = fma(t.a, vec4<f32>(params.scale), s0.a);
            s0.b = fma(t.b, vec4<f32>(params.scale), s0.b);
//: else
            // In the order in which they are added: of four 0, 2, 1, 3.
//:   for n in 0..CHAINS
            var s${n} = Scores();
//:     for i in 0..PART4
//:       if i % CHAINS == n % 2 * (CHAINS / 2) + n / 2
//:         for key, place in a.x a.y a.z a.w b.x b.y b.z b.w
            let k${key}_${i} = keys[line + ${key}u * LINE + ${i}u * PARTS];
            s${n}.${place} = fma(q.v${i}.w, k${key}_${i}.w, fma(q.v${i}.z, k${key}_${i}.z, fma(q.v${i}.y, k${key}_${i}.y, fma(q.v${i}.x, k${key}_${i}.x, s${n}.${place}))));
//:         end
//:       end
//:     end
//:     if n % 2 == 1
            s${n - 1} = plus(s${n - 1}, s${n});
//:     end
//:     if n % 4 == 3
            s${n - 3} = plus(s${n - 3}, s${n - 1});
//:     end
//:   end
//: end
            var s = s0;
//: if PARTS > 1
//:   for apart, room in keys joined
//:     if apart == (JOINED > 0)
            // Through workgroup memory. The largest heads fill it: their parts are added in that of the
            // keys, which are done with, since KEYS is 8.
//:       if JOINED == 0
            workgroupBarrier();
//:       end
            ${room}[2u * lane] = s.a;
            ${room}[2u * lane + 1u] = s.b;
            workgroupBarrier();
            let own = 2u * (lane - part);
            // In the order in which they are added, as above: of eight 0, 4, 2, 6, 1, 5, 3, 7.
//:       for n in 0..PARTS
            let at${n} = own + ${2 * (n % 2 * (PARTS / 2) + n / 2 % 2 * (PARTS / 4) + n / 4 % 2 * (PARTS / 8) + n / 8 * (PARTS / 16))}u;
            var j${n} = Scores(${room}[at${n}], ${room}[at${n} + 1u]);
//:         if n % 2 == 1
            j${n - 1} = plus(j${n - 1}, j${n});
//:         end
//:         if n % 4 == 3
            j${n - 3} = plus(j${n - 3}, j${n - 1});
//:         end
//:         if n % 8 == 7
            j${n - 7} = plus(j${n - 7}, j${n - 3});
//:         end
//:         if n % 16 == 15
            j${n - 15} = plus(j${n - 15}, j${n - 7});
//:         end
//:       end
            s = j0;
//:       if KEYS > 8
            // Of the last eight of a tile the barriers around the next tile's loads would do.
            workgroupBarrier();
//:       end
//:     end
//:   end
//: end

//: if WINDOW
            // Those past the end are none of its keys.
            s.a = within(s.a, query, start + from_key, last);
            s.b = within(s.b, query, start + from_key + 4u, last);
//: else
            // In either order, as a bias leaves the sentinel what it is: in the one that keeps fewer numbers
            // at once, by what compilers made of both.
//:   for turn in 0..2
//:     if turn == (PARTS < 8)
            if from_key + 8u > here {
                s = first_of(s, here - from_key);
            }
//:     else
            s.a = adjust(s.a, query, start + from_key);
            s.b = adjust(s.b, query, start + from_key + 4u);
//:     end
//:   end
//: end
            let m = max(s.a, s.b);
            let next = max(largest, max(max(m.x, m.y), max(m.z, m.w)));
            let fade = exp2(largest - next);
            s.a = exp2(s.a - next);
            s.b = exp2(s.b - next);
            total = fma(total, fade, sum4(s.a) + sum4(s.b));
            largest = next;

            // o = o fade + p v over the eight.
//: for i in 0..PART4
//:   for key in 0..8
            let v${key}_${i} = values[line + ${key}u * LINE + ${i}u * PARTS];
//:   end
            let o0_${i} = o.v${i} * fade;
//:   for key, place in a.x a.y a.z a.w b.x b.y b.z b.w
            let o${key + 1}_${i} = fma(vec4<f32>(s.${place}), v${key}_${i}, o${key}_${i});
//:   end
            o.v${i} = o8_${i};
//: end
            }
//: end
        }
    }

    if query < length {
        put(&o, 1.0 / total, at * params.out4 + head, part);
    }
}
