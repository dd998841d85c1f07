//! The one engine: batches through an executor, and what comes back to the results of their texts.
//!
//! Two batches are under way at once, tokens of later texts are made meanwhile, and results are taken
//! as they come. Where the batches come from is a [`Stream`]'s matter.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::task::Poll;

use futures::StreamExt;
use futures::stream::FuturesOrdered;

use super::Encoder;
use super::jobs::Job;
use super::readout::{self, Arrived, Brought, OfBatch};
use super::resolve::Resolved;
use super::windowed::Taken;
use crate::capture::Pool;
use crate::embeddings::{TextEmbedding, Values};
use crate::error::{ErrorKind, Result};
use crate::execute::{Execute, NotFinite, Task};
use crate::schedule::{Elem, Exit};
use crate::text::pack::{PackedBatch, Sequence, pack_some};

/// Batches under way: the device works on one while the results of the other come back.
const UNDER_WAY: usize = 2;

/// One sequence of a batch: a text, or one of its windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The number of its job.
    pub job: usize,
    /// The window, where the text is run in some.
    pub window: Option<usize>,
}

/// How large a batch may be.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Its tokens.
    pub tokens: usize,
    /// Its sequences.
    pub texts: usize,
}

/// A batch with what its sequences are, and what it brings to the host.
pub struct Batch {
    packed: PackedBatch,
    parts: Vec<Part>,
    exits: Arc<[Exit]>,
}

/// Where batches come from, and what they are of.
pub trait Stream: Send {
    /// Whether every sequence has had its batch.
    fn is_done(&self) -> bool;

    /// Some more batches for an executor; none where the next texts do not fill one yet.
    ///
    /// # Errors
    ///
    /// `Text` or `TooLong` for a text, naming it.
    fn more(&mut self, executor: &dyn Execute) -> Result<Vec<Batch>>;

    /// A job that some batch had a part of.
    fn job(&self, number: usize) -> Job<'_>;

    /// Its captures, held against the model.
    fn resolved(&self, number: usize) -> &[Resolved<'_>];
}

/// Takes what came of a job, one result a capture.
pub type Land<'l> = &'l mut (dyn FnMut(usize, Result<Vec<TextEmbedding>>) -> Result<()> + Send);

/// Jobs that overflowed f16, in order, and the lowest state that did.
#[derive(Debug, Default)]
pub struct Overflowed {
    pub jobs: BTreeSet<usize>,
    pub state: Option<usize>,
}

/// A batch that was run: what arrived, and the rows that are not finite.
struct Landed {
    batch: Batch,
    outcome: Result<(Arrived, Option<NotFinite>)>,
}

/// What one job has become with a part more.
enum Became {
    /// Windows of it are still to come.
    Waiting,
    /// It overflowed f16.
    Overflowed,
    /// A result a capture.
    Whole(Vec<TextEmbedding>),
}

impl Batch {
    /// `parts` in batches that fit `room` and bring `exits`. Parts are taken longest first.
    pub fn pack<'j>(
        job: impl Fn(usize) -> Job<'j>,
        parts: &[Part],
        exits: &Arc<[Exit]>,
        room: Room,
    ) -> Vec<Self> {
        let sequence = |part: usize| -> Sequence<'j> {
            let Part { job: number, window } = parts[part];
            let Job { text, windows, .. } = job(number);
            let window = windows.zip(window);
            let whole = || (&text.tokens).into();
            window.map_or_else(whole, |(all, k)| all.of.window(k).sequence(&text.tokens))
        };
        let order = (0..parts.len()).collect();
        let batch = |mut packed: PackedBatch| {
            let parts: Vec<Part> = packed.order.iter().map(|&part| parts[part]).collect();
            let text = |part: &Part| job(part.job).text;
            if parts.iter().any(|part| text(part).hidden > 0) {
                packed.hidden = parts.iter().map(|part| text(part).hidden as u32).collect();
            }
            for (i, part) in parts.iter().enumerate() {
                if let Some(places) = &text(part).positions {
                    let rows = packed.offsets[i] as usize..packed.offsets[i + 1] as usize;
                    packed.positions[rows].copy_from_slice(places);
                }
            }
            Self { packed, parts, exits: Arc::clone(exits) }
        };
        pack_some(sequence, order, room.tokens, room.texts).into_iter().map(batch).collect()
    }

    /// As it is laid out.
    pub fn packed(&self) -> &PackedBatch {
        &self.packed
    }

    /// What its sequences are.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// What it brings.
    pub fn exits(&self) -> &[Exit] {
        &self.exits
    }

    /// The rows of sequence `i`.
    fn rows(&self, i: usize) -> Range<usize> {
        self.packed.offsets[i] as usize..self.packed.offsets[i + 1] as usize
    }
}

impl Encoder {
    /// Runs what `stream` gives on `executor` and hands the result of each job to `land`. Those that
    /// overflow f16 are left out and given back. `in_turns`: see [`Execute::run_in_turns`].
    ///
    /// # Errors
    ///
    /// Those of the stream, of the device, and of `land`. One batch at a time is run where the device
    /// has no memory for two.
    pub(super) async fn run(
        &self,
        (executor, in_turns): (&dyn Execute, bool),
        stream: &mut impl Stream,
        land: Land<'_>,
    ) -> Result<Overflowed> {
        // In turns, two batches at once would only keep each other waiting.
        let mut most = if in_turns { 1 } else { UNDER_WAY };
        let mut overflowed = Overflowed::default();
        let (mut queue, mut under_way) = (VecDeque::new(), FuturesOrdered::new());
        loop {
            while under_way.len() < most
                && let Some(batch) = queue.pop_front()
            {
                under_way.push_back(self.run_batch(executor, in_turns, batch));
            }
            let landed = if queue.len() < most && !stream.is_done() {
                // Polled once, the batches are submitted: the device works while tokens are made.
                let landed = futures::poll!(under_way.next());
                queue.extend(stream.more(executor)?);
                let Poll::Ready(Some(landed)) = landed else { continue };
                landed
            } else {
                let Some(landed) = under_way.next().await else { break };
                landed
            };
            let Landed { batch, outcome } = landed;
            match outcome {
                // Alone it may fit.
                Err(e) if e.kind() == ErrorKind::OutOfMemory && most > 1 => {
                    most = 1;
                    queue.push_front(batch);
                }
                outcome => {
                    let (arrived, found) = outcome?;
                    let is_last = executor.caps().elem == Elem::F32;
                    self.land(
                        stream,
                        &batch,
                        (&arrived, found, is_last),
                        &mut *land,
                        &mut overflowed,
                    )?;
                }
            }
        }
        Ok(overflowed)
    }

    fn run_batch<'a>(
        &'a self,
        executor: &'a dyn Execute,
        in_turns: bool,
        batch: Batch,
    ) -> Task<'a, Landed> {
        Box::pin(async move {
            let mut arrived = Arrived::new();
            let mut sink = |output, numbers| {
                arrived.push((output, numbers));
                Ok(())
            };
            let found = match self.write(executor, batch.exits(), batch.packed()) {
                Ok(recording) if in_turns => executor.run_in_turns(&recording, &mut sink).await,
                Ok(recording) => executor.run(&recording, &mut sink).await,
                Err(e) => Err(e),
            };
            let outcome = found.map(|found| (arrived, found)).map_err(|e| self.name_model(e));
            Landed { batch, outcome }
        })
    }

    /// Takes what a batch brought, and which of its rows are not finite: an error of their job where
    /// there is no wider type to run it again in.
    fn land(
        &self,
        stream: &impl Stream,
        batch: &Batch,
        (arrived, found, is_last): (&Arrived, Option<NotFinite>, bool),
        land: Land<'_>,
        overflowed: &mut Overflowed,
    ) -> Result<()> {
        let bad = found.as_ref().map_or_else(Vec::new, |f| batch.packed.sequences_of(&f.rows));
        for (i, part) in batch.parts.iter().enumerate() {
            let found = found.as_ref().filter(|_| bad.binary_search(&i).is_ok());
            if let Some(found) = found.filter(|_| is_last) {
                land(part.job, Err(self.name_model(found.clone().into_error())))?;
                continue;
            }
            if let Some(found) = found {
                let lowest = overflowed.state.map_or(found.state, |s| s.min(found.state));
                overflowed.state = Some(lowest);
            }
            let place = (i, batch.parts.len(), batch.rows(i));
            let text = OfBatch { place, arrived, stride: self.model.layout.width };
            let text = found.is_none().then_some(&text);
            let (job, resolved) = (stream.job(part.job), stream.resolved(part.job));
            let became = match job.windows.zip(part.window) {
                None => match text {
                    None => Ok(Became::Overflowed),
                    Some(text) => results(&job, resolved, |r| text.brought(r, batch.exits())),
                },
                Some((windows, k)) => {
                    let of = |r: &Resolved<'_>, kept: Range<usize>| {
                        text.map(|text| text.states(r, &kept)).transpose()
                    };
                    match windows.of.take(k, resolved, of) {
                        Ok(Taken::Waiting) => Ok(Became::Waiting),
                        Ok(Taken::Overflowed) => Ok(Became::Overflowed),
                        Ok(Taken::Whole(all)) => {
                            let mut all = all.into_iter();
                            let states = |_: &Resolved<'_>| {
                                all.next().map(Brought::States).ok_or_else(readout::missing)
                            };
                            results(&job, resolved, states)
                        }
                        Err(e) => Err(e),
                    }
                }
            };
            match became {
                Ok(Became::Waiting) => {}
                Ok(Became::Overflowed) => {
                    overflowed.jobs.insert(part.job);
                }
                Ok(Became::Whole(texts)) => land(part.job, Ok(texts))?,
                Err(e) => land(part.job, Err(e))?,
            }
        }
        Ok(())
    }
}

/// The results of a job, of what was brought for each of its captures.
fn results(
    job: &Job<'_>,
    resolved: &[Resolved<'_>],
    mut brought: impl FnMut(&Resolved<'_>) -> Result<Brought>,
) -> Result<Became> {
    let text = job.text;
    let words: Vec<Range<usize>> = text.words.iter().map(|w| w.tokens.clone()).collect();
    let one = |resolved: &Resolved<'_>| {
        let reduced = resolved.finish(&brought(resolved)?, &words, text.skip)?;
        let pool = resolved.capture().pool;
        Ok(TextEmbedding {
            index: 0,
            text_tokens: text.tokens.len(),
            lost: text.tokens.lost,
            rows: reduced.rows,
            values: Values::F32(reduced.values),
            tokens: match pool {
                Pool::Tokens => readout::token_infos(&text.tokens),
                _ => Vec::new(),
            },
            words: match pool {
                Pool::Words(_) => text.words.iter().cloned().map(readout::word_info).collect(),
                _ => Vec::new(),
            },
        })
    };
    resolved.iter().map(one).collect::<Result<_>>().map(Became::Whole)
}
