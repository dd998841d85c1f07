//! What a variant is called, in recordings, tables and errors.

use std::fmt;

use super::{Merge, NormInput, Scores, Staging, Variant};
use crate::math::activation::Activation;
use crate::math::norm::NormKind;

/// What a variant's name says of its normalisation.
fn kind_suffix(kind: NormKind) -> &'static str {
    match kind {
        NormKind::Layer => "",
        NormKind::Rms => ".rms",
        NormKind::None => ".none",
    }
}

/// What a variant's name says of activations that are kept in 16 bits.
fn in_16(narrow: bool) -> &'static str {
    if narrow { "+16" } else { "" }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kernel())?;
        match self {
            Self::Norm { cut, input, kind } => {
                write!(f, ".{cut}")?;
                f.write_str(kind_suffix(*kind))?;
                match input {
                    NormInput::Whole => Ok(()),
                    NormInput::Residual => f.write_str("+residual"),
                    NormInput::Parts => f.write_str("+parts"),
                }
            }
            Self::Embed { tables, gathered, cut, kind } => {
                write!(f, ".{cut}")?;
                f.write_str(kind_suffix(*kind))?;
                f.write_str(tables.suffix())?;
                f.write_str(if *gathered { "+gathered" } else { "" })
            }
            Self::Matmul { tile, weights, activation, residual, splits, narrow } => {
                write!(f, ".{tile}")?;
                f.write_str(weights.suffix())?;
                if *activation != Activation::Identity {
                    write!(f, "+{activation}")?;
                }
                if *splits > 1 {
                    write!(f, "+part{splits}")?;
                }
                f.write_str(if *residual { "+residual" } else { "" })?;
                f.write_str(narrow.suffix())
            }
            Self::Attention { staging, head_dim, scores, narrow } => {
                f.write_str(match staging {
                    Staging::Workgroup => "",
                    Staging::Broadcast => ".broadcast",
                    Staging::Direct => ".direct",
                })?;
                write!(f, ".d{head_dim}")?;
                f.write_str(match scores {
                    Scores::Plain => "",
                    Scores::Window => "+window",
                    Scores::Alibi => "+alibi",
                    Scores::Relative => "+relative",
                    Scores::Disentangled => "+disentangled",
                })?;
                f.write_str(in_16(*narrow))
            }
            Self::Rope | Self::Im2col | Self::QkNorm | Self::Route => Ok(()),
            Self::Expert { weights, activation, shared } => {
                f.write_str(weights.suffix())?;
                if *activation != Activation::Identity {
                    write!(f, "+{activation}")?;
                }
                f.write_str(if *shared { "+shared" } else { "" })
            }
            Self::Gate { activation, narrow } => write!(f, ".{activation}{}", in_16(*narrow)),
            Self::Combine(Merge::Linear) => f.write_str(".linear"),
            Self::Combine(Merge::Max) => f.write_str(".max"),
            Self::Pool(mode) => write!(f, ".{mode}"),
        }
    }
}
