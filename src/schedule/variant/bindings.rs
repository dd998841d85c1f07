//! What each kernel binds, and which of it is written.

use super::{NormInput, Scores, Variant};

/// How a storage binding is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// `var<storage, read>`.
    Read,
    /// `var<storage, read_write>`.
    Write,
}
use Access::{Read, Write};

impl Variant {
    /// The storage bindings of the kernel, from binding 1 on; binding 0 is its uniform block.
    pub fn bindings(&self) -> &'static [Access] {
        match self {
            Self::Embed { .. } => &[Read, Read, Read, Read, Read, Write, Write],
            Self::Norm { input: NormInput::Whole, .. } => &[Read, Read, Write, Write],
            Self::Norm { input: NormInput::Residual, .. } => &[Read, Read, Write, Write, Read],
            Self::Norm { .. } => &[Read, Read, Write, Write, Read, Read],
            Self::Matmul { residual: false, .. } => &[Read, Read, Read, Write],
            Self::Matmul { residual: true, .. } => &[Read, Read, Read, Write, Read],
            Self::Attention { scores: Scores::Plain | Scores::Window, .. } => &[Read, Read, Write],
            Self::Attention { scores: Scores::Disentangled, .. } => {
                &[Read, Read, Write, Read, Read]
            }
            Self::Attention { .. } => &[Read, Read, Write, Read],
            Self::Rope => &[Read, Read, Write],
            Self::Gate { .. } => &[Read, Write],
            Self::Im2col => &[Read, Read, Write],
            Self::QkNorm => &[Read, Write],
            Self::Route => &[Read, Write],
            Self::Expert { .. } => &[Read, Read, Read, Write],
            Self::Combine(_) => &[Read, Write],
            Self::Pool(_) => &[Read, Read, Write],
        }
    }
}
