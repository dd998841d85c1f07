//! Loading, mapping and adding up on whole vector registers, and exp, by the crate `pulp`.

use pulp::Simd;

/// Loads one register from the start of `x`.
#[inline(always)]
pub fn load<S: Simd>(_: S, x: &[f32]) -> S::f32s {
    bytemuck::pod_read_unaligned(bytemuck::cast_slice(&x[..S::F32_LANES]))
}

/// f of every number; the last register is filled up with zeros.
#[inline(always)]
pub(super) fn map<S: Simd>(simd: S, values: &mut [f32], f: impl Fn(S::f32s) -> S::f32s) {
    let mut blocks = values.chunks_exact_mut(S::F32_LANES);
    for block in &mut blocks {
        let y = f(load(simd, block));
        block.copy_from_slice(bytemuck::cast_slice(&[y]));
    }
    let rest = blocks.into_remainder();
    if !rest.is_empty() {
        let y = f(simd.partial_load_f32s(rest));
        rest.copy_from_slice(&bytemuck::cast_slice(&[y])[..rest.len()]);
    }
}

/// e^x, within 2 units in the last place for x in [-87, 88]; clamped outside, so never infinite.
/// Cody and Waite's reduction with the polynomial of Cephes' `expf`.
#[inline(always)]
pub(super) fn exp<S: Simd>(s: S, x: S::f32s) -> S::f32s {
    // NaN may be lost here; what calls this keeps it.
    let x = s.min_f32s(s.splat_f32s(88.0), s.max_f32s(s.splat_f32s(-87.0), x));
    // Adding 1.5 x 2^23 rounds to a whole number n, which then stands in the low bits.
    let shifted =
        s.mul_add_e_f32s(x, s.splat_f32s(std::f32::consts::LOG2_E), s.splat_f32s(12_582_912.0));
    let n = s.sub_f32s(shifted, s.splat_f32s(12_582_912.0));
    let r = s.mul_add_e_f32s(n, s.splat_f32s(-0.693_359_4), x);
    let r = s.mul_add_e_f32s(n, s.splat_f32s(2.121_944_4e-4), r);
    let p = s.splat_f32s(1.987_569_1e-4);
    let p = s.mul_add_e_f32s(p, r, s.splat_f32s(1.398_199_9e-3));
    let p = s.mul_add_e_f32s(p, r, s.splat_f32s(8.333_452e-3));
    let p = s.mul_add_e_f32s(p, r, s.splat_f32s(4.166_579_6e-2));
    let p = s.mul_add_e_f32s(p, r, s.splat_f32s(0.166_666_66));
    let p = s.mul_add_e_f32s(p, r, s.splat_f32s(0.5));
    let y = s.add_f32s(s.mul_add_e_f32s(p, s.mul_f32s(r, r), r), s.splat_f32s(1.0));
    let bits = s.wrapping_dyn_shl_u32s(s.transmute_u32s_f32s(shifted), s.splat_u32s(23));
    let power = s.transmute_f32s_u32s(s.add_u32s(bits, s.splat_u32s(0x3f80_0000)));
    s.mul_f32s(y, power)
}

/// Sum of f(x) over the numbers: a register of chains, then the tail. The order depends on the
/// length alone.
#[inline(always)]
pub(super) fn sum<S: Simd>(s: S, values: &[f32], f: impl Fn(S::f32s) -> S::f32s) -> f32 {
    let mut chains = s.splat_f32s(0.0);
    let blocks = values.chunks_exact(S::F32_LANES);
    let rest = blocks.remainder();
    for block in blocks {
        chains = s.add_f32s(chains, f(load(s, block)));
    }
    let mut total = s.reduce_sum_f32s(chains);
    let filled = f(s.partial_load_f32s(rest));
    for y in bytemuck::cast_slice::<S::f32s, f32>(&[filled]).iter().take(rest.len()) {
        total += y;
    }
    total
}

#[cfg(test)]
mod tests {
    use pulp::{Arch, WithSimd};

    use super::*;

    /// exp of each number, through the vector code.
    fn exp_of(mut x: Vec<f32>) -> Vec<f32> {
        struct Work<'a>(&'a mut [f32]);
        impl WithSimd for Work<'_> {
            type Output = ();
            fn with_simd<S: Simd>(self, s: S) {
                map(
                    s,
                    self.0,
                    #[inline(always)]
                    |x| exp(s, x),
                );
            }
        }
        Arch::new().dispatch(Work(&mut x));
        x
    }

    #[test]
    fn exp_is_within_two_units_in_the_last_place() {
        let x: Vec<f32> = (0..200_001).map(|i| -87.0 + i as f32 * (175.0 / 200_000.0)).collect();
        let mut worst = 0f64;
        for (x, y) in x.iter().zip(exp_of(x.clone())) {
            let want = f64::from(*x).exp();
            let next = f32::from_bits((want as f32).to_bits() + 1);
            let unit = f64::from(next) - f64::from(want as f32);
            worst = worst.max((f64::from(y) - want).abs() / unit);
        }
        assert!(worst < 2.0, "{worst} units");
    }
}
