//! What this tool knows of ACO, RADV's compiler: the depth of a loop in its printed code.
//!
//! ACO's estimate counts a block once outside loops, 8 times inside one, 32 inside two, 64 inside
//! three, then twice more a level: it knows no trip counts. So a marginal cost means something only
//! beside the depth of the loop it is in, after all that the compiler unrolled by itself.

/// Multiplications of 32-bit floats a lane, fused with an addition or not, by the depth of the
/// loops around them: `[0]` outside all loops.
pub fn multiplies(ir: &str) -> Vec<u64> {
    let mut by_depth = vec![0];
    let mut depth = 0;
    for line in ir.lines() {
        // Every block names its kind before its instructions; a header is inside its loop, the
        // exit after it. One block can be both.
        if let Some((_, kind)) = line.split_once("kind:") {
            let is = |word: &str| kind.contains(word);
            depth -= usize::from(is("loop-exit") && depth > 0);
            depth += usize::from(is("loop-header"));
            if by_depth.len() <= depth {
                by_depth.resize(depth + 1, 0);
            }
        }
        let Some((_, operation)) = line.split_once(" = ") else { continue };
        by_depth[depth] += match operation.split_whitespace().next() {
            Some(name) if name.starts_with("v_pk_fma") || name.starts_with("v_pk_mul_f") => 2,
            Some(name) if PRODUCTS.iter().any(|product| name.starts_with(product)) => 1,
            _ => 0,
        };
    }
    by_depth
}

/// A product that starts a sum of zero is a plain multiplication.
const PRODUCTS: [&str; 5] = ["v_fma_", "v_fmac_", "v_mad_", "v_mac_", "v_mul_f"];

/// The depth at which `more` has at least `fmas` products beyond `fewer`, if the rest of the code
/// is the same but for a tenth of that: none where the compiler unrolled only one of the two.
pub fn depth_of_growth(fewer: &[u64], more: &[u64], fmas: u64) -> Option<usize> {
    let at = |counts: &[u64], depth: usize| counts.get(depth).copied().unwrap_or(0);
    let depths = 0..fewer.len().max(more.len());
    let grown = depths.clone().find(|&d| at(more, d) >= at(fewer, d) + fmas)?;
    let same = |d: usize| d == grown || at(more, d).abs_diff(at(fewer, d)) * 10 <= fmas;
    depths.into_iter().all(same).then_some(grown)
}

#[cfg(test)]
mod tests {
    use super::{depth_of_growth, multiplies};

    const IR: &str = "\
After Spilling:
BB0
/* logical preds: / linear preds: / kind: uniform, top-level, loop-preheader, */
\t v1: %5 = v_mul_f32 %3, %4
BB1
/* logical preds: BB0, BB4, / linear preds: BB0, BB4, / kind: uniform, loop-header, */
\t v1: %6 = v_add_f32 %3, %4
\t v1: %7 = v_fma_f32 %3, %4, (kill)%5
BB2
/* logical preds: BB1, BB2, / linear preds: BB1, BB2, / kind: uniform, loop-header, */
\t v1: %8 = v_fmac_f32 %3, %4, (kill)%5
\t v1: %9 = v_fma_f32 %3, %4, (kill)%5
\t v1: %10 = v_pk_fma_f16 %3, %4, (kill)%5
BB3
/* logical preds: BB2, / linear preds: BB2, / kind: uniform, loop-exit, loop-preheader, */
BB4
/* logical preds: BB3, BB4, / linear preds: BB3, BB4, / kind: uniform, loop-header, */
\t v1: %11 = v_fma_f32 %3, %4, (kill)%5
BB5
/* logical preds: BB4, / linear preds: BB4, / kind: uniform, loop-exit, continue, */
\t v1: %12 = v_mul_f32 %3, %4
BB6
/* logical preds: BB1, / linear preds: BB1, / kind: uniform, top-level, loop-exit, */
\t v1: %13 = v_mul_f32 %3, %4
";

    #[test]
    fn products_are_counted_by_the_depth_of_their_loops() {
        assert_eq!(multiplies(IR), [2, 2, 5]);
    }

    #[test]
    fn growth_is_found_where_it_is() {
        assert_eq!(depth_of_growth(&[900, 4, 64], &[900, 4, 128], 64), Some(2));
        assert_eq!(depth_of_growth(&[16, 3, 70], &[17, 3, 150], 64), Some(2));
    }

    #[test]
    fn no_growth_is_told_where_the_compiler_unrolled_one_of_the_two() {
        assert_eq!(depth_of_growth(&[0, 0, 64], &[0, 512], 64), None);
        assert_eq!(depth_of_growth(&[0, 64], &[0, 100], 64), None);
    }
}
