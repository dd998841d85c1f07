//! Attention as it comes back.

use super::TokenInfo;
use crate::capture::maps::Reduce;

/// What all texts of a call have in common.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AttentionHeader {
    /// The model, as a person would name it.
    pub model: String,
    /// Where it ran.
    pub device: String,
    /// What it computed in: `f32`, `f16`.
    pub dtype: String,
    /// Blocks, from 1, in the caller's order.
    pub layers: Vec<usize>,
    /// Heads, from 0, in the caller's order.
    pub heads: Vec<usize>,
    /// What became of the weights.
    pub reduce: Reduce,
}

/// Attention in one text.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TextAttention {
    /// Which text of the call, from 0.
    pub index: usize,
    /// Tokens that were cut off because the text was too long.
    pub lost: usize,
    /// Its tokens: the axes of queries and of keys.
    pub tokens: Vec<TokenInfo>,
    /// Axes of `values`, see [`Reduce::shape`].
    pub shape: Vec<usize>,
    /// Row-major.
    pub values: Vec<f32>,
    /// The key of each of `values`, -1 where a text has too few; of [`Reduce::Top`] alone.
    pub keys: Vec<i32>,
}

/// Attention in the texts of a call.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Attention {
    /// What they have in common.
    pub header: AttentionHeader,
    /// In the caller's order.
    pub texts: Vec<TextAttention>,
}

impl TextAttention {
    /// That of a text with these tokens.
    pub(crate) fn new(
        index: usize,
        lost: usize,
        tokens: Vec<TokenInfo>,
        shape: Vec<usize>,
    ) -> Self {
        Self { index, lost, tokens, shape, values: Vec::new(), keys: Vec::new() }
    }
}
