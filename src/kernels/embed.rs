//! `embed`: three table rows a token, gathered, added up and normalised.

use std::fmt;

use super::Access::{Change, Read, Write};
use super::grid::row_grid;
use super::needs::product;
use super::row::kind_suffix;
use super::{
    Access, AdapterFeatures, Arrays, Call, Checked, Elem, Kernel, Need, NormParams, RowCut, Sizes,
    Wgsl,
};
use crate::math::norm::NormKind;

/// x = norm(word\[id\] + position\[p\] + type\[t\]) of each token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Embed {
    /// Storage type of the tables.
    pub tables: Elem,
    /// Whether the word rows were gathered on the host, as f32.
    pub gathered: bool,
    /// How a row is shared.
    pub cut: RowCut,
    /// What is divided by.
    pub kind: NormKind,
}

impl Embed {
    /// Binds tokens, words, positions, types, γ and β, x, flags.
    pub fn over(self, params: NormParams) -> Call {
        Call::new(self, params, row_grid(params.rows as usize), 0)
    }
}

impl Kernel for Embed {
    const NAME: &'static str = "embed";
    /// Its rows are normalised as those of `norm`.
    type Params = NormParams;

    fn choices(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, tables) = (kind_suffix(self.kind), self.tables.suffix());
        write!(f, ".{}{kind}{tables}", self.cut)?;
        f.write_str(if self.gathered { "+gathered" } else { "" })
    }

    fn bindings(&self) -> &'static [Access] {
        &[Read, Read, Read, Read, Read, Write, Change]
    }

    fn variants(sizes: Sizes<'_>) -> Vec<Self> {
        let mut all = Vec::new();
        for (cut, kind) in RowCut::all(sizes) {
            for tables in Elem::ALL {
                all.extend([false, true].map(|gathered| Self { tables, gathered, cut, kind }));
            }
        }
        all
    }

    fn runs_on(&self, can: &AdapterFeatures) -> bool {
        self.cut.sum.runs_on(can) && self.tables.runs_on(can)
    }

    fn weights(&self) -> Elem {
        self.tables
    }

    fn wgsl(&self, _: usize) -> Wgsl {
        let words = if self.gathered { "word_rows" } else { "word_table" };
        Wgsl::of(Self::NAME).rows(self.cut, self.kind).elem(self.tables).lib(words)
    }

    fn needs(&self, p: &NormParams, grid: [u32; 2]) -> Option<Vec<Need>> {
        let row = self.cut.row(p.stride4, p.width)?;
        let table = Need::Table { stride: row, elem: self.tables };
        let words = if self.gathered { Need::Numbers(row) } else { table };
        let lines = Need::Words(product(&[4, p.rows]));
        let (weight, x) = (Need::Numbers(2 * row), Need::Numbers(row * u128::from(p.rows)));
        (p.parts == 1 && grid == row_grid(p.rows as usize))
            .then(|| vec![lines, words, table, table, weight, x, p.flags()])
    }

    fn indices(&self, p: &NormParams, _: [u32; 2], arrays: &mut dyn Arrays) -> Checked {
        let largest = arrays.largest(0)?;
        let row = 4 * u128::from(p.stride4);
        match (0..3).all(|column| u128::from(largest[column]) < arrays.rows(1 + column, row)) {
            true => Ok(()),
            false => Err("a token names a row that its table lacks"),
        }
    }
}
