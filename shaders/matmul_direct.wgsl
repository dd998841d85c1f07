// C = activate(A Wᵀ + b) (+ residual), without workgroup memory: for processors that play a GPU. There
// a barrier switches coroutines, and a load costs a test and a jump a number whatever its place is,
// in workgroup memory as well (SwiftShader in a page checks each against the end of its array, and
// keeps nothing in a register): so an invocation has a block of C as large as its code stays
// compilable, and reads what it needs itself.
//
// An invocation computes TALL rows by four vectors of a panel of 64 columns, ACROSS of them the panel.
// The chain of each number is that of matmul.wgsl,
// k = 0, 1, 2, ...

/// Takes four steps of k, the vectors `k4` of A and those from `from_w` of W.
fn multiply(s: ptr<function, Sums>, starts: Starts, k4: u32, from_w: u32) {
//: for i in 0..TALL
    let a${i} = load4(a[starts.r${i} + k4]);
//: end
//: for k, xxxx in xxxx yyyy zzzz wwww
//:   for j in 0..WIDE
    let w${k}_${j} = unpack4(w[from_w + ${16 * k + ACROSS * j}u]);
//:   end
//:   for i in 0..TALL
//:     for j in 0..WIDE
    // A sum is written once: a write in a loop is one of those lanes that still run, and reads first.
//:       if k == 0
    let c0_${i}_${j} = fma(a${i}.${xxxx}, w0_${j}, (*s).c${i}_${j});
//:       else
//:         if k == 3
    (*s).c${i}_${j} = fma(a${i}.${xxxx}, w3_${j}, c2_${i}_${j});
//:         else
    let c${k}_${i}_${j} = fma(a${i}.${xxxx}, w${k}_${j}, c${k - 1}_${i}_${j});
//:         end
//:       end
//:     end
//:   end
//: end
}

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    // Part `slice` of SPLITS along k (matmul_part.wgsl), or the whole.
    let slice = group.y % SPLITS;
    let row = params.first_row + group.y / SPLITS * ROWS + lane / ACROSS * TALL;
    // Nothing waits for the others: an invocation without rows is done.
    if row >= params.m {
        return;
    }
    let steps = (params.k_steps + SPLITS - 1u) / SPLITS;
    let first = 4u * slice * steps;
    let last = min(first + 4u * steps, params.k4);
    let x = lane % ACROSS;
    let starts = start_rows(row);
    var from_w = 64u * (group.x * params.k_steps + slice * steps) * 4u + x;
    var sums = Sums();
    for (var k4 = first; k4 < last; k4++) {
        multiply(&sums, starts, k4, from_w);
        from_w += 64u;
    }
    put(&sums, slice, row, 16u * group.x + x);
}
