//! Where in a block numbers are read, and what a row of them is.
//!
//! Names are TransformerLens's hook points without the prefix.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result, fail};
use crate::model::layout::align4;
use crate::model::spec::Spec;

/// A place in a block whose numbers can be captured.
///
/// [`Site::Hidden`] exists for states 0 to L, all others for blocks 1 to L.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Site {
    /// The hidden state: the output of the block, (width).
    #[default]
    Hidden,
    /// The attention's output W z + b, before residual and norm, (width).
    AttnOut,
    /// The residual stream between the two halves of a block: norm₁(x + attn_out) where blocks
    /// normalise at their end, x + attn_out where they do so at their beginning, (width).
    ResidMid,
    /// The feed-forward layer's output W₂ act(..) + b₂, before residual and norm, (width).
    MlpOut,
    /// What goes into the second feed-forward product: act(W₁ h + b₁), or act(gate) × up, (inner).
    MlpAct,
    /// What each head gives: softmax(q kᵀ / √d) v, before W, (heads, head_dim).
    Z,
    /// Queries, before they are turned or normalised, (heads, head_dim).
    Q,
    /// Keys, before they are turned or normalised, (kv_heads, head_dim).
    K,
    /// Values, (kv_heads, head_dim).
    V,
}

/// A row of a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SiteRow {
    /// Heads, or 1.
    pub heads: usize,
    /// Numbers of a head, or of the row.
    pub size: usize,
    /// Numbers between two heads on the device: `size` rounded up to whole vectors.
    pub stride: usize,
}

impl Site {
    /// Every site, and how it is written.
    pub const ALL: [(&'static str, Self); 9] = [
        ("hidden", Self::Hidden),
        ("attn_out", Self::AttnOut),
        ("resid_mid", Self::ResidMid),
        ("mlp_out", Self::MlpOut),
        ("mlp_act", Self::MlpAct),
        ("z", Self::Z),
        ("q", Self::Q),
        ("k", Self::K),
        ("v", Self::V),
    ];

    /// How it is written.
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, site)| *site == self).map_or("", |(name, _)| name)
    }

    /// What a row of it is in a model.
    pub fn row(self, spec: &Spec) -> SiteRow {
        let (heads, size) = match self {
            Self::Hidden | Self::AttnOut | Self::ResidMid | Self::MlpOut => (1, spec.width),
            Self::MlpAct => (1, spec.inner),
            Self::Z | Self::Q => (spec.heads, spec.head_dim),
            Self::K | Self::V => (spec.kv_heads, spec.head_dim),
        };
        SiteRow { heads, size, stride: align4(size) }
    }

    /// Whether a row of it is one of several heads.
    pub fn has_heads(self) -> bool {
        matches!(self, Self::Z | Self::Q | Self::K | Self::V)
    }

    /// Whether the model has it at each of `states`.
    ///
    /// # Errors
    ///
    /// `Usage`, naming the state.
    pub fn check(self, spec: &Spec, states: &[usize]) -> Result<()> {
        if self != Self::Hidden && states.contains(&0) {
            return Err(fail!(
                Usage,
                "site `{self}` does not exist at layer 0, which is the embeddings: choose blocks \
                 1..{}, or `blocks` for all of them",
                spec.depth()
            ));
        }
        let routed = |state: &&usize| {
            spec.blocks.get(state.wrapping_sub(1)).is_some_and(|block| block.experts.is_some())
        };
        match states.iter().find(routed) {
            Some(state) if self == Self::MlpAct => Err(fail!(
                Usage,
                "site `mlp_act` does not exist at layer {state}, whose feed-forward layer is a \
                 mixture of experts with activations of their own: choose other layers, or `mlp_out`"
            )),
            _ => Ok(()),
        }
    }
}

impl SiteRow {
    /// Numbers of a row.
    pub fn numbers(&self) -> usize {
        self.heads * self.size
    }

    /// Numbers between two rows on the device.
    pub fn line(&self) -> usize {
        self.heads * self.stride
    }

    /// The numbers of rows that lie on the host as on the device, without the padding of each.
    pub fn compact<'a>(&self, rows: &'a [f32]) -> impl Iterator<Item = f32> + 'a {
        let Self { size, stride, .. } = *self;
        rows.chunks_exact(stride).flat_map(move |head| &head[..size]).copied()
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Site {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let plain = crate::words::plain(text).replace('-', "_");
        let found = Self::ALL.into_iter().find(|(name, _)| *name == plain);
        let names = || Self::ALL.map(|(name, _)| name);
        found.map(|(_, site)| site).ok_or_else(|| crate::words::unknown("site", text, &names()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for (name, site) in Site::ALL {
            assert_eq!(name.parse::<Site>().unwrap(), site);
            assert_eq!(site.to_string(), name);
        }
        assert_eq!("Attn-Out".parse::<Site>().unwrap(), Site::AttnOut);
        let said = "resid_mdi".parse::<Site>().unwrap_err().to_string();
        assert!(said.contains("`resid_mid`"), "{said}");
    }

    #[test]
    fn rows_lose_the_padding_of_each_head() {
        let row = SiteRow { heads: 2, size: 3, stride: 4 };
        let padded = [1.0, 2.0, 3.0, 0.0, 4.0, 5.0, 6.0, 0.0];
        assert_eq!(row.compact(&padded).collect::<Vec<_>>(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!((row.numbers(), row.line()), (6, 8));
    }
}
