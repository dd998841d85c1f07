//! Tokens that others made, each text with requests of its own: what a server's batcher calls.
//!
//! A text with several requests runs through the model once. Which texts share a batch changes no
//! bit of a result: the way off the device follows from a text's own requests alone.

use std::collections::BTreeSet;
use std::ops::Range;

use futures::StreamExt;

use super::collect::{self, Arrived};
use super::wish::Wish;
use super::{Encoder, drive};
use crate::capture::{Capture, Pool};
use crate::embeddings::{TextEmbedding, Values};
use crate::error::{Result, fail};
use crate::execute::Execute;
use crate::schedule::{Elem, Exit, PoolMode, record};
use crate::text::pack::{PackedBatch, pack_some};
use crate::text::{Tokens, Word};

/// What is asked of one text.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// Its tokens; at most as many as the model has positions.
    pub tokens: &'a Tokens,
    /// Place of each token where it is not its number: (tokens), below the model's positions.
    pub positions: Option<&'a [u32]>,
    /// Its words, where some request is for words.
    pub words: &'a [Word],
    /// Tokens at its start that are not pooled.
    pub skip: usize,
    /// Tokens at its end that look at the others and are not looked at. They are pooled as all others
    /// are; the pooler reads the last of them.
    pub hidden: usize,
    /// The requests. Limit, overflow and prompt were the tokenizer's matter; precision is the
    /// caller's: the numbers come back in f32.
    pub captures: &'a [Capture],
}

/// A run of one text through the model, for some of its requests.
struct Pass {
    order: usize,
    captures: Vec<usize>,
}

/// Passes that leave the device alike.
struct Group {
    exit: Exit,
    passes: Vec<Pass>,
}

impl Encoder {
    /// The results of each order, one a request; an error of one text leaves the others alone.
    ///
    /// # Errors
    ///
    /// `Usage` where a request does not fit the model, `Text` for a text without tokens, both said
    /// of the text alone; for all texts `Gpu`, `DeviceLost`, `OutOfMemory` from a device.
    pub async fn embed_orders(
        &self,
        orders: &[Order<'_>],
    ) -> Result<Vec<Result<Vec<TextEmbedding>>>> {
        let mut done: Vec<Result<Vec<Option<TextEmbedding>>>> =
            orders.iter().map(|o| Ok(vec![None; o.captures.len()])).collect();
        let mut groups: Vec<Group> = Vec::new();
        for (i, order) in orders.iter().enumerate() {
            match self.passes(order) {
                Ok(passes) => passes.into_iter().for_each(|(exit, captures)| {
                    join(&mut groups, exit, Pass { order: i, captures });
                }),
                Err(e) => done[i] = Err(e),
            }
        }
        for group in groups {
            let again = self.run_group(self.executor.as_ref(), &group, orders, &mut done).await?;
            if !again.is_empty() {
                let group = Group { exit: group.exit, passes: again };
                let wide = self.wide().await?;
                self.run_group(wide.as_ref(), &group, orders, &mut done).await?;
            }
        }
        Ok(done.into_iter().map(|texts| texts.map(|t| t.into_iter().flatten().collect())).collect())
    }

    /// Whether the model can do `capture` at all; what its result will say of itself is
    /// [`Encoder::header`]'s matter.
    fn passes(&self, order: &Order<'_>) -> Result<Vec<(Exit, Vec<usize>)>> {
        let (count, most) = (order.tokens.len(), self.model.spec.positions);
        if count == 0 {
            return Err(fail!(Text, "the text has no tokens"));
        }
        if count > most {
            return Err(fail!(TooLong, "the text has {count} tokens, the model {most} positions"));
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
        if order.hidden >= count {
            return Err(fail!(
                Usage,
                "all {count} tokens of the text are hidden: one must be seen"
            ));
        }
        let wish = |capture| {
            let mut wish =
                Wish::new(capture, &self.model.spec, self.intake.pipeline(), order.skip)?;
            if let Some(pool) = &mut wish.exit.pool
                && pool.pooler
                && order.hidden > 0
            {
                pool.reduces = vec![PoolMode::Last];
            }
            Ok::<_, crate::Error>(wish)
        };
        if let [capture] = order.captures {
            return Ok(vec![(wish(capture)?.exit, vec![0])]);
        }
        // One pass for all that the host can reduce; the pooler's product is the device's.
        let mut passes = Vec::new();
        let (mut states, mut streamed) = (BTreeSet::new(), Vec::new());
        for (i, capture) in order.captures.iter().enumerate() {
            let wish = wish(capture)?;
            match capture.pool {
                Pool::Pooler => passes.push((wish.exit, vec![i])),
                _ => {
                    states.extend(wish.states);
                    streamed.push(i);
                }
            }
        }
        if !streamed.is_empty() {
            let states = states.into_iter().collect();
            passes.push((Exit { states, combine: None, pool: None }, streamed));
        }
        Ok(passes)
    }

    /// Runs a group; the passes that overflowed f16 come back.
    async fn run_group(
        &self,
        executor: &dyn Execute,
        group: &Group,
        orders: &[Order<'_>],
        done: &mut [Result<Vec<Option<TextEmbedding>>>],
    ) -> Result<Vec<Pass>> {
        let (layout, spec) = (&self.model.layout, &self.model.spec);
        let tokens: Vec<&Tokens> = group.passes.iter().map(|p| orders[p.order].tokens).collect();
        let most = group.exit.max_texts(layout, executor.caps().max_binding);
        let mut batches =
            pack_some(|i| tokens[i].into(), (0..tokens.len()).collect(), self.batch_tokens, most);
        for batch in &mut batches {
            let hidden = |&i: &usize| orders[group.passes[i].order].hidden as u32;
            batch.hidden = batch.order.iter().map(hidden).collect();
            for i in 0..batch.len() {
                if let Some(places) = orders[group.passes[batch.order[i]].order].positions {
                    let rows = batch.offsets[i] as usize..batch.offsets[i + 1] as usize;
                    batch.positions[rows].copy_from_slice(places);
                }
            }
        }
        let run = async |batch: PackedBatch| {
            let mut arrived = Arrived::new();
            let mut sink = |output, numbers| {
                arrived.push((output, numbers));
                Ok(())
            };
            let recording = record(spec, layout, &batch, &group.exit, executor.caps())?;
            let found = executor.run(&recording, &mut sink).await?;
            Ok::<_, crate::Error>((batch, arrived, found))
        };
        let mut landed = futures::stream::iter(batches).map(run).buffered(drive::UNDER_WAY);
        let mut again = Vec::new();
        while let Some(landed) = landed.next().await {
            let (batch, arrived, found) = landed.map_err(|e| self.name_model(e))?;
            let bad = found.as_ref().map_or_else(Vec::new, |f| batch.sequences_of(&f.rows));
            for i in 0..batch.len() {
                let pass = &group.passes[batch.order[i]];
                if bad.binary_search(&i).is_ok() {
                    if executor.caps().elem == Elem::F32 {
                        let said = found.clone().map(|f| self.name_model(f.into_error()));
                        if let Some(said) = said {
                            done[pass.order] = Err(said);
                        }
                    } else {
                        let captures = pass.captures.clone();
                        again.push(Pass { order: pass.order, captures });
                    }
                    continue;
                }
                let order = &orders[pass.order];
                let result = self.reduce(order, pass, &batch, i, &arrived);
                match (result, &mut done[pass.order]) {
                    (Ok(texts), Ok(slots)) => {
                        pass.captures.iter().zip(texts).for_each(|(&c, t)| slots[c] = Some(t));
                    }
                    (Err(e), slot) => *slot = Err(e),
                    (Ok(_), Err(_)) => {}
                }
            }
        }
        Ok(again)
    }

    fn reduce(
        &self,
        order: &Order<'_>,
        pass: &Pass,
        batch: &PackedBatch,
        i: usize,
        arrived: &Arrived,
    ) -> Result<Vec<TextEmbedding>> {
        let (spec, stride) = (&self.model.spec, self.model.layout.width);
        let rows = batch.offsets[i] as usize..batch.offsets[i + 1] as usize;
        let ranges: Vec<Range<usize>> = order.words.iter().map(|w| w.tokens.clone()).collect();
        let one = |&capture: &usize| {
            let capture = &order.captures[capture];
            let wish = Wish::new(capture, spec, self.intake.pipeline(), order.skip)?;
            let place = (i, batch.order.len(), rows.clone());
            let brought = collect::brought(&wish, place, stride, arrived);
            let reduced = wish.finish(&brought, &ranges, order.skip)?;
            Ok(TextEmbedding {
                index: 0,
                text_tokens: order.tokens.len(),
                lost: order.tokens.lost,
                rows: reduced.rows,
                values: Values::F32(reduced.values),
                tokens: match capture.pool {
                    Pool::Tokens => collect::token_infos(order.tokens),
                    _ => Vec::new(),
                },
                words: match capture.pool {
                    Pool::Words(_) => order.words.iter().cloned().map(collect::word_info).collect(),
                    _ => Vec::new(),
                },
            })
        };
        pass.captures.iter().map(one).collect()
    }
}

/// Puts a pass to those it can share batches with: those that leave the device alike, or as plain
/// states of the same depth, where bringing one state more costs a copy.
fn join(groups: &mut Vec<Group>, exit: Exit, pass: Pass) {
    let plain = |e: &Exit| e.combine.is_none() && e.pool.is_none();
    let alike = |g: &&mut Group| {
        g.exit == exit || plain(&g.exit) && plain(&exit) && g.exit.deepest() == exit.deepest()
    };
    match groups.iter_mut().find(alike) {
        Some(group) => {
            if group.exit != exit {
                let all: BTreeSet<usize> =
                    group.exit.states.iter().chain(&exit.states).copied().collect();
                group.exit.states = all.into_iter().collect();
            }
            group.passes.push(pass);
        }
        None => groups.push(Group { exit, passes: vec![pass] }),
    }
}
