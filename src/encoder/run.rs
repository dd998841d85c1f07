//! The one engine: batches through an executor, and what comes back to the results of their texts.
//!
//! Two batches are under way at once, tokens of later texts are made meanwhile, and results are taken
//! as they come. Where the batches come from is a [`JobStream`]'s matter.

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
pub struct SequenceId {
    /// The number of its job.
    pub job: usize,
    /// The window, where the text is run in some.
    pub window: Option<usize>,
}

/// How large a batch may be.
#[derive(Debug, Clone, Copy)]
pub struct BatchLimits {
    /// Its tokens.
    pub tokens: usize,
    /// Its sequences.
    pub texts: usize,
}

/// A batch with what its sequences are, and what it brings to the host.
pub struct Batch {
    packed: PackedBatch,
    sequences: Vec<SequenceId>,
    exits: Arc<[Exit]>,
    /// Whether it found no memory beside another.
    is_retry: bool,
}

/// Where batches come from, and what they are of.
pub trait JobStream: Send {
    /// Whether every sequence has had its batch.
    fn is_done(&self) -> bool;

    /// Some more batches for an executor; none where the next texts do not fill one yet.
    ///
    /// # Errors
    ///
    /// `Text` or `TooLong` for a text, naming it.
    fn more(&mut self, executor: &dyn Execute) -> Result<Vec<Batch>>;

    /// A job that some batch had a sequence of.
    fn job(&self, number: usize) -> Job<'_>;

    /// Its captures, held against the model.
    fn resolved(&self, number: usize) -> &[Resolved<'_>];
}

/// Takes what came of a job, one result a capture.
pub type OnResults<'l> =
    &'l mut (dyn FnMut(usize, Result<Vec<TextEmbedding>>) -> Result<()> + Send);

/// Jobs that overflowed f16, in order, and the lowest state that did.
#[derive(Debug, Default)]
pub struct Overflowed {
    pub jobs: BTreeSet<usize>,
    pub state: Option<usize>,
}

/// A batch that was run: what arrived, and the rows that are not finite.
struct Finished {
    batch: Batch,
    outcome: Result<(Arrived, Option<NotFinite>)>,
}

/// What one job has come to with one more sequence.
enum Progress {
    /// Windows of it are still to come.
    Waiting,
    /// It overflowed f16.
    Overflowed,
    /// One result a capture.
    Whole(Vec<TextEmbedding>),
}

impl Batch {
    /// The sequences `ids`, longest first, in batches within `limits` that bring `exits`.
    pub fn pack<'j>(
        job: impl Fn(usize) -> Job<'j>,
        ids: &[SequenceId],
        exits: &Arc<[Exit]>,
        limits: BatchLimits,
    ) -> Vec<Self> {
        let sequence = |number: usize| -> Sequence<'j> {
            let SequenceId { job: of, window } = ids[number];
            let Job { text, windows, .. } = job(of);
            let window = windows.zip(window);
            let whole = || (&text.tokens).into();
            window.map_or_else(whole, |(all, k)| all.of.window(k).sequence(&text.tokens))
        };
        let order = (0..ids.len()).collect();
        let batch = |mut packed: PackedBatch| {
            let sequences: Vec<SequenceId> =
                packed.order.iter().map(|&number| ids[number]).collect();
            let text = |id: &SequenceId| job(id.job).text;
            if sequences.iter().any(|id| text(id).hidden > 0) {
                packed.hidden = sequences.iter().map(|id| text(id).hidden as u32).collect();
            }
            for (i, id) in sequences.iter().enumerate() {
                if let Some(places) = &text(id).positions {
                    let rows = packed.offsets[i] as usize..packed.offsets[i + 1] as usize;
                    packed.positions[rows].copy_from_slice(places);
                }
            }
            Self { packed, sequences, exits: Arc::clone(exits), is_retry: false }
        };
        pack_some(sequence, order, limits.tokens, limits.texts).into_iter().map(batch).collect()
    }

    /// As it is laid out.
    pub fn packed(&self) -> &PackedBatch {
        &self.packed
    }

    /// What its sequences are.
    pub fn sequences(&self) -> &[SequenceId] {
        &self.sequences
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
    /// Runs what `stream` gives on `executor` and hands the results of each job to `on_results`. Jobs
    /// that overflow f16 are left out and returned. `in_turns`: see [`Execute::run_in_turns`].
    ///
    /// # Errors
    ///
    /// Those of the stream, of the device, and of `on_results`. Where the device has no memory for two
    /// batches, one is run at a time.
    pub(super) async fn run(
        &self,
        (executor, in_turns): (&dyn Execute, bool),
        stream: &mut impl JobStream,
        on_results: OnResults<'_>,
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
            let finished = if queue.len() < most && !stream.is_done() {
                // Polled once, the batches are submitted: the device works while tokens are made.
                let finished = futures::poll!(under_way.next());
                queue.extend(stream.more(executor)?);
                let Poll::Ready(Some(finished)) = finished else { continue };
                finished
            } else {
                let Some(finished) = under_way.next().await else { break };
                finished
            };
            let Finished { batch, outcome } = finished;
            match outcome {
                // Alone it may fit.
                Err(e) if e.kind() == ErrorKind::OutOfMemory && !batch.is_retry => {
                    most = 1;
                    queue.push_front(Batch { is_retry: true, ..batch });
                }
                outcome => {
                    let (arrived, found) = outcome?;
                    let is_last = executor.caps().elem == Elem::F32;
                    self.take(
                        stream,
                        &batch,
                        (&arrived, found, is_last),
                        &mut *on_results,
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
    ) -> Task<'a, Finished> {
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
            Finished { batch, outcome }
        })
    }

    /// Takes what a batch brought, and which of its rows are not finite: an error of their job where
    /// there is no wider type to run it again in.
    fn take(
        &self,
        stream: &impl JobStream,
        batch: &Batch,
        (arrived, found, is_last): (&Arrived, Option<NotFinite>, bool),
        on_results: OnResults<'_>,
        overflowed: &mut Overflowed,
    ) -> Result<()> {
        let bad = found.as_ref().map_or_else(Vec::new, |f| batch.packed.sequences_of(&f.rows));
        for (i, id) in batch.sequences.iter().enumerate() {
            let found = found.as_ref().filter(|_| bad.binary_search(&i).is_ok());
            if let Some(found) = found.filter(|_| is_last) {
                on_results(id.job, Err(self.name_model(found.clone().into_error())))?;
                continue;
            }
            if let Some(found) = found {
                let lowest = overflowed.state.map_or(found.state, |s| s.min(found.state));
                overflowed.state = Some(lowest);
            }
            let place = (i, batch.sequences.len(), batch.rows(i));
            let text = OfBatch { place, arrived };
            let text = found.is_none().then_some(&text);
            let (job, resolved) = (stream.job(id.job), stream.resolved(id.job));
            let progress = match job.windows.zip(id.window) {
                None => match text {
                    None => Ok(Progress::Overflowed),
                    Some(text) => results(&job, resolved, |r| text.brought(r, batch.exits())),
                },
                Some((windows, k)) => {
                    let of = |r: &Resolved<'_>, kept: Range<usize>| {
                        text.map(|text| text.states(&r.epilogue, &kept)).transpose()
                    };
                    match windows.of.take(k, resolved, of) {
                        Ok(Taken::Waiting) => Ok(Progress::Waiting),
                        Ok(Taken::Overflowed) => Ok(Progress::Overflowed),
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
            match progress {
                Ok(Progress::Waiting) => {}
                Ok(Progress::Overflowed) => {
                    overflowed.jobs.insert(id.job);
                }
                Ok(Progress::Whole(texts)) => on_results(id.job, Ok(texts))?,
                Err(e) => on_results(id.job, Err(e))?,
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
) -> Result<Progress> {
    let text = job.text;
    let words: Vec<Range<usize>> = text.words.iter().map(|w| w.tokens.clone()).collect();
    let one = |resolved: &Resolved<'_>| {
        let reduced = resolved.epilogue.finish(&brought(resolved)?, &words, text.skip)?;
        let pool = resolved.epilogue.capture().pool;
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
    resolved.iter().map(one).collect::<Result<_>>().map(Progress::Whole)
}
