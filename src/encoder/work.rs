//! What running a text costs, before it is run.

use super::Encoder;
use crate::model::layout::{BlockIds, Layout};
use crate::model::spec::{Bias, Block, Spec};

/// The length whose token costs 1.
const USUAL: u64 = 128;

impl Encoder {
    /// The work of one text of `tokens` tokens, in tokens of a text of 128: in floating-point
    /// operations a long text costs more a token, as each looks at all others; a short one counts
    /// its tokens.
    pub fn work(&self, tokens: usize) -> usize {
        let (spec, layout) = (&self.model.spec, &self.model.layout);
        let [all, usual] = [tokens as u64, USUAL].map(|n| flops(spec, layout, n));
        let work = u128::from(all) * u128::from(USUAL) / u128::from(usual.max(1));
        usize::try_from(work).unwrap_or(usize::MAX).max(tokens)
    }
}

/// Floating-point operations of a text of `tokens` tokens: products and attention.
fn flops(spec: &Spec, layout: &Layout, tokens: u64) -> u64 {
    let block = |(block, ids): (&Block, &BlockIds)| {
        let products = [ids.qkv, ids.output, ids.up, ids.down];
        let products: u64 = products.iter().map(|w| 2 * (w.n * w.k) as u64).sum();
        let seen = match &block.attention.bias {
            Bias::Window(reach) => tokens.min(2 * *reach as u64 + 1),
            _ => tokens,
        };
        let pairs = 4 * (spec.heads * spec.head_dim) as u64;
        products.saturating_add(pairs.saturating_mul(seen)).saturating_mul(tokens)
    };
    let blocks = spec.blocks.iter().zip(&layout.blocks).map(block);
    blocks.fold(0, u64::saturating_add)
}
