//! `pool`: the rows of each text become one.

use std::fmt;

use super::Access::{Read, Write};
use super::block::block;
use super::grid::INVOCATIONS;
use super::needs::{numbers, product};
use super::{Access, Arrays, Call, Checked, Kernel, Need, Sizes, Wgsl};
use crate::math::pool::PoolMode;

/// One row a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pool(pub PoolMode);

block! {
    /// The block of `shaders/pool.wgsl`.
    PoolParams {
        /// Vectors in a row of the state.
        stride4: u32,
        /// Vectors in a row of the result.
        out4: u32,
        /// First vector of the result.
        start4: u32,
    }
}

impl Pool {
    /// Of `texts` texts, into rows of `out` numbers from row `first` on. Binds x, the first row and
    /// the rows of each text, the result.
    pub fn over(self, texts: usize, stride: usize, first: usize, out: usize) -> Call {
        let stride4 = stride / 4;
        let params = PoolParams {
            stride4: stride4 as u32,
            out4: (out / 4) as u32,
            start4: (first * out / 4) as u32,
        };
        Call::new(self, params, [texts as u32, stride4.div_ceil(INVOCATIONS) as u32], 0)
    }
}

impl Kernel for Pool {
    const NAME: &'static str = "pool";
    type Params = PoolParams;

    fn choices(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ".{}", self.0)
    }

    fn bindings(&self) -> &'static [Access] {
        &[Read, Read, Write]
    }

    fn variants(_: Sizes<'_>) -> Vec<Self> {
        PoolMode::ALL.map(Self).into()
    }

    fn wgsl(&self, _: usize) -> Wgsl {
        let text = Wgsl::of(Self::NAME).choice("pool", self.0);
        if self.0.is_sum() { text.lib("pool_sum") } else { text }
    }

    fn needs(&self, p: &PoolParams, [texts, columns]: [u32; 2]) -> Option<Vec<Need>> {
        let wide = p.stride4 > 0
            && p.stride4 <= p.out4
            && columns as usize == (p.stride4 as usize).div_ceil(INVOCATIONS);
        let last = u128::from(p.start4) + product(&[texts.checked_sub(1)?, p.out4]);
        let pooled = Need::Numbers(4 * (last + u128::from(p.stride4)));
        wide.then(|| vec![numbers(&[4, p.stride4]), Need::Words(product(&[2, texts])), pooled])
    }

    fn indices(&self, p: &PoolParams, [texts, _]: [u32; 2], arrays: &mut dyn Arrays) -> Checked {
        let there = arrays.rows(0, 4 * u128::from(p.stride4));
        let texts = texts as usize;
        let (ranges, _) = arrays.words(1)?.as_chunks::<2>();
        let inside = |&[first, count]: &[u32; 2]| {
            count > 0 && u128::from(first) + u128::from(count) <= there
        };
        match texts == arrays.texts() && ranges.len() >= texts && ranges[..texts].iter().all(inside)
        {
            true => Ok(()),
            false => Err("a text is outside of the rows that are pooled"),
        }
    }
}
