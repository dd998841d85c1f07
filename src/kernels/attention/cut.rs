//! How the heads of `shaders/attention*.wgsl` are cut up: the constants of a head_dim.

use crate::kernels::template::Constants;
use crate::kernels::{attention_parts, attention_rows};

/// Workgroup memory of default WebGPU limits.
const WORKGROUP_BYTES: usize = 16 * 1024;
/// Bytes of keys and values an invocation: little enough that memory leaves room for as many
/// subgroups as registers do (on RDNA 2, 32 KiB a SIMD: 8 subgroups of 64).
const BYTES: usize = 64;

/// Keys of one tile: a multiple of the eight that go at a time.
pub(super) fn keys(head_dim: usize) -> usize {
    let (rows, parts) = (attention_rows(head_dim), attention_parts(head_dim));
    let line = head_dim.div_ceil(4 * parts) * parts;
    let invocations = rows * parts;
    // Behind them lie the scores of `attention_shared.wgsl`, two vectors an invocation.
    let room = (BYTES * invocations).min(WORKGROUP_BYTES - 32 * invocations);
    match parts {
        // What `attention_overlay.wgsl` counts on.
        8 => 8,
        _ => (room / (2 * 16 * line) / 8 * 8).clamp(8, 64),
    }
}

/// Multiply-adds an invocation does for eight keys.
pub(super) fn fmas(head_dim: usize) -> usize {
    2 * 8 * 4 * head_dim.div_ceil(4 * attention_parts(head_dim))
}

/// The constants for heads `head_dim` numbers apart, with `unroll` times eight keys in one body of the
/// loop of `attention.wgsl`; one in earnest.
pub(super) fn constants(head_dim: usize, unroll: usize) -> Constants {
    let parts = attention_parts(head_dim);
    Constants::default()
        .number("HEAD_DIM4", head_dim / 4)
        .number("PARTS", parts)
        .number("PART4", head_dim.div_ceil(4 * parts))
        .number("ROWS", attention_rows(head_dim))
        .number("KEYS", keys(head_dim))
        .number("UNROLL", unroll)
}
