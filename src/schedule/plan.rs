//! What leaves the device, and the choice between the two ways out.
//!
//! *stream* copies every chosen state to the host, which combines and pools there: always
//! possible, the reference. *fold* combines and pools on the device and copies the result alone.

use std::fmt;
use std::str::FromStr;

use super::site::Site;
use crate::error::{Error, Result};
use crate::kernels::Merge;
use crate::math::pool::PoolMode;
use crate::model::spec::Spec;

/// How the chosen states become one on the device.
#[derive(Debug, Clone, PartialEq)]
pub struct Combination {
    /// Sum or maximum.
    pub merge: Merge,
    /// What each chosen state is multiplied with, in the order of [`Exit::states`]; ones under
    /// [`Merge::Max`].
    pub factors: Vec<f32>,
}

/// How rows become one a text on the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pooling {
    /// Each makes one part of the result.
    pub reduces: Vec<PoolMode>,
    /// Whether the checkpoint's pooler runs over the result of a single [`PoolMode::Cls`] or [`PoolMode::Last`].
    pub pooler: bool,
}

/// What a recording brings to the host.
///
/// With neither `combine` nor `pool` it is every chosen state. With `pool` it is one array of
/// `(states or 1) × reduces` parts of (texts, width), states outermost, in the order given here.
#[derive(Debug, Clone, PartialEq)]
pub struct Exit {
    /// Where in a block.
    pub site: Site,
    /// Whether the last state is taken behind the final norm, where the model has one.
    pub final_norm: bool,
    /// Chosen states in the caller's order, without duplicates.
    pub states: Vec<usize>,
    /// Combination of the states, before pooling.
    pub combine: Option<Combination>,
    /// Pooling of the rows.
    pub pool: Option<Pooling>,
}

/// Where the tokens of a text are pooled. Both ways agree to 1e-6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Route {
    /// Whichever moves fewer bytes off the device.
    #[default]
    Auto,
    /// On the host, from the token rows of every chosen layer: always possible, the reference.
    Stream,
    /// On the device, right after the layer; only vectors come back.
    Fold,
}

impl FromStr for Route {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match crate::words::plain(text).as_str() {
            "auto" => Ok(Self::Auto),
            "stream" => Ok(Self::Stream),
            "fold" => Ok(Self::Fold),
            _ => Err(crate::words::unknown("route", text, &["auto", "stream", "fold"])),
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Stream => "stream",
            Self::Fold => "fold",
        })
    }
}

impl Default for Exit {
    /// No state, as it is.
    fn default() -> Self {
        let (site, final_norm) = (Site::Hidden, true);
        Self { site, final_norm, states: Vec::new(), combine: None, pool: None }
    }
}

impl Exit {
    /// These states as they are.
    pub fn states(states: impl IntoIterator<Item = usize>) -> Self {
        Self { states: states.into_iter().collect(), ..Self::default() }
    }

    /// The *stream* form of this exit: the same states, nothing folded.
    pub fn streamed(&self) -> Self {
        Self { combine: None, pool: None, ..self.clone() }
    }

    /// Whether states leave as they are.
    pub fn is_plain(&self) -> bool {
        self.combine.is_none() && self.pool.is_none()
    }

    /// The highest state that has to be computed.
    pub fn deepest(&self) -> usize {
        self.states.iter().copied().max().unwrap_or(0)
    }

    /// Parts of the pooled result, or arrays of (tokens, width).
    pub fn parts(&self) -> usize {
        let arrays = if self.combine.is_some() { 1 } else { self.states.len() };
        arrays * self.pool.as_ref().map_or(1, |p| p.reduces.len())
    }

    /// The most texts of one batch whose pooled rows fit one array of `max_binding` bytes.
    pub fn max_texts(&self, spec: &Spec, max_binding: u64) -> usize {
        let row = 4 * self.parts() * self.site.row(spec).line();
        match self.pool {
            Some(_) => {
                usize::try_from(max_binding / row.max(1) as u64).unwrap_or(usize::MAX).max(1)
            }
            None => usize::MAX,
        }
    }

    /// The most tokens of one batch whose rows at the site fit one array of `max_binding` bytes.
    pub fn max_tokens(&self, spec: &Spec, max_binding: u64) -> usize {
        let row = 4 * self.site.row(spec).line();
        usize::try_from(max_binding / row.max(1) as u64).unwrap_or(usize::MAX).max(1)
    }

    /// Whether it brings the last state of `spec` as it is before the final norm.
    pub fn is_unnormed(&self, spec: &Spec) -> bool {
        self.site == Site::Hidden && !self.final_norm && spec.final_norm.is_some()
    }

    /// Follows `route`. [`Route::Auto`] folds wherever there is something to fold: a text has at
    /// least as many tokens as vectors, so that moves fewer bytes for all but the shortest texts,
    /// and the choice must not look at the texts, or a text's bits would depend on its batch.
    pub fn choose(self, route: Route) -> Self {
        // The pooler's product needs the device's weights, so it has one way out.
        let pooler = self.pool.as_ref().is_some_and(|p| p.pooler);
        if route == Route::Stream && !pooler { self.streamed() } else { self }
    }
}
