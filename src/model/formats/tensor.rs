//! What a file says of a stored tensor, whatever its format.

use std::fmt;

/// The element type of a stored tensor.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TensorDtype {
    /// IEEE float64, which is rounded to float32.
    F64,
    /// IEEE float32.
    F32,
    /// IEEE float16.
    F16,
    /// bfloat16: the upper half of a float32.
    Bf16,
    /// A type that no weight is read from, by its name in the header (`I64`, `F8_E4M3`).
    Other(Box<str>),
}

impl TensorDtype {
    /// The type that a safetensors header calls `name`.
    pub fn from_name(name: &str) -> Self {
        match name {
            "F64" => Self::F64,
            "F32" => Self::F32,
            "F16" => Self::F16,
            "BF16" => Self::Bf16,
            other => Self::Other(other.into()),
        }
    }
}

impl fmt::Display for TensorDtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F64 => "F64",
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Other(name) => name,
        })
    }
}

/// One tensor of a header.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) dtype: TensorDtype,
    pub(crate) shape: Vec<usize>,
    /// First byte of the data, counted from the start of the file.
    pub(crate) start: u64,
    /// Elements from one to the next along each axis, where they do not follow each other.
    pub(crate) strides: Option<Vec<u64>>,
}
