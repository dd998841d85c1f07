//! The number type of the results.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
pub use crate::math::f16::to_f16;
pub use crate::math::quantise::{Ranges, ubinary};
use crate::words::{plain, unknown};

/// The type of the numbers that come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// 32-bit floats, as computed.
    #[default]
    F32,
    /// 16-bit floats, rounded to nearest even.
    F16,
    /// 255 steps between the smallest and the largest value that a coordinate takes in the call.
    Int8,
    /// One bit a coordinate, set where it is above 0, eight to a byte from the highest bit.
    Ubinary,
}

impl Precision {
    /// Stored numbers of a row of `width` coordinates.
    pub fn stored(self, width: usize) -> usize {
        if self == Self::Ubinary { width.div_ceil(8) } else { width }
    }

    /// Bytes of a stored number.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
            Self::Int8 | Self::Ubinary => 1,
        }
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match plain(text).as_str() {
            "f32" | "fp32" | "float32" => Ok(Self::F32),
            "f16" | "fp16" | "float16" => Ok(Self::F16),
            "int8" => Ok(Self::Int8),
            "ubinary" => Ok(Self::Ubinary),
            _ => Err(unknown("precision", text, &["f32", "f16", "int8", "ubinary"])),
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Int8 => "int8",
            Self::Ubinary => "ubinary",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        for precision in [Precision::F32, Precision::F16, Precision::Int8, Precision::Ubinary] {
            assert_eq!(precision.to_string().parse::<Precision>().unwrap(), precision);
        }
        for (text, want) in
            [("F32", Precision::F32), ("float32", Precision::F32), ("fp16", Precision::F16)]
        {
            assert_eq!(text.parse::<Precision>().unwrap(), want);
        }
        for text in ["", "float64", "uint8", "binary"] {
            assert!(text.parse::<Precision>().is_err(), "{text}");
        }
    }
}
