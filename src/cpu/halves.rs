//! Numbers of 16 bits, two in a word: what `shaders/lib/in_f16.wgsl` and `out_f16.wgsl` read and
//! write. The CPU executor's own recordings have none; those made for a GPU, which tests and
//! `doctor` run here as well, do.

use half::f16;

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
