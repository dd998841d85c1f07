//! What is asked of one text: held against the model, and the ways off the device for it.

use std::collections::BTreeSet;

use super::Encoder;
use super::orders::Order;
use super::wish::Wish;
use crate::capture::{Capture, Pool};
use crate::error::{Result, fail};
use crate::schedule::{Exit, PoolMode};

/// Whether there is as much said of the tokens as there are, as far as it is read.
fn is_whole(order: &Order<'_>) -> bool {
    let Order { tokens, captures, windows, .. } = *order;
    let count = tokens.len();
    let told = captures.iter().any(|capture| capture.pool == Pool::Tokens);
    let is_told =
        tokens.pieces.len() == count && tokens.spans.len() == count && tokens.words.len() == count;
    tokens.types.len() == count
        && (!told || is_told)
        && (windows.is_none() || tokens.special.len() == count)
}

impl Encoder {
    /// The ways off the device for what is asked of a text, each with the bits that it has alone.
    /// What the results will say of themselves is [`Encoder::header`]'s matter.
    pub(super) fn exits(&self, order: &Order<'_>) -> Result<Vec<Exit>> {
        self.check(order)?;
        let (mut exits, mut plain) = (Vec::new(), BTreeSet::new());
        for capture in order.captures {
            let exit = self.wish(order, capture)?.exit;
            if exit.is_plain() {
                plain.extend(exit.states);
            } else if !exits.contains(&exit) {
                exits.push(exit);
            }
        }
        if !plain.is_empty() {
            exits.push(Exit { states: plain.into_iter().collect(), combine: None, pool: None });
        }
        Ok(exits)
    }

    /// Whether the model can run the text at all.
    fn check(&self, order: &Order<'_>) -> Result<()> {
        let (count, most) = (order.tokens.len(), self.model.spec.positions);
        if count == 0 {
            return Err(fail!(Text, "the text has no tokens"));
        }
        if !is_whole(order) {
            return Err(fail!(Usage, "the tokens of the text are not described one by one"));
        }
        let room = if order.windows.is_some() { usize::MAX } else { most };
        if count > room {
            return Err(fail!(TooLong, "the text has {count} tokens, the model {most} positions"));
        }
        if let Some(windows) = order.windows
            && (!windows.of.fits(order, most) || order.positions.is_some())
        {
            return Err(fail!(Usage, "the windows are not of this text and model"));
        }
        if let Some(&id) = order.tokens.ids.iter().find(|&&id| id as usize >= self.model.spec.vocab)
        {
            return Err(fail!(
                Usage,
                "token id {id} is not below the {} rows of the word table",
                self.model.spec.vocab
            ));
        }
        let types = self.model.spec.types;
        if let Some(&found) = order.tokens.types.iter().find(|&&t| t as usize >= types) {
            return Err(fail!(
                Usage,
                "token type {found} is not below the {types} of this model: it takes no pairs"
            ));
        }
        let places = order.positions.unwrap_or_default();
        if order.positions.is_some_and(|p| p.len() != count)
            || places.iter().any(|&p| p as usize >= most)
        {
            return Err(fail!(
                Usage,
                "the positions do not fit {count} tokens and {most} positions"
            ));
        }
        if order.hidden > 0 && order.windows.is_some() {
            return Err(fail!(Usage, "a text with hidden tokens is not run in windows"));
        }
        if order.hidden >= count {
            return Err(fail!(
                Usage,
                "all {count} tokens of the text are hidden: one must be seen"
            ));
        }
        Ok(())
    }

    /// Whether each request of a text needs the same states computed.
    pub(super) fn is_of_one_depth(&self, order: &Order<'_>) -> bool {
        let depth = |capture| self.wish(order, capture).map_or(0, |wish| wish.exit.deepest());
        let mut depths = order.captures.iter().map(depth);
        let first = depths.next();
        depths.all(|depth| Some(depth) == first)
    }

    /// A request of the text, held against the model.
    pub(super) fn wish<'w>(&'w self, order: &Order<'_>, capture: &'w Capture) -> Result<Wish<'w>> {
        let mut wish =
            Wish::new(capture, &self.model.spec, self.preprocessor.pipeline(), order.skip)?;
        if let Some(pool) = &mut wish.exit.pool
            && pool.pooler
            && order.hidden > 0
        {
            pool.reduces = vec![PoolMode::Last];
        }
        Ok(wish)
    }
}
