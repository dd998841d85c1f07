//! The generated part of products: named sums in registers and the unrolled steps over them.
//!
//! An array that a loop indexes is not kept in registers by every compiler (DXC leaves it in
//! memory, ACO loses a quarter of its speed), and WGSL has no way to unroll. So each cut gets a
//! prelude with a struct of named sums and the functions that work on them; all else is in
//! `shaders/matmul.wgsl`, `matmul_broadcast.wgsl` and `matmul_direct.wgsl`.

use std::fmt::Write;

use crate::schedule::Tile;
use crate::schedule::tiles::{MATMUL_K, PANEL};

/// How a workgroup of `matmul.wgsl` shares a tile.
struct Cut {
    /// Rows and columns of the tile.
    size: (usize, usize),
    /// Rows of an invocation, in vectors of four.
    tall4: usize,
    /// Columns of an invocation, in vectors of four.
    wide4: usize,
    /// Vectors of padding behind each line of A in workgroup memory, against bank conflicts.
    pad: usize,
}

impl Cut {
    fn new(tile: Tile) -> Self {
        let size = tile.size();
        match tile {
            Tile::R | Tile::S => Self { size, tall4: 1, wide4: 1, pad: 1 },
            Tile::M => Self { size, tall4: 2, wide4: 2, pad: 1 },
            // 16 KiB exactly: no room for padding.
            _ => Self { size, tall4: 2, wide4: 2, pad: 0 },
        }
    }

    /// Invocations side by side and one below the other.
    fn grid(&self) -> (usize, usize) {
        (self.size.1 / (4 * self.wide4), self.size.0 / (4 * self.tall4))
    }
}

/// Steps over k in one body of the loop.
pub const UNROLL: usize = 4;

/// Rows and column vectors of one subgroup in `matmul_broadcast.wgsl`.
const BROADCAST: (usize, usize) = (16, 2);

/// Rows and column vectors of one invocation in `matmul_direct.wgsl`.
const DIRECT: (usize, usize) = (16, 4);

/// The prelude of `tile` with `unroll` steps in one body of its loop.
pub fn prelude(tile: Tile, unroll: usize) -> String {
    let mut text = String::new();
    let written = match tile {
        Tile::Broadcast => broadcast(&mut text),
        Tile::Direct => direct(&mut text),
        Tile::Coop8 => coop(&mut text, 8),
        Tile::Coop16 => coop(&mut text, 16),
        _ => workgroup(&mut text, &Cut::new(tile), unroll),
    };
    // Writing to a string cannot fail.
    debug_assert!(written.is_ok());
    text
}

/// Multiply-adds an invocation does in one body of the loop of `tile`.
pub fn fmas(tile: Tile, unroll: usize) -> usize {
    match tile {
        Tile::Broadcast => BROADCAST.0 * BROADCAST.1 * 16,
        Tile::Direct => DIRECT.0 * DIRECT.1 * 16,
        // Matrices do them.
        Tile::Coop8 | Tile::Coop16 => 0,
        _ => {
            let cut = Cut::new(tile);
            16 * cut.tall4 * cut.wide4 * unroll
        }
    }
}

fn workgroup(out: &mut String, cut: &Cut, unroll: usize) -> std::fmt::Result {
    let (across, down) = cut.grid();
    // Where the lanes outnumber the blocks of A, one half loads A and the other W.
    let loaders = cut.size.0;
    let both = across * down == loaders;
    writeln!(out, "const ROWS: u32 = {}u;", cut.size.0)?;
    writeln!(out, "const COLUMNS4: u32 = {}u;", cut.size.1 / 4)?;
    writeln!(out, "const ACROSS: u32 = {across}u;")?;
    writeln!(out, "const INVOCATIONS: u32 = {}u;", across * down)?;
    writeln!(out, "const LINE: u32 = {}u;", cut.size.0 / 4 + cut.pad)?;
    writeln!(out, "const TALL4: u32 = {}u;", cut.tall4)?;
    writeln!(out, "const LOADERS: u32 = {loaders}u;")?;
    writeln!(out, "const ALL_LOAD_BOTH: bool = {both};")?;
    writeln!(out, "const UNROLL: u32 = {unroll}u;")?;
    // For statistics the end is one that no compiler knows, so that none unrolls the loop further.
    let end = if unroll == UNROLL { "DEPTH" } else { "params.k_steps" };
    writeln!(out, "fn k_end() -> u32 {{\n    return {end};\n}}")?;
    let (tall, wide) = (4 * cut.tall4, cut.wide4);
    sums(out, tall, wide)?;
    writeln!(out, "fn multiply(s: ptr<function, Sums>, from_a: u32, from_w: u32) {{")?;
    for k in 0..unroll {
        for i in 0..cut.tall4 {
            writeln!(out, "    let a{k}_{i} = tile_a[from_a + {k}u * LINE + {i}u];")?;
        }
        for j in 0..wide {
            writeln!(out, "    let w{k}_{j} = tile_w[from_w + {k}u * COLUMNS4 + {j}u * ACROSS];")?;
        }
        for i in 0..tall {
            let part = ["x", "y", "z", "w"][i % 4].repeat(4);
            for j in 0..wide {
                let c = format!("(*s).c{i}_{j}");
                writeln!(out, "    {c} = fma(a{k}_{}.{part}, w{k}_{j}, {c});", i / 4)?;
            }
        }
    }
    writeln!(out, "}}")?;
    put(out, tall, wide, "ACROSS")
}

fn broadcast(out: &mut String) -> std::fmt::Result {
    let (tall, wide) = BROADCAST;
    writeln!(out, "const TALL: u32 = {tall}u;")?;
    sums(out, tall, wide)?;
    starts(out, tall / 8, 8)?;
    writeln!(out, "fn multiply(s: ptr<function, Sums>, starts: Starts, k4: u32, from_w: u32) {{")?;
    for i in 0..tall / 8 {
        writeln!(out, "    let a{i} = four(a[starts.r{i} + k4]);")?;
    }
    for k in 0..4 {
        writeln!(out, "    let w{k} = w[from_w + {}u];", 8 * k)?;
        writeln!(out, "    let w{k}_0 = low4(w{k});\n    let w{k}_1 = high4(w{k});")?;
    }
    writeln!(out, "    var v: vec4<f32>;")?;
    for i in 0..tall {
        writeln!(out, "    v = subgroupShuffle(a{}, {}u);", i / 8, i % 8)?;
        for j in 0..wide {
            let c = format!("(*s).c{i}_{j}");
            writeln!(
                out,
                "    {c} = fma(v.wwww, w3_{j}, fma(v.zzzz, w2_{j}, fma(v.yyyy, w1_{j}, \
                 fma(v.xxxx, w0_{j}, {c}))));"
            )?;
        }
    }
    writeln!(out, "}}\nfn put(s: ptr<function, Sums>, row: u32, column4: u32) {{")?;
    for j in 0..wide {
        writeln!(out, "    if column4 + {j}u < params.n4 {{")?;
        writeln!(out, "        let b = four(bias[column4 + {j}u]);")?;
        for i in 0..tall {
            writeln!(out, "        store(row + {i}u, column4 + {j}u, (*s).c{i}_{j} + b);")?;
        }
        writeln!(out, "    }}")?;
    }
    writeln!(out, "}}")
}

fn direct(out: &mut String) -> std::fmt::Result {
    let (tall, wide) = DIRECT;
    let (rows, columns) = Tile::Direct.size();
    let across = columns / (4 * wide);
    writeln!(out, "const ROWS: u32 = {rows}u;\nconst TALL: u32 = {tall}u;")?;
    writeln!(out, "const ACROSS: u32 = {across}u;")?;
    writeln!(out, "const INVOCATIONS: u32 = {}u;", rows / tall * across)?;
    sums(out, tall, wide)?;
    starts(out, tall, 1)?;
    writeln!(out, "fn multiply(s: ptr<function, Sums>, starts: Starts, k4: u32, from_w: u32) {{")?;
    for i in 0..tall {
        writeln!(out, "    let a{i} = load4(a[starts.r{i} + k4]);")?;
    }
    // A sum is written once: a write in a loop is one of those lanes that still run, and reads first.
    for (k, part) in ["x", "y", "z", "w"].into_iter().enumerate() {
        for j in 0..wide {
            let at = PANEL / 4 * k + across * j;
            writeln!(out, "    let w{k}_{j} = unpack4(w[from_w + {at}u]);")?;
        }
        for i in 0..tall {
            for j in 0..wide {
                let sum = |k: usize| format!("c{k}_{i}_{j}");
                let from = if k == 0 { format!("(*s).c{i}_{j}") } else { sum(k - 1) };
                let to = if k == 3 { format!("(*s).c{i}_{j}") } else { format!("let {}", sum(k)) };
                writeln!(out, "    {to} = fma(a{i}.{}, w{k}_{j}, {from});", part.repeat(4))?;
            }
        }
    }
    writeln!(out, "}}")?;
    put(out, tall, wide, "ACROSS")
}

/// Rows of one subgroup in `matmul_coop.wgsl`; its columns are a panel.
const COOP_TALL: usize = 32;

fn coop(out: &mut String, side: usize) -> std::fmt::Result {
    let (tall, wide) = (COOP_TALL / side, PANEL / side);
    let matrix = |role: &str| match role {
        "C" => format!("coop_mat{side}x{side}<f32, C>"),
        _ => format!("coop_mat{side}x{side}<f16, {role}>"),
    };
    let sums = || (0..tall).flat_map(|i| (0..wide).map(move |j| (i, j)));
    writeln!(out, "const ROWS: u32 = {}u;", Tile::Coop16.size().0)?;
    writeln!(out, "const TALL: u32 = {COOP_TALL}u;\nconst SIDE: u32 = {side}u;")?;
    writeln!(out, "struct Sums {{")?;
    for (i, j) in sums() {
        writeln!(out, "    c{i}_{j}: {},", matrix("C"))?;
    }
    writeln!(out, "}}\nfn clear(s: ptr<function, Sums>, at: u32) {{")?;
    writeln!(out, "    let zero = coopLoadT<{}>(&block[at], SIDE);", matrix("C"))?;
    for (i, j) in sums() {
        writeln!(out, "    (*s).c{i}_{j} = zero;")?;
    }
    writeln!(out, "}}\nfn multiply(s: ptr<function, Sums>, from_a: u32) {{")?;
    for k in 0..MATMUL_K / side {
        for i in 0..tall {
            let at = format!("from_a + {}u * LINE_A + {}u", i * side, k * side);
            let load = format!("coopLoadT<{}>(&tile_a[{at}], LINE_A)", matrix("A"));
            writeln!(out, "    let a{k}_{i} = {load};")?;
        }
        for j in 0..wide {
            let at = format!("{}u * LINE_W + {}u", k * side, j * side);
            let load = format!("coopLoadT<{}>(&tile_w[{at}], LINE_W)", matrix("B"));
            writeln!(out, "    let w{k}_{j} = {load};")?;
            for i in 0..tall {
                let c = format!("(*s).c{i}_{j}");
                writeln!(out, "    {c} = coopMultiplyAdd(a{k}_{i}, w{k}_{j}, {c});")?;
            }
        }
    }
    writeln!(
        out,
        "}}\nfn put(s: ptr<function, Sums>, lane: u32, subgroup: u32, slots: u32, slice: u32, row: u32, \
         column4: u32) {{"
    )?;
    for (i, j) in sums() {
        writeln!(out, "    if subgroup < slots {{")?;
        writeln!(out, "        coopStoreT((*s).c{i}_{j}, &block[subgroup * BLOCK], SIDE);")?;
        writeln!(out, "    }}\n    workgroupBarrier();")?;
        let to = format!("{}u, column4 + {}u", i * side, j * side / 4);
        writeln!(out, "    store_blocks(lane, slots, slice, row, {to});")?;
        writeln!(out, "    workgroupBarrier();")?;
    }
    writeln!(out, "}}")
}

/// Where the rows of A start that an invocation reads, `count` of them `apart` rows from each other: rows
/// past the end repeat the last one.
fn starts(out: &mut String, count: usize, apart: usize) -> std::fmt::Result {
    writeln!(out, "struct Starts {{")?;
    for i in 0..count {
        writeln!(out, "    r{i}: u32,")?;
    }
    writeln!(out, "}}\nfn start_rows(row: u32) -> Starts {{\n    return Starts(")?;
    for i in 0..count {
        writeln!(out, "        min(row + {}u, params.m - 1u) * params.k4,", apart * i)?;
    }
    writeln!(out, "    );\n}}")
}

/// `tall` rows of `wide` vectors, zero at first.
fn sums(out: &mut String, tall: usize, wide: usize) -> std::fmt::Result {
    writeln!(out, "struct Sums {{")?;
    for i in 0..tall {
        for j in 0..wide {
            writeln!(out, "    c{i}_{j}: vec4<f32>,")?;
        }
    }
    writeln!(out, "}}")
}

/// Stores the sums: rows from `row`, vectors `column4`, `column4 + across`, ...
fn put(out: &mut String, tall: usize, wide: usize, across: &str) -> std::fmt::Result {
    writeln!(out, "fn put(s: ptr<function, Sums>, slice: u32, row: u32, column4: u32) {{")?;
    for i in 0..tall {
        for j in 0..wide {
            writeln!(
                out,
                "    store(slice, row + {i}u, column4 + {j}u * {across}, (*s).c{i}_{j});"
            )?;
        }
    }
    writeln!(out, "}}")
}
