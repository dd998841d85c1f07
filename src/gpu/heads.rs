//! The generated part of attention: one invocation's part of a head in named registers, and the
//! unrolled steps over it. Why it is generated: see `product.rs`. The rest is in
//! `shaders/attention.wgsl`.

use std::fmt::Write;

use crate::schedule::tiles::{attention_parts, attention_rows};

/// Workgroup memory of default WebGPU limits.
const WORKGROUP_BYTES: usize = 16 * 1024;
/// Bytes of keys and values an invocation: little enough that memory leaves room for as many
/// subgroups as registers do (on RDNA 2, 32 KiB a SIMD: 8 subgroups of 64).
const BYTES: usize = 64;

/// Keys of one tile: a multiple of the eight that go at a time.
pub fn keys(head_dim: usize) -> usize {
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
pub fn fmas(head_dim: usize) -> usize {
    2 * 8 * 4 * head_dim.div_ceil(4 * attention_parts(head_dim))
}

/// The sizes for heads `head_dim` numbers apart.
pub fn sizes(head_dim: usize) -> String {
    let parts = attention_parts(head_dim);
    format!(
        "const HEAD_DIM4: u32 = {}u;\nconst PARTS: u32 = {parts}u;\nconst PART4: u32 = {}u;\n\
         const ROWS: u32 = {}u;\nconst KEYS: u32 = {}u;\n",
        head_dim / 4,
        head_dim.div_ceil(4 * parts),
        attention_rows(head_dim),
        keys(head_dim)
    )
}

/// The sizes and the steps of `attention.wgsl`, with `unroll` times eight keys in one body of its
/// loop; one in earnest.
pub fn prelude(head_dim: usize, unroll: usize) -> String {
    let mut text = sizes(head_dim);
    let written = steps(&mut text, head_dim.div_ceil(4 * attention_parts(head_dim)), unroll);
    // Writing to a string cannot fail.
    debug_assert!(written.is_ok());
    text
}

/// The sizes and the steps of `attention_direct.wgsl`.
pub fn direct(head_dim: usize) -> String {
    let mut text = sizes(head_dim);
    let written = block(&mut text, head_dim / 4);
    // Writing to a string cannot fail.
    debug_assert!(written.is_ok());
    text
}

fn block(out: &mut String, dim4: usize) -> std::fmt::Result {
    let rows = ["x", "y", "z", "w"];
    let vectors = || rows.into_iter().flat_map(|row| (0..dim4).map(move |i| (row, i)));
    writeln!(out, "struct Block {{")?;
    for (row, i) in vectors() {
        writeln!(out, "    {row}{i}: vec4<f32>,")?;
    }
    writeln!(out, "}}\nfn load_queries(at: vec4<u32>) -> Block {{\n    return Block(")?;
    for (row, i) in vectors() {
        writeln!(out, "        load4(qkv[at.{row} + {i}u]) * params.scale,")?;
    }
    writeln!(out, "    );\n}}")?;

    // One chain of multiply-adds a row.
    writeln!(out, "fn scores(q: ptr<function, Block>, at: u32) -> vec4<f32> {{")?;
    for i in 0..dim4 {
        writeln!(out, "    let k{i} = load4(qkv[at + {i}u]);")?;
    }
    for row in rows {
        writeln!(out, "    var s{row} = 0.0;")?;
        for i in 0..dim4 {
            let sum = rows.into_iter().fold(format!("s{row}"), |sum, part| {
                format!("fma((*q).{row}{i}.{part}, k{i}.{part}, {sum})")
            });
            writeln!(out, "    s{row} = {sum};")?;
        }
    }
    writeln!(out, "    return vec4<f32>(sx, sy, sz, sw);\n}}")?;

    writeln!(out, "fn fade(o: ptr<function, Block>, by: vec4<f32>) {{")?;
    for (row, i) in vectors() {
        writeln!(out, "    (*o).{row}{i} *= by.{row};")?;
    }
    writeln!(out, "}}\nfn gather(o: ptr<function, Block>, p: vec4<f32>, at: u32) {{")?;
    for i in 0..dim4 {
        writeln!(out, "    let v{i} = load4(qkv[at + {i}u]);")?;
        for row in rows {
            let to = format!("(*o).{row}{i}");
            writeln!(out, "    {to} = fma(vec4<f32>(p.{row}), v{i}, {to});")?;
        }
    }
    writeln!(out, "}}")?;

    // `left` rows of the text are from here on.
    writeln!(out, "fn put(o: ptr<function, Block>, by: vec4<f32>, at: u32, left: u32) {{")?;
    for (r, row) in rows.into_iter().enumerate() {
        writeln!(out, "    if left > {r}u {{")?;
        for i in 0..dim4 {
            let to = format!("at + {r}u * params.out4 + {i}u");
            writeln!(out, "        context[{to}] = store4((*o).{row}{i} * by.{row});")?;
        }
        writeln!(out, "    }}")?;
    }
    writeln!(out, "}}")
}

fn steps(out: &mut String, part4: usize, unroll: usize) -> std::fmt::Result {
    writeln!(out, "struct Slice {{")?;
    for i in 0..part4 {
        writeln!(out, "    v{i}: vec4<f32>,")?;
    }
    writeln!(out, "}}")?;

    writeln!(out, "fn load_query(at: u32, part: u32) -> Slice {{\n    return Slice(")?;
    for i in 0..part4 {
        writeln!(out, "        load_part(at, {i}u, part) * params.scale,")?;
    }
    writeln!(out, "    );\n}}")?;

    // One chain of multiply-adds a key; the eight are independent.
    writeln!(out, "fn score(q: ptr<function, Slice>, at: u32) -> Scores {{")?;
    let places = ["a.x", "a.y", "a.z", "a.w", "b.x", "b.y", "b.z", "b.w"];
    writeln!(out, "    var s = Scores();")?;
    for i in 0..part4 {
        for (key, place) in places.iter().enumerate() {
            writeln!(out, "    let k{key}_{i} = keys[at + {key}u * LINE + {i}u * PARTS];")?;
            let mut sum = format!("s.{place}");
            for part in ["x", "y", "z", "w"] {
                sum = format!("fma((*q).v{i}.{part}, k{key}_{i}.{part}, {sum})");
            }
            writeln!(out, "    s.{place} = {sum};")?;
        }
    }
    writeln!(out, "    return s;\n}}")?;

    // o = o fade + p v
    writeln!(out, "fn gather(o: ptr<function, Slice>, p: Scores, fade: f32, at: u32) {{")?;
    for i in 0..part4 {
        let mut sum = format!("(*o).v{i} * fade");
        for (key, place) in places.iter().enumerate() {
            writeln!(out, "    let v{key}_{i} = values[at + {key}u * LINE + {i}u * PARTS];")?;
            sum = format!("fma(vec4<f32>(p.{place}), v{key}_{i}, {sum})");
        }
        writeln!(out, "    (*o).v{i} = {sum};")?;
    }
    writeln!(out, "}}")?;

    writeln!(out, "const GROUP: u32 = {}u;", 8 * unroll)?;
    writeln!(out, "fn group(")?;
    writeln!(
        out,
        "    q: ptr<function, Slice>, o: ptr<function, Slice>, run: ptr<function, Online>,"
    )?;
    writeln!(out, "    at: Keys, query: u32, lane: u32,")?;
    writeln!(out, ") {{")?;
    for i in 0..unroll {
        if i > 0 {
            // Copies follow each other as turns of the loop do: no loads ahead of their turn.
            writeln!(out, "    workgroupBarrier();")?;
        }
        let keys = format!("Keys(at.start, at.j + {}u, at.here)", 8 * i);
        writeln!(out, "    eight(q, o, run, {keys}, query, lane);")?;
    }
    writeln!(out, "}}")?;

    writeln!(out, "fn put(o: ptr<function, Slice>, factor: f32, at: u32, part: u32) {{")?;
    for i in 0..part4 {
        writeln!(out, "    store_part(at, {i}u, part, (*o).v{i} * factor);")?;
    }
    writeln!(out, "}}")
}
