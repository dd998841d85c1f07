//! Texts that have their tokens, each with captures of its own: what a server's batcher calls.
//!
//! A text with several captures runs through the model once. Which texts share a batch changes no
//! bit of a result, nor do the other captures of its text: what the device does for a capture follows
//! from it alone.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Encoder;
use super::readout;
use super::resolve::Resolved;
use super::run::{Batch, JobStream, SequenceId};
use super::windowed::WindowRange;
use crate::capture::{Capture, PoolMode};
use crate::embeddings::TextEmbedding;
use crate::error::Result;
use crate::execute::{Execute, Task};
use crate::schedule::Exit;
use crate::text::{Tokens, Word};

/// A text as the model takes it.
#[derive(Debug, Clone, Default)]
pub struct PreparedText {
    /// Its tokens: at most as many as the model has positions, unless it is run in windows.
    pub tokens: Tokens,
    /// Place of each token where it is not its number: (tokens), below the model's positions.
    pub positions: Option<Vec<u32>>,
    /// Its words, where some capture is for words.
    pub words: Vec<Word>,
    /// Tokens at its start that are not pooled.
    pub skip: usize,
    /// Tokens at its end that attend to the others and are not attended to. They are pooled as all
    /// others are; the pooler reads the last of them.
    pub hidden: usize,
}

/// What is asked of one text.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// The text.
    pub text: &'a PreparedText,
    /// Those of its windows that are run now, where the text is run in some. Its captures are then
    /// for [`Overflow::Window`](crate::Overflow::Window).
    pub windows: Option<WindowRange<'a>>,
    /// What is wanted of it. Limit, overflow and prompt were the tokenizer's matter; precision is the
    /// caller's: the numbers come back in f32.
    pub captures: &'a [Capture],
}

/// What came of some jobs.
#[derive(Debug)]
pub struct JobResults {
    /// In the order of the jobs: a result a capture, `None` while windows of the text are still to be
    /// run, or what is wrong with the text.
    pub results: Vec<Result<Option<Vec<TextEmbedding>>>>,
    /// How many texts overflowed f16 and were run again in f32.
    pub rerun: usize,
}

/// What has come of a job.
type Slot = Result<Option<Vec<TextEmbedding>>>;

/// Sequences whose batches bring the same.
struct Group {
    exits: Arc<[Exit]>,
    sequences: Vec<SequenceId>,
}

/// Jobs on their way to batches, in groups that share batches, one after the other.
struct Grouped<'a> {
    encoder: &'a Encoder,
    jobs: &'a [Job<'a>],
    /// The captures of each; none where it was refused.
    resolved: Vec<Vec<Resolved<'a>>>,
    groups: Vec<Group>,
}

impl JobStream for Grouped<'_> {
    fn is_done(&self) -> bool {
        self.groups.is_empty()
    }

    fn more(&mut self, executor: &dyn Execute) -> Result<Vec<Batch>> {
        let Some(Group { exits, sequences }) = self.groups.pop() else { return Ok(Vec::new()) };
        let limits = self.encoder.limits(executor, &exits);
        Ok(Batch::pack(|job| self.jobs[job], &sequences, &exits, limits))
    }

    fn job(&self, number: usize) -> Job<'_> {
        self.jobs[number]
    }

    fn resolved(&self, number: usize) -> &[Resolved<'_>] {
        &self.resolved[number]
    }
}

impl<'a> Grouped<'a> {
    /// No job has its batch.
    fn new(encoder: &'a Encoder, jobs: &'a [Job<'a>]) -> (Self, Vec<Slot>) {
        let mut stream = Self { encoder, jobs, resolved: Vec::new(), groups: Vec::new() };
        let mut slots = Vec::with_capacity(jobs.len());
        for (i, job) in jobs.iter().enumerate() {
            let resolved = encoder.check(job).and_then(|()| encoder.resolved(job));
            let (resolved, slot) = match resolved {
                Ok(resolved) => (resolved, Ok(None)),
                Err(e) => (Vec::new(), Err(e)),
            };
            stream.resolved.push(resolved);
            if slot.is_ok() {
                let windows = job.windows.map(|w| w.first..w.first + w.count);
                let whole = windows.is_none().then_some(SequenceId { job: i, window: None });
                let windows = windows.into_iter().flatten();
                let parts = windows.map(|k| SequenceId { job: i, window: Some(k) }).chain(whole);
                stream.join(&exits(&stream.resolved[i]), parts);
            }
            slots.push(slot);
        }
        stream.groups.reverse();
        (stream, slots)
    }

    /// Puts sequences to those they can share batches with: those that bring the same, or plain states of
    /// the same depth, where bringing one state more costs a copy.
    fn join(&mut self, exits: &[Exit], sequences: impl Iterator<Item = SequenceId>) {
        let alike = |group: &&mut Group| match (&group.exits[..], exits) {
            (one, other) if one == other => true,
            ([one], [other]) => {
                let alike = one.is_plain() && other.is_plain() && is_of_one_place(one, other);
                alike && one.deepest() == other.deepest()
            }
            _ => false,
        };
        match self.groups.iter_mut().find(alike) {
            Some(group) => {
                if *group.exits != *exits {
                    let states = group.exits.iter().chain(exits).flat_map(|exit| &exit.states);
                    let states: BTreeSet<usize> = states.copied().collect();
                    group.exits =
                        [Exit { states: states.into_iter().collect(), ..exits[0].clone() }].into();
                }
                group.sequences.extend(sequences);
            }
            None => self.groups.push(Group { exits: exits.into(), sequences: sequences.collect() }),
        }
    }

    /// Sends `jobs`, which had their batches already, on their way once more, with all of their
    /// windows, also those that came by other calls.
    fn again(&mut self, jobs: impl Iterator<Item = usize>) {
        for i in jobs {
            let parts: Vec<SequenceId> = match self.jobs[i].windows {
                None => vec![SequenceId { job: i, window: None }],
                Some(w) => {
                    (0..w.of.len()).map(|k| SequenceId { job: i, window: Some(k) }).collect()
                }
            };
            self.join(&exits(&self.resolved[i]), parts.into_iter());
        }
    }
}

/// What a batch has to bring for all of `resolved`: plain states of one place are one exit, the last.
fn exits(resolved: &[Resolved<'_>]) -> Vec<Exit> {
    let (mut exits, mut plain): (Vec<Exit>, Vec<Exit>) = (Vec::new(), Vec::new());
    for Resolved { exit, .. } in resolved {
        if exit.is_plain() {
            match plain.iter_mut().find(|other| is_of_one_place(exit, other)) {
                Some(other) => other.states.extend(&exit.states),
                None => plain.push(exit.clone()),
            }
        } else if !exits.contains(exit) {
            exits.push(exit.clone());
        }
    }
    for exit in &mut plain {
        exit.states.sort_unstable();
        exit.states.dedup();
    }
    exits.extend(plain);
    exits
}

/// Whether states of both are taken at one place.
fn is_of_one_place(one: &Exit, other: &Exit) -> bool {
    (one.site, one.final_norm) == (other.site, other.final_norm)
}

impl Encoder {
    /// The results of each job, one a capture; an error of one text leaves the others alone.
    ///
    /// # Errors
    ///
    /// `Usage` where a capture does not fit the model, `Text` for a text without tokens, both said
    /// of the text alone; for all texts `Gpu`, `DeviceLost`, `OutOfMemory` from a device.
    pub async fn embed_jobs(&self, jobs: &[Job<'_>]) -> Result<JobResults> {
        self.run_jobs(jobs, false).await
    }

    /// [`Encoder::embed_jobs`] as a future that is often pending on the CPU, some milliseconds of
    /// work at a time, so that its caller can do something else between two polls.
    ///
    /// # Errors
    ///
    /// As [`Encoder::embed_jobs`].
    pub async fn embed_jobs_in_turns(&self, jobs: &[Job<'_>]) -> Result<JobResults> {
        self.run_jobs(jobs, true).await
    }

    /// Boxed, as a text that overflows may be run once more.
    fn run_jobs<'a>(&'a self, jobs: &'a [Job<'a>], in_turns: bool) -> Task<'a, Result<JobResults>> {
        Box::pin(async move {
            let (mut stream, mut slots) = Grouped::new(self, jobs);
            let mut on_results = |job: usize, result: Result<Vec<TextEmbedding>>| {
                slots[job] = result.map(Some);
                Ok(())
            };
            let executor = (self.executor.as_ref(), in_turns);
            let again = self.run(executor, &mut stream, &mut on_results).await?.jobs;
            let is_alike = |job: &usize| is_of_one_depth(&stream.resolved[*job]);
            let (alike, apart): (Vec<_>, Vec<_>) = again.iter().copied().partition(is_alike);
            if !alike.is_empty() {
                let wide = self.wide().await?;
                stream.again(alike.into_iter());
                self.run((wide.as_ref(), in_turns), &mut stream, &mut on_results).await?;
            }
            for job in apart {
                slots[job] = self.each_alone(&jobs[job], in_turns).await?;
            }
            let whole = |(slot, job): (Slot, &Job<'_>)| match slot? {
                None if job.windows.is_none() => Err(readout::missing()),
                slot => Ok(slot),
            };
            let results = slots.into_iter().zip(jobs).map(whole).collect();
            Ok(JobResults { results, rerun: again.len() })
        })
    }

    /// The results of a text that overflowed f16, a run each: one that does not need the state that
    /// overflowed has the bits of f16, as it has alone.
    async fn each_alone(&self, job: &Job<'_>, in_turns: bool) -> Result<Slot> {
        let windows = job.windows.map(|w| WindowRange { of: w.of, first: 0, count: w.of.len() });
        let mut results = Vec::new();
        for capture in job.captures {
            let one = [Job { captures: std::slice::from_ref(capture), windows, ..*job }];
            match self.run_jobs(&one, in_turns).await?.results.pop() {
                Some(Ok(Some(texts))) => results.extend(texts),
                Some(Err(e)) => return Ok(Err(e)),
                Some(Ok(None)) | None => return Ok(Err(readout::missing())),
            }
        }
        Ok(Ok(Some(results)))
    }

    /// The captures of a job, held against the model.
    fn resolved<'a>(&'a self, job: &Job<'a>) -> Result<Vec<Resolved<'a>>> {
        let one = |capture: &'a Capture| {
            let (spec, pipeline) = (&self.model.spec, self.preprocessor.pipeline());
            let mut resolved = Resolved::new(capture, spec, pipeline, job.text.skip)?;
            if let Some(pool) = &mut resolved.exit.pool
                && pool.pooler
                && job.text.hidden > 0
            {
                pool.reduces = vec![PoolMode::Last];
            }
            Ok(resolved)
        };
        job.captures.iter().map(one).collect()
    }
}

/// Whether each capture of a text needs the same states computed.
fn is_of_one_depth(resolved: &[Resolved<'_>]) -> bool {
    let mut depths = resolved.iter().map(|r| r.exit.deepest());
    let first = depths.next();
    depths.all(|depth| Some(depth) == first)
}
