//! Lists of numbers of the four stored types.

use std::borrow::Cow;
use std::ops::Range;

use half::f16;

use crate::capture::Precision;

/// Numbers of one of the stored types.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// [`Precision::F32`]
    F32(Vec<f32>),
    /// [`Precision::F16`]
    F16(Vec<f16>),
    /// [`Precision::Int8`]
    I8(Vec<i8>),
    /// [`Precision::Ubinary`]: eight coordinates a number.
    U8(Vec<u8>),
}

/// A part of [`Values`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Slice<'a> {
    /// [`Precision::F32`]
    F32(&'a [f32]),
    /// [`Precision::F16`]
    F16(&'a [f16]),
    /// [`Precision::Int8`]
    I8(&'a [i8]),
    /// [`Precision::Ubinary`]: eight coordinates a number.
    U8(&'a [u8]),
}

impl Values {
    /// How many numbers.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(v) => v.len(),
            Self::F16(v) => v.len(),
            Self::I8(v) => v.len(),
            Self::U8(v) => v.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The precision that stores its numbers so.
    pub fn precision(&self) -> Precision {
        match self {
            Self::F32(_) => Precision::F32,
            Self::F16(_) => Precision::F16,
            Self::I8(_) => Precision::Int8,
            Self::U8(_) => Precision::Ubinary,
        }
    }

    /// Some of the numbers; `None` beyond the end.
    pub fn get(&self, range: Range<usize>) -> Option<Slice<'_>> {
        Some(match self {
            Self::F32(v) => Slice::F32(v.get(range)?),
            Self::F16(v) => Slice::F16(v.get(range)?),
            Self::I8(v) => Slice::I8(v.get(range)?),
            Self::U8(v) => Slice::U8(v.get(range)?),
        })
    }

    /// The numbers as f32: exact. The bytes of
    /// [`Precision::Ubinary`] come as 0.0 to 255.0.
    pub fn to_f32(&self) -> Vec<f32> {
        self.get(0..self.len()).map(|all| all.to_f32().into_owned()).unwrap_or_default()
    }
}

impl<'a> Slice<'a> {
    /// The numbers as f32, as [`Values::to_f32`]; borrowed where they are.
    pub fn to_f32(self) -> Cow<'a, [f32]> {
        match self {
            Self::F32(v) => Cow::Borrowed(v),
            Self::F16(v) => v.iter().map(|x| x.to_f32()).collect(),
            Self::I8(v) => v.iter().map(|&x| f32::from(x)).collect(),
            Self::U8(v) => v.iter().map(|&x| f32::from(x)).collect(),
        }
    }

    /// Appends the numbers to `out`, little-endian.
    pub fn put_le(self, out: &mut Vec<u8>) {
        match self {
            Self::F32(v) => out.extend(v.iter().flat_map(|x| x.to_le_bytes())),
            Self::F16(v) => out.extend(v.iter().flat_map(|x| x.to_le_bytes())),
            Self::I8(v) => out.extend(v.iter().map(|&x| x as u8)),
            Self::U8(v) => out.extend_from_slice(v),
        }
    }
}
