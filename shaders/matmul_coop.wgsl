// C = activate(A Wᵀ + b) (+ residual) on cooperative matrices of SIDE x SIDE, f16 in and f32 out: for
// adapters that have them, where they were asked for. Measured on no hardware yet.
//
// A subgroup computes TALL rows by a panel of 64 columns, in named matrices (`Sums`). How many subgroups the 128 invocations are is known at run time
// alone: those that there are take TALL rows each, pass by pass, until the ROWS of the tile are done.
// A is rounded to f16 on its way to workgroup memory, W is stored so.
//
// Same bits in any batch: each number of C is one chain over k in steps of SIDE, from the first, by the
// same instruction wherever its row lies, and this kernel is taken for every number of rows or for
// none. The order inside a step is the hardware's own: the bits are not those of matmul.wgsl.
//
// A number that f16 does not hold never saturates: the lanes that load A keep the largest magnitude of
// a row, and a row beyond LARGEST is written as NaN, which the normalisation finds and flags.

const DEPTH = 16u;
const PANEL4 = 16u;
const LANES = 128u;
const SLOTS = ROWS / TALL; // subgroups at work at once
const LINE_A = 24u; // halves from a row to the next: whole vectors of 16 bytes, against bank conflicts
const LINE_W = 72u;
const BLOCK = SIDE * SIDE;
const LARGEST = 0x477fe000u; // the bits of 65504.0, the largest f16

var<workgroup> tile_a: array<f16, ROWS * LINE_A>; // (ROWS, DEPTH)
var<workgroup> tile_w: array<f16, DEPTH * LINE_W>; // (DEPTH, 64)
var<workgroup> block: array<f32, SLOTS * BLOCK>; // (SLOTS, SIDE, SIDE): sums on their way out
var<workgroup> magnitude: array<u32, 4u * ROWS>; // (ROWS, 4): the bits of what a lane saw

/// The block of C of a subgroup: matrix (i, j) is SIDE rows and columns of it.
struct Sums {
//: for i in 0..TALL / SIDE
//:   for j in 0..64 / SIDE
    c${i}_${j}: coop_mat${SIDE}x${SIDE}<f32, C>,
//:   end
//: end
}

fn clear(s: ptr<function, Sums>, at: u32) {
    let zero = coopLoadT<coop_mat${SIDE}x${SIDE}<f32, C>>(&block[at], SIDE);
//: for i in 0..TALL / SIDE
//:   for j in 0..64 / SIDE
    (*s).c${i}_${j} = zero;
//:   end
//: end
}

/// Takes DEPTH steps of k from the tiles.
fn multiply(s: ptr<function, Sums>, from_a: u32) {
//: for k in 0..16 / SIDE
//:   for i in 0..TALL / SIDE
    let a${k}_${i} = coopLoadT<coop_mat${SIDE}x${SIDE}<f16, A>>(&tile_a[from_a + ${i * SIDE}u * LINE_A + ${k * SIDE}u], LINE_A);
//:   end
//:   for j in 0..64 / SIDE
    let w${k}_${j} = coopLoadT<coop_mat${SIDE}x${SIDE}<f16, B>>(&tile_w[${k * SIDE}u * LINE_W + ${j * SIDE}u], LINE_W);
//:     for i in 0..TALL / SIDE
    (*s).c${i}_${j} = coopMultiplyAdd(a${k}_${i}, w${k}_${j}, (*s).c${i}_${j});
//:     end
//:   end
//: end
}

/// Stores the blocks of all subgroups, one matrix of each at a time, through workgroup memory.
fn put(s: ptr<function, Sums>, lane: u32, subgroup: u32, slots: u32, slice: u32, row: u32, column4: u32) {
//: for i in 0..TALL / SIDE
//:   for j in 0..64 / SIDE
    if subgroup < slots {
        coopStoreT((*s).c${i}_${j}, &block[subgroup * BLOCK], SIDE);
    }
    workgroupBarrier();
    store_blocks(lane, slots, slice, row, ${i * SIDE}u, column4 + ${j * SIDE / 4}u);
    workgroupBarrier();
//:   end
//: end
}

// Four numbers of A into the tile; returns the largest magnitude among them, as bits: those of
// infinity and NaN are above all others.
fn stage_a(tile_row: u32, row: u32, k4: u32, column: u32) -> u32 {
    var x = vec4<f32>(0.0);
    if row + tile_row < params.m && k4 < params.k4 {
        x = load4(a[(row + tile_row) * params.k4 + k4]);
    }
    // What is cut off here is written as NaN at the end.
    let half = vec4<f16>(clamp(x, vec4<f32>(-65504.0), vec4<f32>(65504.0)));
    let to = tile_row * LINE_A + column;
    tile_a[to] = half.x;
    tile_a[to + 1u] = half.y;
    tile_a[to + 2u] = half.z;
    tile_a[to + 3u] = half.w;
    let bits = bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu);
    return max(max(bits.x, bits.y), max(bits.z, bits.w));
}

fn stage_w(at: u32, from_w: u32) {
    let half = w[from_w + at];
    let to = at / PANEL4 * LINE_W + 4u * (at % PANEL4);
    tile_w[to] = half.x;
    tile_w[to + 1u] = half.y;
    tile_w[to + 2u] = half.z;
    tile_w[to + 3u] = half.w;
}

// Stores the blocks that the subgroups left, `tile_row` and `column4` being the first's in its part.
fn store_blocks(lane: u32, slots: u32, slice: u32, row: u32, tile_row: u32, column4: u32) {
    for (var v = lane; v < slots * (BLOCK / 4u); v += LANES) {
        let inside = v % (BLOCK / 4u);
        let line = v / (BLOCK / 4u) * TALL + tile_row + inside / (SIDE / 4u);
        let seen = 4u * line;
        let largest = max(
            max(magnitude[seen], magnitude[seen + 1u]),
            max(magnitude[seen + 2u], magnitude[seen + 3u]),
        );
        let at = 4u * v;
        let sum = vec4<f32>(block[at], block[at + 1u], block[at + 2u], block[at + 3u]);
        store(slice, row + line, column4 + inside % (SIDE / 4u), sum, largest > LARGEST);
    }
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
) {
    // Part `slice` of SPLITS along k (coop_part.wgsl), or the whole.
    let slice = group.y % SPLITS;
    let steps = (params.k_steps + SPLITS - 1u) / SPLITS;
    let first_step = slice * steps;
    let last_step = min(first_step + steps, params.k_steps);
    let column4 = group.x * PANEL4;
    let slots = min(subgroups, SLOTS);
    let pass_rows = slots * TALL;
    let load_row = lane / 4u;
    let load_k4 = lane % 4u;

    for (var first = 0u; first < ROWS; first += pass_rows) {
        let row = params.first_row + group.y / SPLITS * ROWS + first;
        // The sums start as zeros that are loaded: not every back end knows a zero matrix.
        for (var i = lane; i < SLOTS * BLOCK; i += LANES) {
            block[i] = 0.0;
        }
        workgroupBarrier();
        var sums = Sums();
        if subgroup < slots {
            clear(&sums, subgroup * BLOCK);
        }
        var seen = vec4<u32>(0u);
        var from_w = (group.x * params.k_steps + first_step) * DEPTH * PANEL4;
        for (var step = first_step; step < last_step; step++) {
            let k4 = step * 4u + load_k4;
            seen.x = max(seen.x, stage_a(load_row, row, k4, 4u * load_k4));
            if pass_rows > 32u {
                seen.y = max(seen.y, stage_a(load_row + 32u, row, k4, 4u * load_k4));
            }
            if pass_rows > 64u {
                seen.z = max(seen.z, stage_a(load_row + 64u, row, k4, 4u * load_k4));
                seen.w = max(seen.w, stage_a(load_row + 96u, row, k4, 4u * load_k4));
            }
            stage_w(lane, from_w);
            stage_w(lane + LANES, from_w);
            from_w += DEPTH * PANEL4;
            workgroupBarrier();
            if subgroup < slots {
                multiply(&sums, subgroup * TALL * LINE_A);
            }
            workgroupBarrier();
        }
        magnitude[lane] = seen.x;
        magnitude[lane + LANES] = seen.y;
        magnitude[lane + 2u * LANES] = seen.z;
        magnitude[lane + 3u * LANES] = seen.w;
        put(&sums, lane, subgroup, slots, slice, row, column4);
    }
}
