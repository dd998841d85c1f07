//! `norm`: rows normalised, with what is added up first.

use std::fmt;

use super::Access::{Change, Read, Write};
use super::block::block;
use super::grid::row_grid;
use super::row::kind_suffix;
use super::{Access, AdapterFeatures, Call, Kernel, Need, NormInput, RowCut, Sizes, Wgsl};
use crate::math::norm::NormKind;

/// y = γ (x − mean) / √(var + ε) + β, or what else its kind says, of each row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Norm {
    /// How a row is shared.
    pub cut: RowCut,
    /// What is divided by.
    pub kind: NormKind,
    /// What is added up first.
    pub input: NormInput,
}

block! {
    /// The block of `shaders/norm.wgsl` and `shaders/embed.wgsl`.
    NormParams {
        /// Tokens.
        rows: u32,
        /// Vectors in a row.
        stride4: u32,
        /// Numbers in a row, padding left out.
        width: u32,
        /// ε.
        eps: f32,
        /// State whose flag is set where a number is not finite.
        state: u32,
        /// Arrays of rows that are added up, where what is read is in parts; 1 else.
        parts: u32,
    }
}

impl NormParams {
    /// Of `rows` rows of `width` numbers, `stride` apart, whose flag is that of `state`.
    pub fn new(rows: usize, stride: usize, width: usize, eps: f32, state: usize) -> Self {
        Self {
            rows: rows as u32,
            stride4: (stride / 4) as u32,
            width: width as u32,
            eps,
            state: state as u32,
            parts: 1,
        }
    }

    /// Whose rows are the sums of those of `parts` arrays.
    pub fn of_parts(self, parts: usize) -> Self {
        Self { parts: parts as u32, ..self }
    }

    /// The flags of its rows, up to those of its state.
    pub(super) fn flags(&self) -> Need {
        Need::Numbers(u128::from(self.rows).div_ceil(32) + u128::from(self.state) + 1)
    }
}

impl Norm {
    /// Binds x, γ and β, y, flags, then what [`NormInput`] adds: a bias, a residual.
    pub fn over(self, params: NormParams) -> Call {
        Call::new(self, params, row_grid(params.rows as usize), 0)
    }
}

impl Kernel for Norm {
    const NAME: &'static str = "norm";
    type Params = NormParams;

    fn choices(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ".{}{}", self.cut, kind_suffix(self.kind))?;
        f.write_str(match self.input {
            NormInput::Whole => "",
            NormInput::Residual => "+residual",
            NormInput::Parts => "+parts",
        })
    }

    fn bindings(&self) -> &'static [Access] {
        match self.input {
            NormInput::Whole => &[Read, Read, Write, Change],
            NormInput::Residual => &[Read, Read, Write, Change, Read],
            NormInput::Parts => &[Read, Read, Write, Change, Read, Read],
        }
    }

    fn variants(sizes: Sizes<'_>) -> Vec<Self> {
        let of = |(cut, kind)| NormInput::ALL.map(|input| Self { cut, kind, input });
        RowCut::all(sizes).flat_map(of).collect()
    }

    fn runs_on(&self, can: &AdapterFeatures) -> bool {
        self.cut.sum.runs_on(can)
    }

    fn wgsl(&self, _: usize) -> Wgsl {
        Wgsl::of(Self::NAME).rows(self.cut, self.kind).lib(match self.input {
            NormInput::Whole => "norm_whole",
            NormInput::Residual => "norm_residual",
            NormInput::Parts => "norm_parts",
        })
    }

    fn needs(&self, p: &NormParams, grid: [u32; 2]) -> Option<Vec<Need>> {
        let row = self.cut.row(p.stride4, p.width)?;
        let all = row * u128::from(p.rows);
        let parts = p.parts == 1 || (self.input == NormInput::Parts && p.parts > 0);
        let x = Need::Numbers(all * u128::from(p.parts));
        let mut needs = vec![x, Need::Numbers(2 * row), Need::Numbers(all), p.flags()];
        match self.input {
            NormInput::Whole => {}
            NormInput::Residual => needs.push(Need::Numbers(all)),
            NormInput::Parts => needs.extend([Need::Numbers(row), Need::Numbers(all)]),
        }
        (parts && grid == row_grid(p.rows as usize)).then_some(needs)
    }
}
