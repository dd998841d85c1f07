//! What leaves the device of attention's weights.

use std::fmt;
use std::str::FromStr;

use super::caps::Caps;
use crate::error::{Error, Result, fail};
use crate::kernels::grid::MAX_GROUPS;
use crate::model::layout::align4;
use crate::model::spec::Spec;
use crate::quote::quote;
use crate::text::pack::PackedBatch;

/// Bytes of weights that are held at once on the way to what is asked of them, unless one row takes more.
const TILE_BYTES: u64 = 16 << 20;
/// The most weights of a query that [`Reduce::Top`] gives.
pub const MOST_TOP: usize = 1024;

/// What becomes of the weights of attention, (heads, tokens, tokens) in a layer: a row a query, whose sum is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Reduce {
    /// All of them, (heads, tokens, tokens).
    #[default]
    Full,
    /// The mean over the queries of what a key gets, (heads, tokens).
    Received,
    /// The entropy of a query's weights in nats, (heads, tokens).
    Entropy,
    /// What a query gives to the first token, (heads, tokens).
    First,
    /// What a query gives to all special tokens, (heads, tokens).
    Special,
    /// The mean of |query − key| under a query's weights, (heads, tokens).
    Distance,
    /// The largest weights of a query and their keys, (heads, tokens, K) each.
    Top(usize),
    /// Attention rollout (Abnar and Zuidema 2020) over the chosen layers, (tokens, tokens).
    Rollout,
}

impl Reduce {
    /// How those without a number are written.
    const PLAIN: [(&'static str, Self); 7] = [
        ("full", Self::Full),
        ("received", Self::Received),
        ("entropy", Self::Entropy),
        ("first", Self::First),
        ("special", Self::Special),
        ("distance", Self::Distance),
        ("rollout", Self::Rollout),
    ];
    /// How each is written.
    pub const NAMES: [&'static str; 8] =
        ["full", "received", "entropy", "first", "special", "distance", "top:K", "rollout"];

    /// Axes of the result of a text of `tokens` tokens, by `layers` layers and `heads` heads.
    pub fn shape(self, layers: usize, heads: usize, tokens: usize) -> Vec<usize> {
        match self {
            Self::Full => vec![layers, heads, tokens, tokens],
            Self::Top(most) => vec![layers, heads, tokens, most],
            Self::Rollout => vec![tokens, tokens],
            _ => vec![layers, heads, tokens],
        }
    }
}

impl FromStr for Reduce {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let plain = crate::words::plain(text);
        if let Some((_, reduce)) = Self::PLAIN.into_iter().find(|(name, _)| *name == plain) {
            return Ok(reduce);
        }
        let Some(most) = plain.strip_prefix("top:").or((plain == "top").then_some("")) else {
            return Err(crate::words::unknown("reduction", text, &Self::NAMES));
        };
        match most.trim().parse() {
            Ok(most) if (1..=MOST_TOP).contains(&most) => Ok(Self::Top(most)),
            _ => Err(fail!(
                Usage,
                "reduction `{}`: expected a whole number from 1 to {MOST_TOP} after `top:`, such as `top:5`",
                quote(text)
            )),
        }
    }
}

impl fmt::Display for Reduce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Top(most) = self {
            return write!(f, "top:{most}");
        }
        let name = Self::PLAIN.into_iter().find(|(_, reduce)| reduce == self);
        f.write_str(name.map_or("", |(name, _)| name))
    }
}

/// What a recording brings of attention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapExit {
    /// Blocks, from 1.
    pub layers: Vec<usize>,
    /// Heads of queries, from 0, in the order of the result.
    pub heads: Vec<usize>,
    /// What becomes of the weights.
    pub reduce: Reduce,
    /// Which tokens of the batch are special.
    pub special: Vec<bool>,
}

impl MapExit {
    /// The tiles of rows of `batch` whose weights are held at once: first row, one past the last.
    pub fn tiles(&self, batch: &PackedBatch, caps: &Caps) -> Vec<(usize, usize)> {
        let tokens = batch.ids.len();
        let row = 4 * (self.heads.len() * keys_of(batch)).max(1) as u64;
        let rows = TILE_BYTES.min(caps.max_binding) / row;
        let rows =
            usize::try_from(rows).unwrap_or(usize::MAX).clamp(1, tokens.clamp(1, MAX_GROUPS));
        (0..tokens).step_by(rows).map(|first| (first, (first + rows).min(tokens))).collect()
    }

    /// Refuses layers, heads and a batch that do not fit each other or the device.
    pub fn check(&self, spec: &Spec, batch: &PackedBatch, caps: &Caps) -> Result<()> {
        let twice = |list: &[usize]| (1..list.len()).any(|i| list[..i].contains(&list[i]));
        let depth = spec.depth();
        if self.layers.is_empty() || self.layers.iter().any(|l| !(1..=depth).contains(l)) {
            return Err(fail!(Usage, "attention is in blocks 1..{depth}: choose some of them"));
        }
        if self.heads.is_empty() || self.heads.iter().any(|&head| head >= spec.heads) {
            return Err(fail!(
                Usage,
                "a block has heads 0..{}: choose some of them",
                spec.heads - 1
            ));
        }
        if twice(&self.layers) || twice(&self.heads) {
            return Err(fail!(Usage, "a layer or a head of attention is asked for twice"));
        }
        if self.special.len() != batch.ids.len() {
            return Err(fail!(Usage, "the marks of special tokens are not those of the batch"));
        }
        let a_row = 4 * (self.heads.len() * keys_of(batch)) as u64;
        let most = match self.reduce {
            Reduce::Top(most) => 2 * most,
            _ => 1,
        };
        let result = 4 * (self.heads.len() * batch.ids.len() * most) as u64;
        match a_row.max(result) > caps.max_binding {
            true => Err(fail!(
                Usage,
                "the attention of a batch takes {} bytes, more than the {} the device binds at once; choose \
                 fewer heads or shorter texts",
                a_row.max(result),
                caps.max_binding
            )),
            false => Ok(()),
        }
    }
}

/// Numbers in a row of weights: as many keys as the longest text has.
pub fn keys_of(batch: &PackedBatch) -> usize {
    align4(batch.offsets.windows(2).map(|o| (o[1] - o[0]) as usize).max().unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reductions_round_trip() {
        for (name, reduce) in Reduce::PLAIN {
            assert_eq!(name.parse::<Reduce>().unwrap(), reduce);
            assert_eq!(reduce.to_string(), name);
        }
        assert_eq!("Top:7".parse::<Reduce>().unwrap(), Reduce::Top(7));
        assert_eq!(Reduce::Top(7).to_string(), "top:7");
        for bad in ["top", "top:", "top:0", "top:-1", "top:x", "top:1025"] {
            let said = bad.parse::<Reduce>().unwrap_err().to_string();
            assert!(said.contains("from 1 to 1024"), "{said}");
        }
        assert!("entrpy".parse::<Reduce>().unwrap_err().to_string().contains("`entropy`"));
    }
}
