//! Storage types: of weights, and of the activations that a kernel reads or writes.

use std::fmt;

use super::AdapterFeatures;

/// Storage type of the weights. Sums are in f32 whatever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Elem {
    /// 32-bit floats.
    #[default]
    F32,
    /// 16-bit floats, two in a u32, unpacked in the kernel: any adapter.
    PackedF16,
    /// 16-bit floats, read as such: adapters with `shader-f16`. The same bytes as [`Elem::PackedF16`].
    NativeF16,
}

impl Elem {
    /// Every storage type.
    pub const ALL: [Self; 3] = [Self::F32, Self::PackedF16, Self::NativeF16];

    /// Bytes of a number.
    pub fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::PackedF16 | Self::NativeF16 => 2,
        }
    }

    /// Whether an adapter that `can` do so much reads it.
    pub(super) fn runs_on(self, can: &AdapterFeatures) -> bool {
        self != Self::NativeF16 || can.half
    }

    /// What a variant's name says of it.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::F32 => "",
            Self::PackedF16 => ".f16",
            Self::NativeF16 => ".half",
        }
    }
}

/// Which activations of a product are kept in 16 bits, two in a u32, as under [`Elem::PackedF16`]: read and
/// written so on any adapter, whatever the type of its weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Narrow {
    /// Neither.
    #[default]
    Neither,
    /// A, the input.
    A,
    /// C, the result.
    C,
}

impl Narrow {
    /// What a variant's name says of it.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Neither => "",
            Self::A => "+a16",
            Self::C => "+c16",
        }
    }
}

/// What a variant's name says of activations that are kept in 16 bits.
pub(super) fn narrow_suffix(narrow: bool) -> &'static str {
    if narrow { "+16" } else { "" }
}

impl fmt::Display for Elem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::PackedF16 | Self::NativeF16 => "f16",
        })
    }
}
