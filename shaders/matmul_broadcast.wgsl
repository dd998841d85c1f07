// C = activate(A Wᵀ + b) (+ residual), without workgroup memory: for adapters whose subgroups are
// known to be 8 wide and whose workgroup memory is no faster than any other, which is software
// Vulkan (llvmpipe runs a workgroup as 8-wide vectors and a barrier as a switch of coroutines).
//
// A subgroup computes TALL rows by a panel of 64 columns: lane l holds 8 columns of every row, loads
// rows l, l + 8, ... of A four numbers at a time, and the rows are handed round by shuffles from a
// lane that is the same for all, which become one broadcast each. Loads are half of the time: they go in 64-bit words
// (lib/words.wgsl says why), and the widest there are for W.
//
// The chain of each number is that of matmul.wgsl, k = 0, 1, 2, ...

struct MatmulParams {
    m: u32,
    n4: u32,
    k4: u32,
    k_steps: u32,
    first_row: u32,
}

@group(0) @binding(0) var<uniform> params: MatmulParams;
@group(0) @binding(1) var<storage, read> a: array<vec2<u64>>; // (m, k4)
@group(0) @binding(2) var<storage, read> w: array<Packed8>; // (n / 64, k, 8)
@group(0) @binding(3) var<storage, read> bias: array<vec2<u64>>; // (n4)
@group(0) @binding(4) var<storage, read_write> c: array<vec2<u64>>; // (m, n4)

/// Takes four steps of k, the vectors `k4` of A and those from `from_w` of W.
fn multiply(s: ptr<function, Sums>, starts: Starts, k4: u32, from_w: u32) {
//: for i in 0..STARTS
    let a${i} = four(a[starts.r${i} + k4]);
//: end
//: for k in 0..4
    let w${k} = w[from_w + ${8 * k}u];
    let w${k}_0 = low4(w${k});
    let w${k}_1 = high4(w${k});
//: end
    var v: vec4<f32>;
//: for i in 0..TALL
    v = subgroupShuffle(a${i / 8}, ${i % 8}u);
//:   for j in 0..WIDE
    (*s).c${i}_${j} = fma(v.wwww, w3_${j}, fma(v.zzzz, w2_${j}, fma(v.yyyy, w1_${j}, fma(v.xxxx, w0_${j}, (*s).c${i}_${j}))));
//:   end
//: end
}

fn put(s: ptr<function, Sums>, row: u32, column4: u32) {
//: for j in 0..WIDE
    if column4 + ${j}u < params.n4 {
        let b = four(bias[column4 + ${j}u]);
//:   for i in 0..TALL
        store(row + ${i}u, column4 + ${j}u, (*s).c${i}_${j} + b);
//:   end
    }
//: end
}

@compute @workgroup_size(64u / TALL * 8u)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let lane = index % 8u;
    let row = params.first_row + group.y * 64u + TALL * (index / 8u);
    // Nothing waits for the others: a subgroup without rows is done.
    if row >= params.m {
        return;
    }
    let starts = start_rows(row + lane);
    var from_w = group.x * params.k_steps * 128u + lane;
    var sums = Sums();
    for (var k4 = 0u; k4 < params.k4; k4++) {
        multiply(&sums, starts, k4, from_w);
        from_w += 32u;
    }
    put(&sums, row, group.x * 16u + 2u * lane);
}

fn store(row: u32, column4: u32, sum: vec4<f32>) {
    if row < params.m {
        let at = row * params.n4 + column4;
        c[at] = words(add_residual(activate(sum), at));
    }
}
