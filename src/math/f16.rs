//! Numbers of 16 bits, two in a word: what `shaders/lib/in_f16.wgsl` and `out_f16.wgsl` read and
//! write. The CPU executor's own recordings have none; those made for a GPU, which tests and
//! `doctor` run here as well, do.

use half::f16;

use crate::error::{Result, fail};

/// Four NaN, as `out_f16.wgsl` writes them.
const NAN: [u32; 2] = [0x7e00_7e00; 2];

/// The numbers of `words`, low half first.
pub fn unpack(words: &[u32]) -> Vec<f32> {
    let number = |half: u32| f16::from_bits(half as u16).to_f32();
    words.iter().flat_map(|&word| [number(word), number(word >> 16)]).collect()
}

/// Rounds `numbers` into `words`. Four of which one is beyond f16, infinite or NaN become NaN.
pub fn pack(numbers: &[f32], words: &mut [u32]) {
    let half = |x: f32| u32::from(f16::from_f32(x).to_bits());
    for (four, words) in numbers.chunks_exact(4).zip(words.chunks_exact_mut(2)) {
        let holds = four.iter().all(|x| x.abs() <= f16::MAX.to_f32());
        let packed = [half(four[0]) | half(four[1]) << 16, half(four[2]) | half(four[3]) << 16];
        words.copy_from_slice(if holds { &packed } else { &NAN });
    }
}

/// `values` rounded to 16 bits.
///
/// # Errors
/// [`ErrorKind::NotFinite`](crate::ErrorKind::NotFinite) for a value beyond 65504, which 16 bits
/// cannot hold.
pub fn to_f16(values: &[f32]) -> Result<Vec<f16>> {
    let narrow = |&x: &f32| match f16::from_f32(x) {
        y if y.is_finite() => Ok(y),
        _ => Err(fail!(
            NotFinite,
            "{x} does not fit 16 bits (at most 65504): use precision f32, or normalise"
        )),
    };
    values.iter().map(narrow).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn what_f16_does_not_hold_is_nan() {
        let largest = f16::MAX.to_f32();
        let mut words = [0; 2];
        pack(&[1.0, -2.5, largest, -largest], &mut words);
        assert_eq!(unpack(&words), [1.0, -2.5, largest, -largest]);
        for beyond in [65_504.01, -65_520.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
            for at in 0..4 {
                let mut four = [1.0; 4];
                four[at] = beyond;
                pack(&four, &mut words);
                assert!(unpack(&words).iter().all(|x| x.is_nan()), "{beyond} at {at}");
            }
        }
    }

    #[test]
    fn halves_round_and_refuse_to_overflow() {
        // numpy.float32([0.1, 65519, 1e-8]).astype(numpy.float16)
        assert_eq!(to_f16(&[0.1, 65519.0, 1e-8]).unwrap().map_f32(), [0.099_975_586, 65504.0, 0.0]);
        assert_eq!(to_f16(&[1.0, 65520.0]).unwrap_err().kind(), ErrorKind::NotFinite);
    }

    trait MapF32 {
        fn map_f32(&self) -> Vec<f32>;
    }

    impl MapF32 for Vec<f16> {
        fn map_f32(&self) -> Vec<f32> {
            self.iter().map(|x| x.to_f32()).collect()
        }
    }
}
