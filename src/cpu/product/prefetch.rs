//! Asks for numbers of W before a product comes to them.
//!
//! Weights are read once a product, in the order they lie in, from beyond the caches. A processor's own
//! prefetcher stops at each page of 4 KiB and begins again behind it; a request a page ahead takes
//! the wait: `benches/results/2026-11-28-prefetch.txt`.

/// Numbers ahead: a page.
const AHEAD: usize = 1024;

/// Asks for the lines that stand [`AHEAD`] numbers behind the beginning of `panel`, as many as it has.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[expect(
    unsafe_code,
    reason = "the instruction takes an address; it reads nothing, and none is wrong"
)]
pub fn ahead(panel: &[f32]) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    const LINE: usize = 16;
    let from = panel.as_ptr().wrapping_add(AHEAD);
    for at in (0..panel.len()).step_by(LINE) {
        // SAFETY: a prefetch of any address is a hint that cannot fault.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(at).cast()) };
    }
}

/// Other processors are left to their own prefetchers: Rust has no such instruction for them yet.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub fn ahead(_: &[f32]) {}
