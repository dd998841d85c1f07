//! `everylayer embed`: texts in chunks through the encoder, results out as they come.

mod assemble;
mod checks;
mod cluster;
mod fault;
mod fingerprint;
mod finished;
mod flow;
#[cfg(test)]
mod fuzz;
mod interrupt;
mod job;
mod log;
mod own;
mod recorded;
mod rejects;
mod result_log;
mod resume_dir;
mod tally;

use std::io::{Cursor, IsTerminal};
use std::ops::Range;
use std::time::Instant;

use everylayer::capture::Precision;
use everylayer::embeddings::Header;
use everylayer::model::locate::locate_with_progress;
use everylayer::output::{self, AtomicFile, Column, Extras, Format};
use everylayer::{Capture, Encoder, Error, ErrorKind, Pool, Result};

use super::args::{EmbedArgs, Engine, RejectedRows};
use super::input::{Input, Survey};
use super::progress::Progress;
use super::target::Target;
use super::terminal;
use assemble::{assemble, beside};
pub use cluster::OnCluster;
use flow::{Out, Pen};
use recorded::{Recorded, Revision};
use rejects::Rejects;
use resume_dir::{CallWords, Done, ResumeDir};
use tally::Counts;
pub use tally::Tally;

/// Runs the command, where it is to be on a cluster by `on_cluster`.
pub fn run(args: EmbedArgs, on_cluster: Option<OnCluster<'_>>) -> Result<()> {
    match args.cluster.on {
        Some(Engine::Ray) => cluster::run(args, on_cluster),
        None => run_here(args),
    }
}

fn run_here(args: EmbedArgs) -> Result<()> {
    let mut input = Input::choose(args.input.clone())?;
    // What is wrong with the words or the texts is said before a model is loaded.
    let target = Target::choose(args.output.clone(), args.format, &input)?;
    input.keep(args.keep.clone(), target.format() == Format::Parquet)?;
    checks::check_arguments(&args, &input, &target)?;
    checks::check_files(&args, &input, &target)?;
    let survey = input.survey(args.rejects.is_some())?;
    let total = survey.as_ref().map(|survey| match args.shard {
        Some(shard) => shard.range(survey.rows).len(),
        None => survey.rows,
    });

    let looked_at = !args.quiet && std::io::stderr().is_terminal();
    let source = Recorded::new(locate_with_progress(&args.model.model, looked_at)?);
    let encoder = Encoder::load_blocking(&source, &args.device.options())?;
    checks::check_model(&args, &target, &source.places())?;
    let capture = capture(&args, args.text.capture(&encoder.pipeline().prompts)?);
    let header = encoder.header(&capture)?;
    // JSON holds each value as it is.
    let has_types = target.format() == Format::Parquet && !args.quiet;
    for column in survey.iter().flat_map(|survey| &survey.mixed).filter(|_| has_types) {
        terminal::note(&format!(
            "column `{column}` has values of several types and is written as text"
        ));
    }
    if !args.quiet {
        terminal::note(&format!("device: {}", header.device));
        encoder.notes().iter().for_each(|note| terminal::note(note));
        if let Some(note) = encoder.pipeline().note().filter(|_| capture.pool == Pool::Model) {
            terminal::note(&note);
        }
    }
    let named = matches!(target, Target::File(..)) || !target.format().is_text();
    let revision = if named { Some(source.revision()?) } else { None };
    let metadata =
        revision.as_ref().map(|revision| fingerprint::metadata(revision, &encoder, &args));
    let metadata = metadata.unwrap_or_default();
    let (quiet, plan, precision) = (args.quiet, args.plan, args.precision);
    let visible = looked_at && !target.is_terminal();
    let job = Job {
        args,
        target,
        source,
        revision,
        metadata,
        input,
        encoder,
        capture,
        header,
        precision,
    };
    if plan {
        return job.plan();
    }
    if job.is_finished() {
        if !quiet {
            terminal::note(&format!(
                "{} is complete: an earlier run of this command wrote it, so there is nothing to \
                 do",
                job.target.name()
            ));
        }
        return Ok(());
    }
    if let Target::File(..) = job.target {
        interrupt::watch();
    }
    let place = job.destination(survey.as_ref())?;
    let progress = Progress::start(total, visible);
    if place.from > 0 {
        progress.skip(place.from.saturating_sub(place.range.start));
        if !quiet {
            terminal::note(&format!("resumed at row {}", place.from));
        }
    }
    let (start, before) = (Instant::now(), place.done_before());
    let mut tally = job.run(place, survey.as_ref(), &progress)?;
    if job.args.rejected_rows == Some(RejectedRows::Nan) {
        tally.rows += tally.rejected;
    }
    drop(progress);
    if !quiet && job.is_worth_a_line() {
        terminal::note(&tally.done_note(
            &job.target.name(),
            &job.header.stored(job.precision),
            before,
            start.elapsed(),
        ));
    }
    if !quiet && tally.cut > 0 {
        let limit = job.args.text.max_tokens.unwrap_or(job.encoder.max_tokens());
        terminal::note(&tally.cut_note(limit));
    }
    let rejected = job.args.rejects.as_deref().and_then(|place| tally.rejected_note(place));
    if let Some(note) = rejected.filter(|_| !quiet) {
        terminal::note(&note);
    }
    if let Some(note) = tally.rerun_note(&job.header.model).filter(|_| !quiet) {
        terminal::note(&note);
    }
    Ok(())
}

impl Place {
    /// Texts that a run before this one did.
    fn done_before(&self) -> usize {
        match &self.out {
            Out::Spool { done, .. } => done.texts,
            Out::Direct { .. } => 0,
        }
    }
}

/// What the words of the call ask for, in f32: numbers are made smaller when their text has its
/// place among all.
fn capture(args: &EmbedArgs, tokens: Capture) -> Capture {
    let mut capture = tokens.layers(args.layers.clone()).combine(args.combine.clone());
    capture = capture.pool(args.pool).precision(Precision::F32).route(args.route);
    (capture.normalize, capture.dims) = (args.normalize, args.dims);
    (capture.site, capture.final_norm) = (args.site, args.final_norm);
    capture
}

/// Where results go, the first row that is still to be done, and the rows of the call.
struct Place {
    out: Out,
    from: usize,
    range: Range<usize>,
}

/// The error of a run that leaves its part where another try may succeed; `done` is what the journal
/// says.
fn spent(part: ResumeDir, done: &Done, error: Error) -> Error {
    let again = matches!(
        error.kind(),
        ErrorKind::Io | ErrorKind::Gpu | ErrorKind::DeviceLost | ErrorKind::OutOfMemory
    );
    if !again || done.texts == 0 {
        part.remove();
        return error;
    }
    let said = format!("{error}; {} texts are done; --resume continues after them", done.texts);
    Error::new(error.kind(), said).about(error.settings()).with_source(error)
}

/// A call that is ready to run.
struct Job {
    args: EmbedArgs,
    target: Target,
    source: Recorded,
    /// Of the model's files, where it is told with the results.
    revision: Option<Revision>,
    metadata: Vec<(String, String)>,
    input: Input,
    encoder: Encoder,
    capture: Capture,
    /// Of the results in f32.
    header: Header,
    precision: Precision,
}

impl Job {
    /// Reads, runs and writes at once, to where `place` says.
    fn run(&self, place: Place, survey: Option<&Survey>, progress: &Progress) -> Result<Tally> {
        let Place { out, from, range } = place;
        let (spared, first) = (self.args.rejects.is_some(), range.start);
        let range = from.max(range.start)..range.end;
        let surveyed = survey.map(|survey| range.end.min(survey.rows).saturating_sub(range.start));
        let (texts, out) = match (self.input.texts(), out) {
            (Ok(texts), out) => (texts, out),
            // Nothing was done since: what was done before it is left, where that helps.
            (Err(error), Out::Spool { part, journalled, .. }) => {
                return Err(spent(part, &journalled, error));
            }
            (Err(error), Out::Direct { .. }) => return Err(error),
        };
        let mut chunks = flow::read(texts, self.chunk_texts(), range, spared);
        let mut tally = Tally::default();
        if let Out::Spool { done, .. } = &out {
            let Done { texts, cut, lost, vectors: rows, .. } = *done;
            let rejected = done.rows.saturating_sub(first + texts);
            tally = Tally { texts, cut, lost, rows, rejected, ..Tally::default() };
        }
        let pen = Pen::start(out, progress.clone(), self.precision, self.header.width);
        let (mut failed, mut ran) = (Ok(()), 0);
        for chunk in chunks.by_ref() {
            let results = chunk.and_then(|chunk| self.results(chunk, &mut tally));
            match results {
                Ok(results) => {
                    ran += results.texts.len() + results.rejects.len();
                    flow::tally(&mut tally, &results);
                    if !pen.send(results) {
                        break;
                    }
                }
                Err(error) => {
                    failed = Err(error);
                    break;
                }
            }
        }
        let (mut out, rows, written) = pen.stop()?;
        let counts = Counts { surveyed, read: chunks.rows(), run: ran, written: rows };
        // What is written is journalled whatever became of the rest.
        let whole = written.and_then(|()| out.journal()).and(failed);
        let whole = whole.and_then(|()| counts.check()).and_then(|()| {
            self.revision.as_ref().map_or(Ok(()), |revision| self.source.unchanged(revision))
        });
        let empty = tally.texts == 0 && survey.is_none();
        match out {
            Out::Direct { writer, held, rejects } => {
                whole?;
                if empty {
                    return Err(self.input.empty());
                }
                if let Some(Rejects::Direct(file)) = rejects {
                    file.commit()?;
                }
                let start = |ranges| {
                    let extras = Extras { ranges, ..self.extras(survey) };
                    self.target.clone().start(self.header.stored(self.precision), &extras)
                };
                flow::finish(writer, held, &self.header, start)?;
            }
            Out::Spool { part, journalled: done, .. } => {
                let rejects = || match self.args.rejects.as_deref() {
                    Some(place) => rejects::publish(&part.rejects(), done.rejects, place),
                    None => Ok(()),
                };
                let made = whole.and_then(|()| rejects());
                if let Err(error) = made.and_then(|()| self.assemble(&part, &done, survey)) {
                    return Err(spent(part, &done, error));
                }
                let call = part.remove();
                if let Target::File(path, _) = &self.target {
                    finished::remember(path, call);
                }
            }
        }
        Ok(tally)
    }

    /// What tells this call from others; `None` where it can not be gone on with.
    fn call(&self) -> Option<CallWords> {
        let (file, revision) = (self.input.file()?, self.revision.as_ref()?);
        Some(fingerprint::call(&self.args, &self.input, file, revision, &self.encoder))
    }

    /// Whether a run of the same words has made the output, which is asked for with `--resume`.
    fn is_finished(&self) -> bool {
        let (Target::File(path, _), Some(call)) = (&self.target, self.call()) else {
            return false;
        };
        let rejects = self.args.rejects.as_ref().is_none_or(|path| path.exists());
        self.args.resume && !ResumeDir::is_there(path) && rejects && finished::is_there(path, &call)
    }

    /// Whether somebody wants to hear that it is done: not where the result of a few words is all
    /// that there is to see.
    fn is_worth_a_line(&self) -> bool {
        matches!(self.target, Target::File(..)) || !self.input.is_words()
    }

    fn assemble(&self, part: &ResumeDir, done: &Done, survey: Option<&Survey>) -> Result<()> {
        let Target::File(path, format) = &self.target else {
            return Ok(());
        };
        let extras = self.extras(survey);
        let skips = self.args.rejected_rows == Some(RejectedRows::Skip);
        let index = (skips && *format == Format::Npy).then(|| beside(path));
        let place = (path.as_path(), *format, index);
        assemble(part, done, place, &self.header, self.precision, extras)
    }

    /// What the output says and holds beyond the results.
    fn extras(&self, survey: Option<&Survey>) -> Extras {
        let kinds = survey.map(|survey| &survey.kinds[..]).unwrap_or_default();
        let columns = self.args.keep.iter().zip(kinds);
        let columns =
            columns.map(|(name, kind)| Column { name: name.clone(), kind: kind.clone() }).collect();
        let gaps = self.args.shard.is_some() || self.args.rejects.is_some();
        let rows = survey.map_or(0, |survey| survey.rows);
        let rows = self.args.shard.map_or(0..rows, |shard| shard.range(rows));
        let filled = (self.args.rejected_rows == Some(RejectedRows::Nan)).then_some(rows);
        Extras { metadata: self.metadata.clone(), columns, gaps, filled, ..Extras::default() }
    }

    /// Where results go: into a part beside the output where the input can be read again.
    fn destination(&self, survey: Option<&Survey>) -> Result<Place> {
        let range = match (self.args.shard, survey) {
            (Some(shard), Some(survey)) => shard.range(survey.rows),
            _ => 0..usize::MAX,
        };
        let rejects = self.args.rejects.as_deref();
        if let (Target::File(path, format), Some(call)) = (&self.target, self.call()) {
            // Made and dropped: what the format cannot hold, and whether the file can be made, is
            // known before any work.
            let (stored, extras) = (self.header.stored(self.precision), self.extras(survey));
            output::start_with(*format, Cursor::new(Vec::new()), stored, &extras)?;
            let path = AtomicFile::create(path)?.path().to_owned();
            let (part, done, torn) = ResumeDir::open(&path, call, self.args.resume)?;
            if torn && !self.args.quiet {
                let part = part.folder.display();
                terminal::note(&format!("{part}: its end is damaged and is computed again"));
            }
            interrupt::keeps(&part.folder);
            let (spool, rejects) = part.logs(&done, rejects.is_some())?;
            let (from, last, journalled) = (done.rows, Instant::now(), done.clone());
            let (spool, rejects) = (Box::new(spool), rejects.map(Rejects::Logged));
            let out = Out::Spool { part, spool, rejects, done, journalled, last };
            return Ok(Place { out, from, range });
        }
        // Made and dropped for int8: whether it can be made is known before any work.
        let stored = self.header.stored(self.precision);
        let writer = self.target.clone().start(stored, &self.extras(survey))?;
        let writer = (self.precision != Precision::Int8).then_some(writer);
        let rejects = rejects.map(AtomicFile::create).transpose()?;
        let rejects = rejects.map(|file| Rejects::Direct(Box::new(file)));
        let out = Out::Direct { writer, held: Vec::new(), rejects };
        Ok(Place { out, from: 0, range })
    }
}

#[cfg(test)]
mod tests;
