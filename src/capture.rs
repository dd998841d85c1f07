//! What the caller wants back: which layers, how they are combined, how tokens become rows, and
//! what is done to the rows afterwards.
//!
//! The order is the same on every path and is part of the meaning: combine the layers, pool the
//! tokens, (the checkpoint's Dense layers,) normalise, keep the first dimensions, quantise. This
//! module holds the words of the request and their meaning on host slices; it runs no model and
//! writes no file.

pub mod combine;
pub mod layers;
pub mod maps;
mod overflow;
pub mod pool;
pub mod precision;
pub mod reduce;
mod wanted;

pub use combine::Combine;
pub use layers::{LayerItem, Layers};
pub use maps::{Heads, Maps, Reduce};
pub use pool::{Pool, PoolMode, Pooling, WordPool};
pub use precision::Precision;

use crate::error::{Error, ErrorKind, Result};
pub use crate::schedule::{Route, Site};
pub use crate::text::Overflow;

/// A request: everything that shapes the result but not the texts.
///
/// ```
/// use everylayer::capture::{Capture, Combine, Layers, Pool};
///
/// let capture = Capture::default().layers(Layers::All).combine(Combine::Mean).pool(Pool::Mean);
/// assert_eq!(capture.layers.resolve(2)?, [0, 1, 2]);
/// # Ok::<(), everylayer::Error>(())
/// ```
/// The setters take words of the command line as well as values:
///
/// ```
/// use everylayer::Capture;
///
/// let capture = Capture::default().layers("-4..-1").combine("concat").pool("cls");
/// assert_eq!(capture.layers.resolve(12)?, [9, 10, 11, 12]);
/// // What is no word is an error of whatever is asked for with it.
/// assert!(Capture::default().pool("meen").check().is_err());
/// # Ok::<(), everylayer::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Capture {
    /// Where in a block; its hidden state unless said otherwise.
    pub site: Site,
    /// Which layers; the last one unless said otherwise.
    pub layers: Layers,
    /// How the chosen states become one (or stay apart, the default).
    pub combine: Combine,
    /// How tokens become rows; what the checkpoint says unless said otherwise.
    pub pool: Pool,
    /// Scale every row to length 1: `None` leaves it to the checkpoint.
    pub normalize: Option<bool>,
    /// Keep the first so many dimensions of a row and renormalise.
    pub dims: Option<usize>,
    /// The type of the numbers that come back.
    pub precision: Precision,
    /// At most so many tokens of a text, special ones included; `None` is the checkpoint's limit.
    pub max_tokens: Option<usize>,
    /// What happens to a text that is longer.
    pub overflow: Overflow,
    /// Put before every text, before it is tokenised.
    pub prompt: Option<String>,
    /// Where pooling happens.
    pub route: Route,
    /// Whether the last state is taken behind the final norm of a model that has one, as it is unless
    /// said otherwise.
    pub final_norm: Option<bool>,
    /// What the first setter had to say that was given what it cannot read.
    pub(crate) wrong: Option<String>,
}

impl Capture {
    /// Whether all that its setters were given could be read. Whoever works with a capture asks.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`], with the sentence of the first that could not.
    pub fn check(&self) -> Result<()> {
        match &self.wrong {
            Some(said) => Err(Error::new(ErrorKind::Usage, said.clone())),
            None => Ok(()),
        }
    }

    fn refuse(&mut self, wrong: Error) {
        self.wrong.get_or_insert(wrong.to_string());
    }

    /// The same request at this site of each block: [`Site`], or a word such as `"attn_out"`.
    #[must_use]
    pub fn site(mut self, site: impl TryInto<Site, Error: Into<Error>>) -> Self {
        match site.try_into() {
            Ok(site) => self.site = site,
            Err(wrong) => self.refuse(wrong.into()),
        }
        self
    }

    /// The same request with the last state behind the final norm, or before it.
    #[must_use]
    pub fn final_norm(mut self, behind: bool) -> Self {
        self.final_norm = Some(behind);
        self
    }

    /// The same request for these layers: [`Layers`], or what makes them, such as `"-4..-1"`, `[0, 3, -1]`
    /// or `1..=3`.
    #[must_use]
    pub fn layers(mut self, layers: impl TryInto<Layers, Error: Into<Error>>) -> Self {
        match layers.try_into() {
            Ok(layers) => self.layers = layers,
            Err(wrong) => self.refuse(wrong.into()),
        }
        self
    }

    /// The same request with the layers combined like this: [`Combine`], or a word such as `"mean"`.
    #[must_use]
    pub fn combine(mut self, combine: impl TryInto<Combine, Error: Into<Error>>) -> Self {
        match combine.try_into() {
            Ok(combine) => self.combine = combine,
            Err(wrong) => self.refuse(wrong.into()),
        }
        self
    }

    /// The same request with this pooling: [`Pool`], or a word such as `"cls"`.
    #[must_use]
    pub fn pool(mut self, pool: impl TryInto<Pool, Error: Into<Error>>) -> Self {
        match pool.try_into() {
            Ok(pool) => self.pool = pool,
            Err(wrong) => self.refuse(wrong.into()),
        }
        self
    }

    /// The same request with rows of length 1, or left as they are, whatever the checkpoint says.
    #[must_use]
    pub fn normalize(mut self, normalize: bool) -> Self {
        self.normalize = Some(normalize);
        self
    }

    /// The same request for the first `dims` dimensions.
    #[must_use]
    pub fn dims(mut self, dims: usize) -> Self {
        self.dims = Some(dims);
        self
    }

    /// The same request in numbers of this type: [`Precision`], or a word such as `"f16"`.
    #[must_use]
    pub fn precision(mut self, precision: impl TryInto<Precision, Error: Into<Error>>) -> Self {
        match precision.try_into() {
            Ok(precision) => self.precision = precision,
            Err(wrong) => self.refuse(wrong.into()),
        }
        self
    }

    /// The same request with texts of at most so many tokens.
    #[must_use]
    pub fn max_tokens(mut self, tokens: usize) -> Self {
        self.max_tokens = Some(tokens);
        self
    }

    /// The same request with longer texts treated like this: [`Overflow`], or a word such as `"window"`.
    #[must_use]
    pub fn overflow(mut self, overflow: impl TryInto<Overflow, Error: Into<Error>>) -> Self {
        match overflow.try_into() {
            Ok(overflow) => self.overflow = overflow,
            Err(wrong) => self.refuse(wrong.into()),
        }
        self
    }

    /// The same request with `prompt` before every text.
    #[must_use]
    pub fn prompt(mut self, prompt: impl Into<String>) -> Self {
        self.prompt = Some(prompt.into());
        self
    }

    /// The same request with tokens pooled there: [`Route`], or a word.
    #[must_use]
    pub fn route(mut self, route: impl TryInto<Route, Error: Into<Error>>) -> Self {
        match route.try_into() {
            Ok(route) => self.route = route,
            Err(wrong) => self.refuse(wrong.into()),
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_is_the_last_layer_as_the_model_pools_it() {
        let capture = Capture::default();
        assert_eq!((capture.site, capture.final_norm), (Site::Hidden, None));
        assert_eq!(capture.layers, Layers::Last);
        assert_eq!(capture.combine, Combine::Stack);
        assert_eq!(capture.pool, Pool::Model);
        assert_eq!(capture.precision, Precision::F32);
        assert_eq!(capture.overflow, Overflow::Truncate);
        assert_eq!(capture.route, Route::Auto);
        assert_eq!((capture.normalize, capture.dims, capture.max_tokens), (None, None, None));
        assert_eq!(capture.prompt, None);
    }

    #[test]
    fn routes_round_trip() {
        for route in [Route::Auto, Route::Stream, Route::Fold] {
            assert_eq!(route.to_string().parse::<Route>().unwrap(), route);
        }
        assert!("both".parse::<Route>().is_err());
    }
}
