//! Nothing wrong is believed: before kernels of a GPU are used for the first time, each is run on a
//! small input and held against the CPU executor, and so is one text through the whole model.
//!
//! What was found is kept by adapter, driver, version and the kernels' texts (`kept.rs`), and read
//! instead of found again. `probe.rs` runs the checks, `guard.rs` those of kernels that a later
//! request brings.

#[cfg(feature = "gpu")]
mod guard;
#[cfg(feature = "gpu")]
mod kept;
#[cfg(feature = "gpu")]
mod probe;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex};

#[cfg(feature = "gpu")]
pub use guard::Guard;
#[cfg(feature = "gpu")]
pub use kept::{Summary, summary};
#[cfg(feature = "gpu")]
pub use probe::{Fault, Probe, in_order};

use crate::error::{Error, Result};
use crate::execute::Execute;
use crate::words::{plain, unknown};

/// What to do about a GPU that computes wrong, at the end of a sentence.
#[cfg(all(feature = "gpu", not(target_arch = "wasm32")))]
pub const REPORT: &str = concat!(
    "please report this with the output of `everylayer doctor --json` at ",
    env!("CARGO_PKG_REPOSITORY"),
    "/issues"
);
/// The same in a page, which has no doctor.
#[cfg(all(feature = "gpu", target_arch = "wasm32"))]
pub const REPORT: &str = concat!(
    "please report this with the GPU and the browser's version at ",
    env!("CARGO_PKG_REPOSITORY"),
    "/issues"
);

/// When kernels of a GPU are held against the CPU executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Verify {
    /// At each load.
    Always,
    /// Before they are used for the first time with this adapter, driver and version.
    #[default]
    Once,
    /// Never.
    Never,
}

impl FromStr for Verify {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match plain(text).as_str() {
            "always" => Ok(Self::Always),
            "once" => Ok(Self::Once),
            "never" => Ok(Self::Never),
            _ => Err(unknown("time to verify", text, &["always", "once", "never"])),
        }
    }
}

impl TryFrom<&str> for Verify {
    type Error = Error;

    fn try_from(word: &str) -> Result<Self> {
        word.parse()
    }
}

impl fmt::Display for Verify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Always => "always",
            Self::Once => "once",
            Self::Never => "never",
        })
    }
}

/// What is known of the kernels that an encoder uses on its GPU.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Verified {
    /// Kernels that were held against the CPU executor, now or at an earlier load.
    pub kernels: usize,
    /// Checks of this load that were not read from what is kept.
    pub ran: usize,
    /// Whether the whole model was as well, over one text.
    pub model: bool,
    /// What computed wrong, so that other kernels were taken; one sentence.
    pub fault: Option<String>,
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kernels, ran, model, .. } = self;
        let model = if *model { " and the whole model" } else { "" };
        write!(f, "verified: {kernels} kernels{model} compute what the CPU does ({ran} checks now)")
    }
}

/// Where what is found is kept in place of the user's cache folder.
#[derive(Debug, Clone)]
pub enum KeptIn {
    /// In a file of this folder.
    Folder(PathBuf),
    /// In this text, which a page keeps.
    Text(Arc<Mutex<String>>),
}

impl PartialEq for KeptIn {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Folder(one), Self::Folder(other)) => one == other,
            (Self::Text(one), Self::Text(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl Eq for KeptIn {}

/// Puts an executor into another.
type Around = dyn Fn(Arc<dyn Execute>) -> Arc<dyn Execute> + Send + Sync;

/// What a test puts around every executor of a GPU.
#[derive(Clone)]
pub struct Wrap(pub Arc<Around>);

impl PartialEq for Wrap {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Wrap {}

impl fmt::Debug for Wrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wrap")
    }
}
