//! How a model is loaded: on which device, in which storage type, in batches of what size.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use super::verified::{KeptIn, Verify, Wrap};
use crate::error::{Error, Result};
use crate::execute::Execute;
#[cfg(feature = "gpu")]
use crate::gpu::device::Pick;
use crate::schedule::{Class, Elem, Vendor};
use crate::words::{plain, unknown};

/// Where the work is done.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Device {
    /// A real GPU where there is one, else the CPU executor; never a software Vulkan.
    #[default]
    Auto,
    /// The CPU executor.
    Cpu,
    /// Any adapter, real ones first; a software one where there is no other.
    Gpu,
    /// The adapter of this number, from 0, in the order of `everylayer info`.
    Index(usize),
    /// The first adapter that has a word in its name which begins like this, ignoring case:
    /// `radeon`, `rtx 4090`.
    Named(String),
}

impl Device {
    /// The adapters that it means; `None` for the CPU.
    #[cfg(feature = "gpu")]
    pub fn pick(&self) -> Option<Pick> {
        Some(match self {
            Self::Cpu => return None,
            Self::Auto => Pick::Real,
            Self::Gpu => Pick::Any,
            Self::Index(place) => Pick::At(*place),
            Self::Named(name) => Pick::Named(name.clone()),
        })
    }
}

impl FromStr for Device {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let text = text.trim();
        Ok(match text.to_ascii_lowercase().as_str() {
            "auto" | "" => Self::Auto,
            "cpu" => Self::Cpu,
            "gpu" => Self::Gpu,
            number if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                // More than a machine can count is the number of no adapter.
                Self::Index(number.parse().unwrap_or(usize::MAX))
            }
            _ => Self::Named(text.to_owned()),
        })
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Gpu => f.write_str("gpu"),
            Self::Index(place) => write!(f, "{place}"),
            Self::Named(name) => f.write_str(name),
        }
    }
}

impl From<&str> for Device {
    fn from(word: &str) -> Self {
        // Cannot fail: any word is a device's name.
        word.parse().unwrap_or_default()
    }
}

impl From<String> for Device {
    fn from(word: String) -> Self {
        word.as_str().into()
    }
}

/// Storage type of the weights, and on GPUs of the widest activations. Every sum is f32 under each, and
/// so are hidden states, normalisations and what attention weighs its values with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Dtype {
    /// f32: exact whatever the checkpoint holds.
    #[default]
    Auto,
    /// f32.
    F32,
    /// f16: half the memory. The weights are rounded; on GPUs, which gain by it, so are what a feed-forward
    /// layer widens to and, where nothing turns them, queries, keys, values and the result of attention
    /// (nothing in models with experts). The CPU and software Vulkan keep activations in f32. What f16 does not hold (65,504 at most) is found on
    /// the device, and its text run again in f32: see [`crate::embeddings::Rerun`].
    F16,
}

impl Dtype {
    /// How weights are stored under it.
    pub fn elem(self) -> Elem {
        match self {
            Self::Auto | Self::F32 => Elem::F32,
            Self::F16 => Elem::PackedF16,
        }
    }
}

impl FromStr for Dtype {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match plain(text).as_str() {
            "auto" => Ok(Self::Auto),
            "f32" | "fp32" | "float32" => Ok(Self::F32),
            "f16" | "fp16" | "float16" => Ok(Self::F16),
            _ => Err(unknown("dtype", text, &["auto", "f32", "f16"])),
        }
    }
}

impl TryFrom<&str> for Dtype {
    type Error = Error;

    fn try_from(word: &str) -> Result<Self> {
        word.parse()
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::F32 => "f32",
            Self::F16 => "f16",
        })
    }
}

/// How to load a model. `LoadOptions::default()` is right for most.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LoadOptions {
    /// Where the work is done.
    pub device: Device,
    /// Storage type of the weights, and on GPUs of the widest activations.
    pub dtype: Dtype,
    /// Tokens of one batch at most; 8,192 where it is `None`. Results do not depend on it.
    pub batch_tokens: Option<usize>,
    /// Stay inside the default WebGPU limits even where the adapter allows more.
    pub default_limits: bool,
    /// Ignore the results that `everylayer bench --tune` stored for this adapter.
    pub untuned: bool,
    /// Multiply on cooperative matrices: f16 inputs, f32 sums. Experimental, measured on no hardware
    /// yet; needs [`Dtype::F16`] and an adapter that has them, and is an error elsewhere.
    pub coop: bool,
    /// Leave the table of absolute positions out, as `-no_position_embeddings` of BERT-as-Service
    /// does; an error for a model that has none.
    pub no_positions: bool,
    /// The kernels of another class of adapter, where this one runs them as well: software Vulkan
    /// those of a GPU, for tests.
    #[doc(hidden)]
    pub cut_for: Option<(Class, Vendor)>,
    /// When kernels of a GPU are held against the CPU executor before they are believed.
    pub verify: Verify,
    /// What keeps what was found there, in place of the user's cache folder; for pages and tests.
    #[doc(hidden)]
    pub verified_in: Option<KeptIn>,
    /// What is put around every executor of a GPU; for tests.
    #[doc(hidden)]
    pub wrap: Option<Wrap>,
    /// What a setter had to say that was given what it cannot read.
    pub(crate) wrong: Option<String>,
}

impl LoadOptions {
    /// The same options on `device`: [`Device`], or a word such as `"cpu"`.
    #[must_use]
    pub fn device(mut self, device: impl Into<Device>) -> Self {
        self.device = device.into();
        self
    }

    /// The same options with weights stored as `dtype`: [`Dtype`], or a word such as `"f16"`. What is
    /// none is an error of [`Encoder::open`](crate::Encoder::open).
    #[must_use]
    pub fn dtype(mut self, dtype: impl TryInto<Dtype, Error: Into<Error>>) -> Self {
        match dtype.try_into() {
            Ok(dtype) => self.dtype = dtype,
            Err(wrong) => {
                self.wrong.get_or_insert(wrong.into().to_string());
            }
        }
        self
    }

    /// The same options with batches of at most `tokens` tokens.
    #[must_use]
    pub fn batch_tokens(mut self, tokens: usize) -> Self {
        self.batch_tokens = Some(tokens);
        self
    }

    /// The same options with or without the results that `everylayer bench --tune` stored for this adapter.
    #[must_use]
    pub fn untuned(mut self, on: bool) -> Self {
        self.untuned = on;
        self
    }

    /// The same options with or without products on cooperative matrices: see [`LoadOptions::coop`].
    #[must_use]
    pub fn coop(mut self, on: bool) -> Self {
        self.coop = on;
        self
    }

    /// The same options with or without the table of positions: see [`LoadOptions::no_positions`].
    #[must_use]
    pub fn no_positions(mut self, on: bool) -> Self {
        self.no_positions = on;
        self
    }

    /// The same options with kernels of a GPU verified at another time: [`Verify`], or a word such as
    /// `"always"`. What is none is an error of [`Encoder::open`](crate::Encoder::open).
    #[must_use]
    pub fn verify(mut self, when: impl TryInto<Verify, Error: Into<Error>>) -> Self {
        match when.try_into() {
            Ok(when) => self.verify = when,
            Err(wrong) => {
                self.wrong.get_or_insert(wrong.into().to_string());
            }
        }
        self
    }

    /// The same options with what was verified kept in `folder`.
    #[doc(hidden)]
    #[must_use]
    pub fn verified_in(mut self, folder: impl Into<PathBuf>) -> Self {
        self.verified_in = Some(KeptIn::Folder(folder.into()));
        self
    }

    /// The same options with every executor of a GPU inside another.
    #[doc(hidden)]
    #[must_use]
    pub fn wrap(
        mut self,
        wrap: impl Fn(Arc<dyn Execute>) -> Arc<dyn Execute> + Send + Sync + 'static,
    ) -> Self {
        self.wrap = Some(Wrap(Arc::new(wrap)));
        self
    }

    /// The same options with the kernels of another class of adapter and vendor.
    #[doc(hidden)]
    #[must_use]
    pub fn cut_for(mut self, class: Class, vendor: Vendor) -> Self {
        self.cut_for = Some((class, vendor));
        self
    }

    /// The same options inside the default WebGPU limits.
    #[must_use]
    pub fn default_limits(mut self, on: bool) -> Self {
        self.default_limits = on;
        self
    }
}
