//! The WGSL of every variant: the texts of `shaders/`, put together as its kernel says. The only place
//! that includes shader text.

use crate::kernels::{Sizes, Variant};

/// Every file of `shaders/` by its name without the ending; `build.rs` writes the list.
static FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/shaders.rs"));

/// The whole WGSL of a variant: a prelude with its constants, the kernel's file, the lib files it
/// uses.
pub fn source(variant: Variant) -> String {
    text(variant, variant.unroll())
}

/// A kernel with the body of its innermost arithmetic loop repeated.
#[derive(Debug, Clone)]
pub struct Unrolled {
    /// The whole WGSL.
    pub source: String,
    /// Multiply-adds an invocation does in one such body.
    pub fmas: u32,
}

/// [`source`] with `unroll` steps in the body of the innermost loop, for static statistics; `None`
/// where a kernel does little arithmetic or cannot be unrolled further.
pub fn unrolled(variant: Variant, unroll: u32) -> Option<Unrolled> {
    let fmas = variant.fmas(unroll as usize)? as u32;
    Some(Unrolled { source: text(variant, unroll as usize), fmas })
}

/// Every variant of every kernel that a recording may hold, for tests and `doctor`: with heads
/// `head_dims` numbers apart and rows of as many numbers as `strides`.
pub fn variants(head_dims: &[u32], strides: &[usize]) -> Vec<Variant> {
    Variant::all(Sizes { head_dims, strides })
}

fn text(variant: Variant, unroll: usize) -> String {
    let parts = variant.wgsl(unroll);
    let mut text = format!("// {variant}\n{}{}", parts.enables, parts.constants.wgsl());
    for name in &parts.files {
        text.push('\n');
        let file = FILES.iter().find(|(known, _)| known == name).map(|(_, text)| *text);
        let missing = || format!("there is no file shaders/{name}.wgsl");
        match file.ok_or_else(missing).and_then(|file| parts.constants.expand(file)) {
            Ok(lines) => text.push_str(&lines),
            // The kernels have none, which tests/shaders.rs shows; WGSL refuses this line.
            Err(e) => text.push_str(&e),
        }
    }
    text
}
