//! Tokens that others made, each text with requests of its own: what a server's batcher calls.
//!
//! A text with several requests runs through the model once. Which texts share a batch changes no
//! bit of a result, nor do the other requests of its text: the way off the device follows from a
//! request alone.

use std::collections::BTreeSet;
use std::ops::Range;

use futures::StreamExt;

use super::collect::{self, Arrived};
use super::windowed::{Stretch, Taken, Windowed};
use super::wish::{Brought, Wish};
use super::{Encoder, drive};
use crate::capture::{Capture, Pool};
use crate::embeddings::{TextEmbedding, Values};
use crate::error::{ErrorKind, Result};
use crate::execute::{Execute, Task};
use crate::schedule::{Elem, Exit, record_all};
use crate::text::pack::{PackedBatch, Sequence, pack_some};
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
    /// Those of its windows that are run now, where the text is run in some. Its captures are then
    /// for [`Overflow::Window`](crate::Overflow::Window).
    pub windows: Option<Stretch<'a>>,
    /// The requests. Limit, overflow and prompt were the tokenizer's matter; precision is the
    /// caller's: the numbers come back in f32.
    pub captures: &'a [Capture],
}

/// What came of some orders.
#[derive(Debug)]
pub struct Served {
    /// In the order of the orders: a result a request, `None` while windows of the text are still to
    /// be run, or what is wrong with the text.
    pub results: Vec<Result<Option<Vec<TextEmbedding>>>>,
    /// How many texts overflowed f16 and were run again in f32.
    pub rerun: usize,
}

/// What has come of an order: a result a request.
type Slot = Result<Vec<Option<TextEmbedding>>>;

/// A run of one text, or of some windows of it, through the model, for all of its requests.
#[derive(Clone)]
struct Pass {
    order: usize,
    /// The windows, where the text is run in some.
    windows: Option<Range<usize>>,
}

/// Passes that leave the device alike.
struct Group {
    exits: Vec<Exit>,
    passes: Vec<Pass>,
}

/// What lies in a batch: a pass, all of it or one window.
type Part = (usize, Option<usize>);

impl Encoder {
    /// The results of each order, one a request; an error of one text leaves the others alone.
    ///
    /// # Errors
    ///
    /// `Usage` where a request does not fit the model, `Text` for a text without tokens, both said
    /// of the text alone; for all texts `Gpu`, `DeviceLost`, `OutOfMemory` from a device.
    pub async fn embed_orders(&self, orders: &[Order<'_>]) -> Result<Served> {
        self.serve(orders, false).await
    }

    /// [`Encoder::embed_orders`] as a future that is often pending on the CPU, some milliseconds of
    /// work at a time, so that its caller can do something else between two polls.
    ///
    /// # Errors
    ///
    /// As [`Encoder::embed_orders`].
    pub async fn embed_orders_in_turns(&self, orders: &[Order<'_>]) -> Result<Served> {
        self.serve(orders, true).await
    }

    /// Boxed, as a text that overflows may be served once more.
    fn serve<'a>(&'a self, orders: &'a [Order<'a>], in_turns: bool) -> Task<'a, Result<Served>> {
        Box::pin(async move {
            let mut done: Vec<Slot> =
                orders.iter().map(|o| Ok(vec![None; o.captures.len()])).collect();
            let mut groups: Vec<Group> = Vec::new();
            for (i, order) in orders.iter().enumerate() {
                match self.exits(order) {
                    Ok(exits) => {
                        let windows = order.windows.map(|w| w.first..w.first + w.count);
                        join(&mut groups, exits, Pass { order: i, windows });
                    }
                    Err(e) => done[i] = Err(e),
                }
            }
            let mut rerun = BTreeSet::new();
            for group in groups {
                let narrow = self.executor.as_ref();
                let again = self.run_fitting((narrow, in_turns), &group, orders, &mut done).await?;
                rerun.extend(again.iter().map(|pass| pass.order));
                let (alike, apart): (Vec<_>, Vec<_>) =
                    again.into_iter().partition(|pass| self.is_of_one_depth(&orders[pass.order]));
                if !alike.is_empty() {
                    let group = Group { exits: group.exits, passes: alike };
                    let wide = self.wide().await?;
                    self.run_fitting((wide.as_ref(), in_turns), &group, orders, &mut done).await?;
                }
                for pass in apart {
                    done[pass.order] = self.each_alone(&orders[pass.order], in_turns).await?;
                }
            }
            let results = done.into_iter().zip(orders).map(|(slot, order)| whole(slot?, order));
            Ok(Served { results: results.collect(), rerun: rerun.len() })
        })
    }

    /// The results of a text that overflowed f16, a run each: one that does not need the state that
    /// overflowed has the bits of f16, as it has alone.
    async fn each_alone(&self, order: &Order<'_>, in_turns: bool) -> Result<Slot> {
        let windows = order.windows.map(|w| Stretch { of: w.of, first: 0, count: w.of.len() });
        let mut results = Vec::new();
        for capture in order.captures {
            let one = [Order { captures: std::slice::from_ref(capture), windows, ..*order }];
            match self.serve(&one, in_turns).await?.results.pop() {
                Some(Ok(Some(texts))) => results.extend(texts.into_iter().map(Some)),
                Some(Err(e)) => return Ok(Err(e)),
                Some(Ok(None)) | None => return Ok(Err(collect::missing())),
            }
        }
        Ok(Ok(results))
    }

    /// [`Encoder::run_group`], one batch at a time where there is no memory for two.
    async fn run_fitting(
        &self,
        executor: (&dyn Execute, bool),
        group: &Group,
        orders: &[Order<'_>],
        done: &mut [Slot],
    ) -> Result<Vec<Pass>> {
        // In turns, two batches at once would only keep each other waiting.
        let most = if executor.1 { 1 } else { drive::UNDER_WAY };
        match self.run_group(executor, group, orders, most, done).await {
            Err(e) if e.kind() == ErrorKind::OutOfMemory => {
                self.run_group(executor, group, orders, 1, done).await
            }
            ran => ran,
        }
    }

    /// Runs a group, `most` batches at once; the passes that overflowed f16 come back.
    async fn run_group(
        &self,
        (executor, in_turns): (&dyn Execute, bool),
        group: &Group,
        orders: &[Order<'_>],
        most: usize,
        done: &mut [Slot],
    ) -> Result<Vec<Pass>> {
        let (layout, spec) = (&self.model.layout, &self.model.spec);
        let parts: Vec<Part> = (0..group.passes.len())
            .flat_map(|pass| {
                let windows = group.passes[pass].windows.clone();
                let whole = windows.is_none().then_some((pass, None));
                whole.into_iter().chain(windows.into_iter().flatten().map(move |k| (pass, Some(k))))
            })
            .collect();
        let order = |part: usize| &orders[group.passes[parts[part].0].order];
        let sequence = |part: usize| -> Sequence<'_> {
            let Order { tokens, windows, .. } = *order(part);
            let window = windows.zip(parts[part].1);
            window.map_or_else(|| tokens.into(), |(all, k)| all.of.window(k).sequence(tokens))
        };
        let texts = group.exits.iter().map(|e| e.max_texts(layout, executor.caps().max_binding));
        let texts = texts.min().unwrap_or(usize::MAX);
        let tokens = self.batch_tokens_on(executor);
        let mut batches = pack_some(sequence, (0..parts.len()).collect(), tokens, texts);
        for batch in &mut batches {
            batch.hidden = batch.order.iter().map(|&part| order(part).hidden as u32).collect();
            for i in 0..batch.len() {
                if let Some(places) = order(batch.order[i]).positions {
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
            let recording = record_all(spec, layout, &batch, &group.exits, executor.caps())?;
            let found = match in_turns {
                true => executor.run_in_turns(&recording, &mut sink).await?,
                false => executor.run(&recording, &mut sink).await?,
            };
            Ok::<_, crate::Error>((batch, arrived, found))
        };
        let mut landed = futures::stream::iter(batches).map(run).buffered(most.max(1));
        let mut again = BTreeSet::new();
        while let Some(landed) = landed.next().await {
            let (batch, arrived, found) = landed.map_err(|e| self.name_model(e))?;
            let bad = found.as_ref().map_or_else(Vec::new, |f| batch.sequences_of(&f.rows));
            for i in 0..batch.len() {
                let (number, window) = parts[batch.order[i]];
                let slot = &mut done[group.passes[number].order];
                let order = order(batch.order[i]);
                let is_bad = bad.binary_search(&i).is_ok();
                if is_bad && executor.caps().elem == Elem::F32 {
                    if let Some(found) = found.clone() {
                        *slot = Err(self.name_model(found.into_error()));
                    }
                    continue;
                }
                let rows = batch.offsets[i] as usize..batch.offsets[i + 1] as usize;
                let text = OfBatch { place: (i, batch.order.len(), rows), arrived: &arrived };
                let result = match order.windows.zip(window) {
                    None if is_bad => Ok(Landed::Spoiled),
                    None => {
                        self.reduce(order, |wish| text.brought(wish, &group.exits, layout.width))
                    }
                    Some((windows, k)) => {
                        self.land(order, windows.of, k, (!is_bad).then_some(&text))
                    }
                };
                match result {
                    Ok(Landed::Waiting) => {}
                    Ok(Landed::Spoiled) => {
                        again.insert(number);
                    }
                    Ok(Landed::Whole(texts)) => *slot = Ok(texts.into_iter().map(Some).collect()),
                    Err(e) => *slot = Err(e),
                }
            }
        }
        let again = again.into_iter().map(|number| {
            let order = group.passes[number].order;
            // All of the text is run again, also windows that came by other calls.
            Pass { order, windows: orders[order].windows.map(|w| 0..w.of.len()) }
        });
        Ok(again.collect())
    }

    /// Takes window `k` of a text, which is left out where nothing has come of it; the results, where
    /// it was the last.
    fn land(
        &self,
        order: &Order<'_>,
        windows: &Windowed,
        k: usize,
        text: Option<&OfBatch<'_>>,
    ) -> Result<Landed> {
        let wishes = order.captures.iter().map(|capture| self.wish(order, capture));
        let wishes = wishes.collect::<Result<Vec<_>>>()?;
        let of = |wish: &Wish<'_>, kept: Range<usize>| {
            let of_text = |text: &OfBatch<'_>| {
                let start = text.place.2.start;
                let rows = start + kept.start..start + kept.end;
                collect::states(wish, &rows, self.model.layout.width, text.arrived)
            };
            text.map(of_text).transpose()
        };
        match windows.take(k, &wishes, of)? {
            Taken::Waiting => Ok(Landed::Waiting),
            Taken::Spoiled => Ok(Landed::Spoiled),
            Taken::Whole(all) => {
                let mut all = all.into_iter();
                self.reduce(order, |_| all.next().map(Brought::States).ok_or_else(collect::missing))
            }
        }
    }

    /// The results of a text.
    fn reduce(
        &self,
        order: &Order<'_>,
        mut brought: impl FnMut(&Wish<'_>) -> Result<Brought>,
    ) -> Result<Landed> {
        let ranges: Vec<Range<usize>> = order.words.iter().map(|w| w.tokens.clone()).collect();
        let one = |capture: &Capture| {
            let wish = self.wish(order, capture)?;
            let reduced = wish.finish(&brought(&wish)?, &ranges, order.skip)?;
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
        order.captures.iter().map(one).collect::<Result<_>>().map(Landed::Whole)
    }
}

/// What one text of a batch has become.
enum Landed {
    /// Windows of it are still to come.
    Waiting,
    /// It overflowed f16.
    Spoiled,
    /// A result a request.
    Whole(Vec<TextEmbedding>),
}

/// What a batch brought, and which of it is a text's: its number, the number of texts, its rows.
struct OfBatch<'a> {
    place: (usize, usize, Range<usize>),
    arrived: &'a Arrived,
}

impl OfBatch<'_> {
    fn brought(&self, wish: &Wish<'_>, exits: &[Exit], stride: usize) -> Result<Brought> {
        let exit = exits.iter().position(|exit| *exit == wish.exit);
        collect::brought(wish, exit, self.place.clone(), stride, self.arrived)
    }
}

/// The results of an order, `None` while windows of its text are to come.
fn whole(
    slots: Vec<Option<TextEmbedding>>,
    order: &Order<'_>,
) -> Result<Option<Vec<TextEmbedding>>> {
    if order.windows.is_some() && slots.iter().all(Option::is_none) {
        return Ok(None);
    }
    slots.into_iter().map(|slot| slot.ok_or_else(collect::missing)).collect::<Result<_>>().map(Some)
}

/// Puts a pass to those it can share batches with: those that leave the device alike, or as plain
/// states of the same depth, where bringing one state more costs a copy.
fn join(groups: &mut Vec<Group>, exits: Vec<Exit>, pass: Pass) {
    let alike = |group: &&mut Group| match (&group.exits[..], &exits[..]) {
        (one, other) if one == other => true,
        ([one], [other]) => one.is_plain() && other.is_plain() && one.deepest() == other.deepest(),
        _ => false,
    };
    match groups.iter_mut().find(alike) {
        Some(group) => {
            if group.exits != exits {
                let states = group.exits.iter().chain(&exits).flat_map(|exit| &exit.states);
                let states: BTreeSet<usize> = states.copied().collect();
                group.exits[0].states = states.into_iter().collect();
            }
            group.passes.push(pass);
        }
        None => groups.push(Group { exits, passes: vec![pass] }),
    }
}
