//! The generated part of normalisation: an invocation's vectors of a row in named registers, so
//! that a row is read once and written once. Why it is generated: see `product.rs`. The rest is in
//! `shaders/lib/row.wgsl`.

use std::fmt::Write;

/// The prelude for rows that `lanes` invocations share, each with `held` vectors of them.
pub fn prelude(lanes: usize, held: usize) -> String {
    let mut text = String::new();
    let written = write(&mut text, lanes, held);
    // Writing to a string cannot fail.
    debug_assert!(written.is_ok());
    text
}

fn write(out: &mut String, lanes: usize, held: usize) -> std::fmt::Result {
    writeln!(out, "const LANES: u32 = {lanes}u;")?;
    writeln!(out, "struct Held {{")?;
    for i in 0..held {
        writeln!(out, "    v{i}: vec4<f32>,")?;
    }
    writeln!(out, "}}\nfn load(row: u32, lane: u32) -> Held {{\n    return Held(")?;
    for i in 0..held {
        writeln!(out, "        load_part(row, lane + {i}u * LANES),")?;
    }
    writeln!(out, "    );\n}}\nfn sum_held(h: Held) -> f32 {{\n    var sum = h.v0;")?;
    for i in 1..held {
        writeln!(out, "    sum += h.v{i};")?;
    }
    writeln!(out, "    return sum4(sum);\n}}")?;
    writeln!(out, "fn sum_squares(h: Held, mean: f32, lane: u32) -> f32 {{")?;
    writeln!(out, "    var sum = vec4<f32>(0.0);\n    var d: vec4<f32>;")?;
    for i in 0..held {
        writeln!(out, "    d = within(h.v{i} - mean, 4u * (lane + {i}u * LANES), params.width);")?;
        writeln!(out, "    sum = fma(d, d, sum);")?;
    }
    writeln!(out, "    return sum4(sum);\n}}")?;
    writeln!(out, "fn put(h: Held, mean: f32, scale: f32, row: u32, lane: u32) -> bool {{")?;
    writeln!(out, "    var bad = false;")?;
    for i in 0..held {
        let part = format!("(h.v{i} - mean) * scale, row, lane + {i}u * LANES");
        writeln!(out, "    bad = put_part({part}) || bad;")?;
    }
    writeln!(out, "    return bad;\n}}")
}
