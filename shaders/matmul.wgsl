// C = activate(A Wᵀ + b) (+ residual), tiles in workgroup memory: for GPUs.
//
// A workgroup computes a tile of ROWS x 4 COLUMNS4 numbers, an invocation a block of it in named
// vectors (`Sums`, lib/matmul_sums.wgsl). Tiles of A and W of depth 16
// lie in workgroup memory, A turned so that a row of four is one vector. W is packed at load into
// panels of 64 columns, padded with zeros to whole panels and steps, so it is read without a bound
// but where a tile is wider than a panel.
//
// Every number of C is one chain of fused multiply-adds over k = 0, 1, 2, ..., whatever the tile:
// its bits depend on its row of A alone, not on the rows beside it. Where the product is split
// along k, each part is such a chain, and the next kernel adds them in their order.

const DEPTH = 16u;
const PANEL4 = 16u;
// Where the invocations outnumber the blocks of A, some load A and as many others W.
const ALL_LOAD_BOTH = INVOCATIONS == LOADERS;

var<workgroup> tile_a: array<vec4<f32>, DEPTH * LINE>; // (DEPTH, LINE): groups of 4 rows, padding
var<workgroup> tile_w: array<vec4<f32>, DEPTH * COLUMNS4>; // (DEPTH, COLUMNS4)

fn load_a(row: u32, k4: u32) -> vec4<f32> {
    if row < params.m && k4 < params.k4 {
        return load4(a[row * params.k4 + k4]);
    }
    return vec4<f32>(0.0);
}

/// Steps of k in a tile. For statistics it is a number that no compiler knows, so that none unrolls
/// the loop further.
fn k_end() -> u32 {
//: if UNROLL == STEPS
    return DEPTH;
//: else
    return params.k_steps;
//: end
}

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    // Part `slice` of SPLITS along k (matmul_part.wgsl), or the whole.
    let slice = group.y % SPLITS;
    let row = params.first_row + group.y / SPLITS * ROWS;
    let steps = (params.k_steps + SPLITS - 1u) / SPLITS;
    let first_step = slice * steps;
    let last_step = min(first_step + steps, params.k_steps);
    let column4 = group.x * COLUMNS4;
    let x = lane % ACROSS; // vectors x, x + ACROSS
    let y = lane / ACROSS; // rows TALL y ..
    // What this invocation loads: four rows of A at one k4; every LOADERS-th vector of W.
    let loader = lane % LOADERS;
    let load_row = row + 4u * (loader / 4u);
    let load_k4 = loader % 4u;
    let to_a = load_k4 * 4u * LINE + loader / 4u;
    // A tile wider than a panel may reach past the last one: it reads that one again.
    let load_column4 = column4 + loader % COLUMNS4;
    let panel = min(load_column4 / PANEL4, (params.n4 - 1u) / PANEL4);
    var from_w = ((panel * params.k_steps + first_step) * DEPTH + loader / COLUMNS4) * PANEL4 + load_column4 % PANEL4;

    var sums = Sums();
    for (var step = first_step; step < last_step; step++) {
        if ALL_LOAD_BOTH || lane < LOADERS {
            let k4 = step * 4u + load_k4;
            let turned = transpose(mat4x4<f32>(
                load_a(load_row, k4),
                load_a(load_row + 1u, k4),
                load_a(load_row + 2u, k4),
                load_a(load_row + 3u, k4),
            ));
            tile_a[to_a] = turned[0];
            tile_a[to_a + LINE] = turned[1];
            tile_a[to_a + 2u * LINE] = turned[2];
            tile_a[to_a + 3u * LINE] = turned[3];
        }
//: if INVOCATIONS > 2 * LOADERS
        if lane >= LOADERS && lane < 2u * LOADERS {
//: else
        if ALL_LOAD_BOTH || lane >= LOADERS {
//: end
            for (var i = 0u; i < DEPTH * COLUMNS4 / LOADERS; i++) {
                tile_w[i * LOADERS + loader] = unpack4(w[from_w + i * (LOADERS / COLUMNS4) * PANEL4]);
            }
            from_w += DEPTH * PANEL4;
        }
        workgroupBarrier();

        for (var k = 0u; k < k_end(); k += UNROLL) {
            // UNROLL steps.
            let line = k * LINE + TALL / 4u * y;
            let column = k * COLUMNS4 + x;
//: for k in 0..UNROLL
//:   for i in 0..TALL / 4
            let a${k}_${i} = tile_a[line + ${k}u * LINE + ${i}u];
//:   end
//:   for j in 0..WIDE
            let w${k}_${j} = tile_w[column + ${k}u * COLUMNS4 + ${j}u * ACROSS];
//:   end
//:   for i in 0..TALL / 4
//:     for part, xxxx in xxxx yyyy zzzz wwww
//:       for j in 0..WIDE
            sums.c${4 * i + part}_${j} = fma(a${k}_${i}.${xxxx}, w${k}_${j}, sums.c${4 * i + part}_${j});
//:       end
//:     end
//:   end
//: end
        }
        workgroupBarrier();
    }
    put(&sums, slice, row + TALL * y, column4 + x);
}
