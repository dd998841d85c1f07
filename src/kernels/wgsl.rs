//! What a variant's WGSL is put together of, by the names of its files in `shaders/`.

use std::fmt::Display;

use super::template::Constants;
use super::{Elem, RowCut, RowSum};
use crate::math::norm::NormKind;

/// The constants of a variant and the files it is put together of.
#[derive(Debug, Clone, Default)]
pub struct Wgsl {
    /// What stands before all else.
    pub enables: &'static str,
    /// Compiled into it, and numbers of its loops.
    pub constants: Constants,
    /// Files of `shaders/` without their ending: `matmul`, `lib/act_gelu`. WGSL looks names up
    /// module-wide, so the order does not matter.
    pub files: Vec<String>,
}

impl Wgsl {
    /// One of the file `name` of `shaders/`.
    pub(super) fn of(name: &str) -> Self {
        Self { files: vec![name.to_owned()], ..Self::default() }
    }

    pub(super) fn with(self, constants: Constants) -> Self {
        Self { constants, ..self }
    }

    pub(super) fn enable(self, enables: &'static str) -> Self {
        Self { enables, ..self }
    }

    /// With the file `name` of `shaders/lib/`.
    pub(super) fn lib(mut self, name: &str) -> Self {
        self.files.push(format!("lib/{name}"));
        self
    }

    /// With the file of `shaders/lib/` that is called like a choice: `act_gelu_tanh` for `gelu-tanh`.
    pub(super) fn choice(self, prefix: &str, choice: impl Display) -> Self {
        self.lib(&format!("{prefix}_{choice}").replace('-', "_"))
    }

    /// With what reads numbers that are stored as `elem`.
    pub(super) fn elem(self, elem: Elem) -> Self {
        let enables = if elem == Elem::NativeF16 { "enable f16;\n" } else { self.enables };
        self.enable(enables).lib(match elem {
            Elem::F32 => "elem_f32",
            Elem::PackedF16 => "elem_f16",
            Elem::NativeF16 => "elem_half",
        })
    }

    /// With what reads and writes activations, in 16 bits or in 32.
    pub(super) fn activations(self, reads_narrow: bool, writes_narrow: bool) -> Self {
        let read = if reads_narrow { "in_f16" } else { "in_f32" };
        self.lib(read).lib(if writes_narrow { "out_f16" } else { "out_f32" })
    }

    /// With how rows are shared and normalised.
    pub(super) fn rows(self, cut: RowCut, kind: NormKind) -> Self {
        let constants = Constants::default()
            .number("LANES", cut.sum.lanes())
            .number("HELD", cut.held as usize)
            .flag("SUBGROUPS", cut.sum == RowSum::Subgroup)
            .flag("SUM_SHARED", matches!(cut.sum, RowSum::Shared | RowSum::Few))
            .number("SUM_MEMORY", cut.sum.memory())
            .flag("CENTERED", kind == NormKind::Layer)
            .flag("SCALED", kind != NormKind::None);
        self.with(constants).lib("row")
    }
}
