//! What becomes of the scores of attention, in every kernel that computes them.

use std::fmt;

use crate::kernels::Access::{Read, Write};
use crate::kernels::needs::numbers;
use crate::kernels::{Access, Arrays, Checked, Need};

/// The furthest that a window or a table of distances reaches.
const MAX_REACH: u32 = 1 << 30;

/// What becomes of the scores of attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scores {
    /// Nothing.
    Plain,
    /// Keys too far away do not count, and tiles of them are skipped.
    Window,
    /// A slope a head times the distance is taken off.
    Alibi,
    /// A table row of the distance is added.
    Relative,
    /// DeBERTa's two products with relative positions are added.
    Disentangled,
}

impl Scores {
    /// Every form.
    pub const ALL: [Self; 5] =
        [Self::Plain, Self::Window, Self::Alibi, Self::Relative, Self::Disentangled];

    /// Queries, keys and values, the lines of their texts, the result, then what the scores take in.
    pub(in crate::kernels) fn bindings(self) -> &'static [Access] {
        match self {
            Self::Plain | Self::Window => &[Read, Read, Write],
            Self::Alibi | Self::Relative => &[Read, Read, Write, Read],
            Self::Disentangled => &[Read, Read, Write, Read, Read],
        }
    }

    /// What the bindings from the fourth on have to be for `heads` heads: with a table that reaches so far
    /// and has so many numbers a row, and so many heads of queries a key and vectors of all heads.
    pub(in crate::kernels) fn needs(
        self,
        (reach, line): (u32, u32),
        (group, out4): (u32, u32),
        heads: u128,
    ) -> Option<Vec<Need>> {
        let distances = 2 * u128::from(reach) + 1;
        let needs = match self {
            Self::Plain | Self::Window => vec![],
            Self::Alibi => vec![Need::Numbers(heads)],
            Self::Relative if u128::from(line) >= heads => {
                vec![Need::Numbers(distances * u128::from(line))]
            }
            // A row of places, which are as wide as all heads: their keys are not shared.
            Self::Disentangled if group == 1 => vec![numbers(&[8, out4]), Need::Words(distances)],
            Self::Relative | Self::Disentangled => return None,
        };
        (reach <= MAX_REACH).then_some(needs)
    }

    /// Every distance names a place of the table.
    pub(in crate::kernels) fn check_places(self, out4: u32, arrays: &mut dyn Arrays) -> Checked {
        if self == Self::Disentangled {
            let places = arrays.rows(3, 8 * u128::from(out4));
            if arrays.words(4)?.iter().any(|&place| u128::from(place) >= places) {
                return Err("a distance names a place that its table lacks");
            }
        }
        Ok(())
    }
}

impl fmt::Display for Scores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Window => "window",
            Self::Alibi => "alibi",
            Self::Relative => "relative",
            Self::Disentangled => "disentangled",
        })
    }
}
