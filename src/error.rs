//! The one error type of the library: an opaque struct with a kind, a sentence and a cause.
//!
//! A message says what is wrong, where (file, line, tensor, field) and what to do. It holds no
//! formatting of a whole report: the command line prints `error: ` and the sentence.

use std::error::Error as StdError;
use std::fmt;

/// What sort of thing went wrong; the sentence of the [`Error`] has the detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request itself is off: a layer that does not exist, a reversed range, a bad option.
    Usage,
    /// A model, a file of it, or an input does not exist.
    NotFound,
    /// Reading or writing failed.
    Io,
    /// The checkpoint contradicts itself or its header: shapes, sizes, vocabularies.
    Checkpoint,
    /// The checkpoint asks for something this version does not compute.
    Unsupported,
    /// A text cannot be tokenised or is not valid UTF-8.
    Text,
    /// A text is longer than the limit and the caller asked for an error.
    TooLong,
    /// No adapter matches the device that was asked for.
    NoAdapter,
    /// The GPU driver refused an operation.
    Gpu,
    /// The GPU device was lost while working.
    DeviceLost,
    /// The device or the host ran out of memory.
    OutOfMemory,
    /// A hidden state holds NaN or infinity.
    NotFinite,
    /// The model hub could not be reached or refused.
    Hub,
}

impl ErrorKind {
    /// Whether the device is to blame, whatever was asked of it.
    pub fn is_of_device(self) -> bool {
        matches!(self, Self::Gpu | Self::DeviceLost)
    }
}

/// A setting of a call that an error suggests to change. The sentence of the error does not depend on
/// the front end; each front end adds its own name of the setting: an option, a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Setting {
    /// [`Capture::layers`](crate::Capture::layers)
    Layers,
    /// [`Capture::combine`](crate::Capture::combine)
    Combine,
    /// [`Capture::max_tokens`](crate::Capture::max_tokens)
    MaxTokens,
    /// [`Capture::overflow`](crate::Capture::overflow)
    Overflow,
    /// [`LoadOptions::device`](crate::LoadOptions::device)
    Device,
    /// [`LoadOptions::dtype`](crate::LoadOptions::dtype)
    Dtype,
    /// [`LoadOptions::batch_tokens`](crate::LoadOptions::batch_tokens)
    BatchTokens,
    /// [`LoadOptions::coop`](crate::LoadOptions::coop)
    Coop,
    /// The columns of the input that are copied to the output.
    Columns,
}

impl Setting {
    /// What a front end writes behind a sentence about `settings`: its names for them, as in
    /// ``" (`max_tokens`, `overflow`)"``; nothing where it has none.
    pub fn suffix(settings: &[Self], name: impl Fn(Self) -> Option<&'static str>) -> String {
        let names: Vec<&str> = settings.iter().copied().filter_map(name).collect();
        match names.is_empty() {
            true => String::new(),
            false => format!(" (`{}`)", names.join("`, `")),
        }
    }
}

/// An error of this crate. Look at [`Error::kind`] to branch, print it to tell a person.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    settings: &'static [Setting],
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind` that says `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), settings: &[], source: None }))
    }

    /// The same error with its cause, given back by [`StdError::source`].
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same error with `place: ` before its sentence (a file, a model, a layer).
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.0.message = format!("{place}: {}", self.0.message);
        self
    }

    /// The same error with the settings that it suggests to change.
    #[must_use]
    pub fn about(mut self, settings: &'static [Setting]) -> Self {
        self.0.settings = settings;
        self
    }

    /// The settings of the call that the error suggests to change.
    pub fn settings(&self) -> &'static [Setting] {
        self.0.settings
    }

    /// What sort of thing went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// An I/O failure at `place`, with the system's reason in the sentence.
    pub(crate) fn io(place: impl fmt::Display, source: std::io::Error) -> Self {
        let kind = match source.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            std::io::ErrorKind::OutOfMemory => ErrorKind::OutOfMemory,
            _ => ErrorKind::Io,
        };
        Self::new(kind, format!("{place}: {source}")).with_source(source)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.0.kind, self.0.message)?;
        if let Some(source) = &self.0.source {
            write!(f, " (caused by: {source})")?;
        }
        Ok(())
    }
}

/// What cannot fail: [`Layers`](crate::Layers) where they stand for themselves, say.
impl From<std::convert::Infallible> for Error {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|s| s as &(dyn StdError + 'static))
    }
}

/// `fail!(Kind, "sentence {x}")` is an [`Error`] of that kind with a formatted sentence.
macro_rules! fail {
    ($kind:ident, $($arg:tt)*) => {
        $crate::error::Error::new($crate::error::ErrorKind::$kind, format!($($arg)*))
    };
}
pub(crate) use fail;
