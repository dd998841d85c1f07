//! Tokens that others made, each text with requests of its own: what a server's batcher calls.
//!
//! A text with several requests runs through the model once. Which texts share a batch changes no
//! bit of a result: the way off the device follows from a text's own requests alone.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use futures::StreamExt;

use super::collect::{self, Arrived, Assembly};
use super::wish::{Brought, Wish};
use super::{Encoder, drive};
use crate::capture::{Capture, Pool};
use crate::embeddings::{TextEmbedding, Values};
use crate::error::{ErrorKind, Result, fail};
use crate::execute::Execute;
use crate::schedule::{Elem, Exit, PoolMode, record};
use crate::text::pack::{PackedBatch, Sequence, pack_some};
use crate::text::window::{Window, windows};
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
    /// Tokens of a window, and how many two windows share, where a longer text is run in windows.
    /// Its captures are then for [`Overflow::Window`](crate::Overflow::Window).
    pub window: Option<(usize, Option<usize>)>,
    /// The requests. Limit, overflow and prompt were the tokenizer's matter; precision is the
    /// caller's: the numbers come back in f32.
    pub captures: &'a [Capture],
}

/// What came of some orders.
#[derive(Debug)]
pub struct Served {
    /// In the order of the orders: a result a request, or what is wrong with the text.
    pub results: Vec<Result<Vec<TextEmbedding>>>,
    /// How many texts overflowed f16 and were run again in f32.
    pub rerun: usize,
}

/// A run of one text through the model, for some of its requests.
#[derive(Clone)]
struct Pass {
    order: usize,
    captures: Vec<usize>,
}

/// Passes that leave the device alike.
struct Group {
    exit: Exit,
    passes: Vec<Pass>,
}

/// The windows of an order's text: the same sequences twice, cut anywhere and cut between words.
#[derive(Default)]
struct Cuts {
    anywhere: Vec<Window>,
    words: Vec<Window>,
}

impl Cuts {
    fn of(order: &Order<'_>) -> Self {
        let Some((limit, stride)) = order.window else { return Self::default() };
        let cut = |whole_words| windows(order.tokens, limit, stride, whole_words);
        let has_words = order.captures.iter().any(|c| matches!(c.pool, Pool::Words(_)));
        Self { anywhere: cut(false), words: if has_words { cut(true) } else { Vec::new() } }
    }

    /// Window `k` as a request of this pooling takes rows from it.
    fn window(&self, k: usize, pool: &Pool) -> &Window {
        let is_words = matches!(pool, Pool::Words(_));
        if is_words { &self.words[k] } else { &self.anywhere[k] }
    }
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
        let cuts: Vec<Cuts> = orders.iter().map(Cuts::of).collect();
        let mut rerun = BTreeSet::new();
        for group in groups {
            let narrow = self.executor.as_ref();
            let again = self.run_fitting(narrow, &group, (orders, &cuts), &mut done).await?;
            if !again.is_empty() {
                rerun.extend(again.iter().map(|pass| pass.order));
                let group = Group { exit: group.exit, passes: again };
                let wide = self.wide().await?;
                self.run_fitting(wide.as_ref(), &group, (orders, &cuts), &mut done).await?;
            }
        }
        let all = |texts: Vec<Option<TextEmbedding>>| texts.into_iter().flatten().collect();
        let results = done.into_iter().map(|texts| texts.map(all)).collect();
        Ok(Served { results, rerun: rerun.len() })
    }

    /// Whether the model can do `capture` at all; what its result will say of itself is
    /// [`Encoder::header`]'s matter.
    fn passes(&self, order: &Order<'_>) -> Result<Vec<(Exit, Vec<usize>)>> {
        let (count, most) = (order.tokens.len(), self.model.spec.positions);
        if count == 0 {
            return Err(fail!(Text, "the text has no tokens"));
        }
        let room = order.window.map_or(most, |_| usize::MAX);
        if count > room {
            return Err(fail!(TooLong, "the text has {count} tokens, the model {most} positions"));
        }
        if order.window.is_some_and(|(limit, _)| limit > most)
            || (count > most && order.positions.is_some())
        {
            return Err(fail!(Usage, "a window does not fit the {most} positions of the model"));
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
        if order.hidden > 0 && order.window.is_some() {
            return Err(fail!(Usage, "a text with hidden tokens is not run in windows"));
        }
        if order.hidden >= count {
            return Err(fail!(
                Usage,
                "all {count} tokens of the text are hidden: one must be seen"
            ));
        }
        if let [capture] = order.captures {
            return Ok(vec![(self.wish(order, capture)?.exit, vec![0])]);
        }
        // One pass for all that the host can reduce; the pooler's product is the device's.
        let mut passes = Vec::new();
        let (mut states, mut streamed) = (BTreeSet::new(), Vec::new());
        for (i, capture) in order.captures.iter().enumerate() {
            let wish = self.wish(order, capture)?;
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

    /// [`Encoder::run_group`], one batch at a time where there is no memory for two.
    async fn run_fitting(
        &self,
        executor: &dyn Execute,
        group: &Group,
        orders: (&[Order<'_>], &[Cuts]),
        done: &mut [Result<Vec<Option<TextEmbedding>>>],
    ) -> Result<Vec<Pass>> {
        match self.run_group(executor, group, orders, drive::UNDER_WAY, done).await {
            Err(e) if e.kind() == ErrorKind::OutOfMemory => {
                self.run_group(executor, group, orders, 1, done).await
            }
            ran => ran,
        }
    }

    /// Runs a group, `most` batches at once; the passes that overflowed f16 come back.
    async fn run_group(
        &self,
        executor: &dyn Execute,
        group: &Group,
        (orders, cuts): (&[Order<'_>], &[Cuts]),
        most: usize,
        done: &mut [Result<Vec<Option<TextEmbedding>>>],
    ) -> Result<Vec<Pass>> {
        let (layout, spec) = (&self.model.layout, &self.model.spec);
        let parts: Vec<Part> = (0..group.passes.len())
            .flat_map(|pass| {
                let windows = cuts[group.passes[pass].order].anywhere.len();
                let whole = (windows == 0).then_some((pass, None));
                whole.into_iter().chain((0..windows).map(move |k| (pass, Some(k))))
            })
            .collect();
        let sequence = |part: usize| -> Sequence<'_> {
            let (pass, window) = parts[part];
            let order = group.passes[pass].order;
            let tokens = orders[order].tokens;
            window.map_or_else(|| tokens.into(), |k| cuts[order].anywhere[k].sequence(tokens))
        };
        let texts = group.exit.max_texts(layout, executor.caps().max_binding);
        let mut batches = pack_some(sequence, (0..parts.len()).collect(), self.batch_tokens, texts);
        for batch in &mut batches {
            let hidden = |&i: &usize| orders[group.passes[parts[i].0].order].hidden as u32;
            batch.hidden = batch.order.iter().map(hidden).collect();
            for i in 0..batch.len() {
                if let Some(places) = orders[group.passes[parts[batch.order[i]].0].order].positions
                {
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
        let mut landed = futures::stream::iter(batches).map(run).buffered(most.max(1));
        let mut again = BTreeSet::new();
        // Of passes in windows, an assembly a request.
        let mut assemblies: HashMap<usize, Vec<Assembly>> = HashMap::new();
        while let Some(landed) = landed.next().await {
            let (batch, arrived, found) = landed.map_err(|e| self.name_model(e))?;
            let bad = found.as_ref().map_or_else(Vec::new, |f| batch.sequences_of(&f.rows));
            for i in 0..batch.len() {
                let (number, window) = parts[batch.order[i]];
                let pass = &group.passes[number];
                let order = &orders[pass.order];
                let is_bad = bad.binary_search(&i).is_ok();
                if is_bad && executor.caps().elem == Elem::F32 {
                    let said = found.clone().map(|f| self.name_model(f.into_error()));
                    if let Some(said) = said {
                        done[pass.order] = Err(said);
                    }
                } else if is_bad {
                    again.insert(number);
                }
                let place = |rows| (i, batch.order.len(), rows);
                let rows = batch.offsets[i] as usize..batch.offsets[i + 1] as usize;
                let result = match window {
                    None if is_bad => continue,
                    None => self.reduce(order, pass, |wish| {
                        Some(collect::brought(wish, place(rows.clone()), layout.width, &arrived))
                    }),
                    Some(k) => {
                        let cuts = &cuts[pass.order];
                        let all = match assemblies.entry(number) {
                            Entry::Occupied(all) => all.into_mut(),
                            Entry::Vacant(none) => {
                                none.insert(self.assemblies(order, pass, cuts.anywhere.len())?)
                            }
                        };
                        for (assembly, &capture) in all.iter_mut().zip(&pass.captures) {
                            let capture = &order.captures[capture];
                            let window = cuts.window(k, &capture.pool);
                            let kept = window.kept();
                            let rows = rows.start + kept.start..rows.start + kept.end;
                            let wish = self.wish(order, capture)?;
                            let states = || collect::states(&wish, &rows, layout.width, &arrived);
                            assembly.take(&window.keep, (!is_bad).then(states));
                        }
                        if !all.iter().all(Assembly::is_whole) {
                            continue;
                        }
                        let Some(all) = assemblies.remove(&number) else { continue };
                        let mut all = all.into_iter();
                        let whole = |_: &Wish<'_>| all.next()?.finish().map(Brought::States);
                        self.reduce(order, pass, whole)
                    }
                };
                match (result, &mut done[pass.order]) {
                    (Ok(texts), Ok(slots)) => {
                        pass.captures.iter().zip(texts).for_each(|(&c, text)| slots[c] = text);
                    }
                    (Err(e), slot) => *slot = Err(e),
                    (Ok(_), Err(_)) => {}
                }
            }
        }
        Ok(again.into_iter().map(|number| group.passes[number].clone()).collect())
    }

    fn wish<'w>(&'w self, order: &Order<'_>, capture: &'w Capture) -> Result<Wish<'w>> {
        let mut wish = Wish::new(capture, &self.model.spec, self.intake.pipeline(), order.skip)?;
        if let Some(pool) = &mut wish.exit.pool
            && pool.pooler
            && order.hidden > 0
        {
            pool.reduces = vec![PoolMode::Last];
        }
        Ok(wish)
    }

    fn assemblies(&self, order: &Order<'_>, pass: &Pass, windows: usize) -> Result<Vec<Assembly>> {
        let one = |&capture: &usize| {
            let wish = self.wish(order, &order.captures[capture])?;
            Ok(Assembly::new(&wish, windows, order.tokens.len()))
        };
        pass.captures.iter().map(one).collect()
    }

    /// The results of a pass; none where `brought` has nothing.
    fn reduce(
        &self,
        order: &Order<'_>,
        pass: &Pass,
        mut brought: impl FnMut(&Wish<'_>) -> Option<Brought>,
    ) -> Result<Vec<Option<TextEmbedding>>> {
        let ranges: Vec<Range<usize>> = order.words.iter().map(|w| w.tokens.clone()).collect();
        let one = |&capture: &usize| {
            let capture = &order.captures[capture];
            let wish = self.wish(order, capture)?;
            let Some(brought) = brought(&wish) else { return Ok(None) };
            let reduced = wish.finish(&brought, &ranges, order.skip)?;
            Ok(Some(TextEmbedding {
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
            }))
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
