//! `route`: which tokens go through which expert.

use super::Access::{Read, Write};
use super::block::block;
use super::needs::{numbers, product};
use super::{Access, Call, Kernel, Need, Sizes};

/// The largest whole number up to which f32 holds every one: slots of experts are counted in it.
const MAX_SLOTS: u128 = 1 << 24;

/// Which tokens go through which expert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Route;

block! {
    /// The block of `shaders/route.wgsl`.
    RouteParams {
        /// Tokens.
        tokens: u32,
        /// Experts.
        experts: u32,
        /// Numbers in a row of logits.
        line: u32,
        /// Experts a token goes through.
        chosen: u32,
    }
}

/// What [`Route`] leaves: lists of the rows of each expert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoutesLeft {
    /// Experts.
    pub experts: u32,
    /// Tokens.
    pub tokens: u32,
    /// Experts a token goes through.
    pub chosen: u32,
}

/// Words of `shaders/route.wgsl`'s result.
pub fn route_words(tokens: usize, experts: usize, chosen: usize) -> usize {
    experts * (1 + tokens) + chosen * tokens
}

impl Route {
    /// Of logits in rows of `line` numbers. Binds logits, routes.
    pub fn over(self, tokens: usize, experts: usize, chosen: usize, line: usize) -> Call {
        let params = RouteParams {
            tokens: tokens as u32,
            experts: experts as u32,
            line: line as u32,
            chosen: chosen as u32,
        };
        Call::new(self, params, [experts as u32, 1], 0)
    }
}

impl Kernel for Route {
    const NAME: &'static str = "route";
    type Params = RouteParams;

    fn bindings(&self) -> &'static [Access] {
        &[Read, Write]
    }

    fn variants(_: Sizes<'_>) -> Vec<Self> {
        vec![Self]
    }

    fn needs(&self, p: &RouteParams, grid: [u32; 2]) -> Option<Vec<Need>> {
        let slots = product(&[p.chosen, p.tokens]);
        let inside = (1..=p.experts).contains(&p.chosen) && p.experts <= p.line;
        let lists = u128::from(p.experts) * (1 + u128::from(p.tokens));
        let needs = vec![numbers(&[p.tokens, p.line]), Need::Numbers(lists + slots)];
        (inside && slots <= MAX_SLOTS && grid == [p.experts, 1]).then_some(needs)
    }

    fn leaves(&self, p: &RouteParams) -> Option<RoutesLeft> {
        Some(RoutesLeft { experts: p.experts, tokens: p.tokens, chosen: p.chosen })
    }
}
