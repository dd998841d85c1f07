//! Which adapter is meant by a number, a name, or neither, and how it is to be opened.

use crate::error::{Error, fail};

/// Which adapter to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pick {
    /// A real GPU, discrete before integrated.
    Real,
    /// Any adapter, real ones first.
    Any,
    /// The first that has a word in its name which begins like this, ignoring case.
    Named(String),
    /// The one at this place of [`list`](super::device::list).
    At(usize),
}

/// How to open an adapter.
#[derive(Debug, Clone, Default)]
pub struct GpuOptions {
    /// Stay inside the default WebGPU limits, and with the portable kernels, even where the adapter
    /// allows more: what a browser runs.
    pub default_limits: bool,
    /// Open it for products on cooperative matrices: experimental, measured on no hardware yet.
    pub coop: bool,
}

impl Pick {
    /// Whether it means the adapter at `place` of [`list`](super::device::list) that is called `name`.
    pub fn fits(&self, place: usize, name: &str, software: bool) -> bool {
        match self {
            Self::Real => !software,
            Self::Any => true,
            Self::Named(part) => begins_a_word(&name.to_lowercase(), &part.to_lowercase()),
            Self::At(wanted) => place == *wanted,
        }
    }

    /// Whether the next adapter is tried where one fails: the caller named none.
    pub fn goes_on(&self) -> bool {
        matches!(self, Self::Real | Self::Any)
    }
}

/// Whether `part` stands in `name` where a word begins: `llvm` in `llvmpipe`, `rtx 40` in
/// `NVIDIA GeForce RTX 4090`, and `pipe` in neither.
fn begins_a_word(name: &str, part: &str) -> bool {
    let starts = |at: usize| !name[..at].ends_with(|c: char| c.is_alphanumeric() || c == '.');
    name.match_indices(part).any(|(at, _)| starts(at))
}

/// What is said of a name that several adapters have, the one at `taken` and `others`.
pub(super) fn choice(
    part: &str,
    taken: usize,
    others: &[usize],
    adapters: &[wgpu::Adapter],
) -> String {
    let shown = |place: &usize| {
        let info = adapters.get(*place).map(wgpu::Adapter::get_info);
        info.map_or(String::new(), |info| format!("{place} ({}, {:?})", info.name, info.backend))
    };
    let others: Vec<String> = others.iter().map(shown).collect();
    format!(
        "several adapters are named like \"{part}\": using {}, not {}; select one by its number",
        shown(&taken),
        others.join(", ")
    )
}

/// The error for a `pick` that means none of `adapters`.
pub(super) fn no_adapter(pick: &Pick, adapters: &[wgpu::Adapter]) -> Error {
    let names: Vec<_> = adapters.iter().map(|a| a.get_info().name).collect();
    let names = names.iter().map(String::as_str);
    missing(pick, &names.collect::<Vec<_>>())
}

/// The error for a `pick` that means none of the adapters of these `names`.
pub fn missing(pick: &Pick, names: &[&str]) -> Error {
    let there = if names.is_empty() {
        "no GPU adapter was found on this machine; install a Vulkan driver or use the device `cpu`"
            .to_owned()
    } else {
        let numbered: Vec<_> =
            names.iter().enumerate().map(|(place, name)| format!("{place} ({name})")).collect();
        format!("there are: cpu, {}", numbered.join(", "))
    };
    match pick {
        Pick::Named(name) => {
            // How other programs call theirs.
            let other = ["cuda", "mps", "rocm", "hip", "metal", "vulkan", "gpu"];
            let low = name.to_lowercase();
            let hint = match other.iter().any(|other| low.starts_with(other)) {
                true => " (GPUs have numbers here, and `gpu` is the first)",
                false => "",
            };
            fail!(NoAdapter, "no device is named like \"{name}\"{hint}; {there}")
        }
        Pick::Real => fail!(NoAdapter, "no real GPU; {there}"),
        Pick::Any => fail!(NoAdapter, "{there}"),
        Pick::At(place) => fail!(NoAdapter, "there is no adapter {place}; {there}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_place_and_a_name_begins_a_word() {
        let software = "llvmpipe (LLVM 15.0.6, 256 bits)";
        let real = "NVIDIA GeForce RTX 4090";
        for (pick, name, want) in [
            (Pick::At(0), software, false),
            (Pick::At(1), software, true),
            (Pick::Named("0".into()), software, false),
            (Pick::Named("LLVM".into()), software, true),
            (Pick::Named("llvm".into()), software, true),
            (Pick::Named("pipe".into()), software, false),
            (Pick::Named("bits".into()), software, true),
            (Pick::Named("rtx 40".into()), real, true),
            (Pick::Named("force".into()), real, false),
            (Pick::Named("nvidia".into()), real, true),
            (Pick::Real, software, false),
            (Pick::Any, software, true),
        ] {
            assert_eq!(pick.fits(1, name, name == software), want, "{pick:?} {name}");
        }
    }
}
