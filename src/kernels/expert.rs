//! `expert`: a product over the rows of one expert.

use std::fmt;

use super::Access::{Read, Write};
use super::block::block;
use super::grid::{MATMUL_K, PANEL};
use super::template::Constants;
use super::{
    Access, AdapterFeatures, Arrays, Call, Checked, Elem, Kernel, Need, RoutesLeft, Sizes, Wgsl,
};
use crate::math::activation::Activation;

/// C = act(A Wᵀ) for the rows of one expert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Expert {
    /// Storage type of W.
    pub weights: Elem,
    /// Applied to the sum.
    pub activation: Activation,
    /// Whether a row is multiplied with its share.
    pub shared: bool,
}

block! {
    /// The block of `shaders/expert.wgsl`.
    ExpertParams {
        /// Tokens.
        tokens: u32,
        /// Experts.
        experts: u32,
        /// Which one this is.
        expert: u32,
        /// Rows of A: the tokens, or all slots.
        a_rows: u32,
        /// Vectors in a row of C.
        n4: u32,
        /// Vectors in a row of A.
        k4: u32,
        /// Steps of the K tile that W is padded to.
        k_steps: u32,
    }
}

/// What one of several experts multiplies.
#[derive(Debug, Clone, Copy)]
pub struct ExpertShape {
    /// Tokens.
    pub tokens: usize,
    /// Which expert, of how many.
    pub expert: (usize, usize),
    /// Rows of A: the tokens, or all slots.
    pub a_rows: usize,
    /// Rows of C: all slots.
    pub slots: usize,
    /// Columns of C.
    pub n: usize,
    /// Depth.
    pub k: usize,
}

impl Expert {
    /// Binds A, W, what [`Route`](super::Route) left, C. Its work is an even share: which it is, the
    /// device alone knows; and so its grid is for all tokens.
    pub fn over(self, shape: ExpertShape) -> Call {
        let ExpertShape { tokens, expert: (expert, experts), a_rows, slots, n, k } = shape;
        let params = ExpertParams {
            tokens: tokens as u32,
            experts: experts as u32,
            expert: expert as u32,
            a_rows: a_rows as u32,
            n4: (n / 4) as u32,
            k4: (k / 4) as u32,
            k_steps: k.div_ceil(MATMUL_K) as u32,
        };
        Call::new(self, params, grid(tokens, n), 2 * (slots * n * k / experts) as u64)
    }
}

fn grid(tokens: usize, n: usize) -> [u32; 2] {
    [n.div_ceil(PANEL) as u32, tokens.div_ceil(16) as u32]
}

impl Kernel for Expert {
    const NAME: &'static str = "expert";
    type Params = ExpertParams;

    fn choices(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.weights.suffix())?;
        if self.activation != Activation::Identity {
            write!(f, "+{}", self.activation)?;
        }
        f.write_str(if self.shared { "+shared" } else { "" })
    }

    fn bindings(&self) -> &'static [Access] {
        &[Read, Read, Read, Write]
    }

    fn variants(_: Sizes<'_>) -> Vec<Self> {
        let mut all = Vec::new();
        for weights in Elem::ALL {
            let of = |activation, shared| Self { weights, activation, shared };
            all.extend(Activation::ALL.map(|activation| of(activation, false)));
            all.push(of(Activation::Identity, true));
        }
        all
    }

    fn runs_on(&self, can: &AdapterFeatures) -> bool {
        self.weights.runs_on(can)
    }

    fn weights(&self) -> Elem {
        self.weights
    }

    fn wgsl(&self, _: usize) -> Wgsl {
        let constants = Constants::default().flag("SHARED", self.shared);
        let text = Wgsl::of(Self::NAME).with(constants).elem(self.weights);
        text.choice("act", self.activation)
    }

    fn needs(&self, p: &ExpertParams, over: [u32; 2]) -> Option<Vec<Need>> {
        let (n, k) = (4 * u128::from(p.n4), 4 * u128::from(p.k4));
        let inside = p.expert < p.experts
            && p.a_rows > 0
            && p.n4 > 0
            && p.k4 > 0
            && k.div_ceil(MATMUL_K as u128) == u128::from(p.k_steps)
            && over == grid(p.tokens as usize, usize::try_from(n).ok()?);
        let routes = Need::Routes { experts: p.experts, tokens: p.tokens };
        let a = Need::Numbers(k * u128::from(p.a_rows));
        let needs = vec![a, Need::Matrix { n, k, elem: self.weights }, routes, Need::Numbers(n)];
        inside.then_some(needs)
    }

    /// The slots of the expert, whether `route` left them or a test.
    fn indices(&self, p: &ExpertParams, _: [u32; 2], arrays: &mut dyn Arrays) -> Checked {
        let there = arrays.rows(3, 4 * u128::from(p.n4));
        let lists = u128::from(p.experts) * (1 + u128::from(p.tokens));
        let most = there.min(arrays.room(2).saturating_sub(lists));
        let inside = match arrays.routes(2) {
            Some(RoutesLeft { experts, tokens, chosen }) => {
                (experts, tokens) == (p.experts, p.tokens)
                    && u128::from(chosen) * u128::from(tokens) <= most
            }
            None => arrays.words(2).is_ok_and(|words| {
                let number = |at: usize| words.get(at).map(|&bits| f32::from_bits(bits));
                let is_index =
                    |x: f32, most: u128| x >= 0.0 && x.fract() == 0.0 && (x as u128) < most;
                let count = number(p.expert as usize).unwrap_or(f32::NAN);
                let first = p.experts as usize + p.expert as usize * p.tokens as usize;
                is_index(count, u128::from(p.tokens) + 1)
                    && (first..first + count as usize)
                        .all(|at| number(at).is_some_and(|slot| is_index(slot, most)))
            }),
        };
        if inside { Ok(()) } else { Err("an expert has slots outside of its arrays") }
    }
}
