//! `wgsl`: the kernels as they are compiled, their names, or the whole text of one.

use everylayer::gpu::kernels::{source, variants};
use everylayer::{Error, ErrorKind, Result};

use super::args::WgslArgs;
use super::terminal;

/// What is listed: head_dims and widths of models that many people have.
const LISTED: (&[u32], &[usize]) = (&[32, 64, 96, 128], &[256, 512, 1024]);

/// Runs the command.
///
/// # Errors
///
/// `Usage` for a name that no kernel has.
pub fn run(args: &WgslArgs) -> Result<()> {
    let Some(name) = &args.variant else {
        let names = variants(LISTED.0, LISTED.1).into_iter().map(|variant| format!("{variant}\n"));
        return terminal::print(names.collect::<String>().as_bytes());
    };
    // Any that a model could have.
    let head_dims: Vec<u32> = (1..=128).map(|n| 4 * n).collect();
    let strides: Vec<usize> = (1..=64).map(|n| 32 * n).collect();
    let all = variants(&head_dims, &strides);
    match all.iter().find(|variant| variant.to_string() == *name) {
        Some(variant) => terminal::print(source(*variant).as_bytes()),
        None => {
            let kernel = name.split(['.', '+']).next().unwrap_or_default();
            let known = all.iter().any(|variant| variant.kernel() == kernel);
            let hint = if known {
                format!("; `everylayer wgsl | grep ^{kernel}` shows some")
            } else {
                "; `everylayer wgsl` lists them".to_owned()
            };
            Err(Error::new(ErrorKind::Usage, format!("no kernel is called `{name}`{hint}")))
        }
    }
}
