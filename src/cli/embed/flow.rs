//! Reading, running and writing at once: a thread reads chunks ahead, the caller's runs them, a
//! third writes results down. What waits between them is bounded.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use everylayer::capture::Precision;
use everylayer::capture::precision::Ranges;
use everylayer::embeddings::{Embeddings, Header, TextEmbedding};
use everylayer::output::Kept;
use everylayer::{Error, ErrorKind, Result};

use super::Tally;
use super::fault;
use super::log::Log;
use super::rejects::Rejects;
use super::result_log;
use super::resume_dir::{Done, ResumeDir};
use crate::cli::input::{Ahead, Bad, InputText, TextReader, broke_off};
use crate::cli::progress::Progress;
use crate::cli::target::Writer;

/// Chunks that wait between two threads.
const AHEAD: usize = 1;
/// How often the journal is written: so much work is done again after a kill.
const JOURNAL: Duration = Duration::from_millis(500);

/// Rows of the input, read.
pub struct Chunk {
    pub items: Vec<InputText>,
    pub rejects: Vec<Bad>,
    /// The row after them.
    pub next: usize,
}

/// Chunks that are read ahead, and the rows in them so far.
pub struct Chunks {
    chunks: Ahead<Result<Chunk>>,
    rows: Arc<AtomicUsize>,
}

impl Chunks {
    /// Rows that were read, good ones and bad ones.
    pub fn rows(&self) -> usize {
        self.rows.load(Ordering::Relaxed)
    }
}

impl Iterator for Chunks {
    type Item = Result<Chunk>;

    fn next(&mut self) -> Option<Self::Item> {
        self.chunks.next().and_then(Option::transpose).transpose()
    }
}

/// Reads chunks of `most` rows ahead, of the rows in `range` alone; `spared` says that bad rows are
/// handed on.
pub fn read(
    mut texts: TextReader,
    most: usize,
    range: std::ops::Range<usize>,
    spared: bool,
) -> Chunks {
    let rows = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&rows);
    let chunks = Ahead::start("reads the input", AHEAD, move |sender| {
        loop {
            let chunk = next(&mut texts, most, &range, spared);
            let ends = !matches!(chunk, Ok(Some(_)));
            let Some(chunk) = chunk.transpose() else { return };
            let found = chunk.as_ref().map_or(0, |c| c.items.len() + c.rejects.len());
            count.fetch_add(found, Ordering::Relaxed);
            let is_empty = chunk.is_ok() && found == 0;
            if (!is_empty && sender.send(chunk).is_err()) || ends {
                return;
            }
        }
    });
    Chunks { chunks, rows }
}

/// The next rows, of which those in `range` are kept; `None` at the end of the range or the input.
fn next(
    texts: &mut TextReader,
    most: usize,
    range: &std::ops::Range<usize>,
    spared: bool,
) -> Result<Option<Chunk>> {
    let before = texts.next_row();
    if before >= range.end {
        texts.unchanged()?;
        return Ok(None);
    }
    // Rows that are passed over are not work, and may be more; those after them are a chunk of their own.
    let most = match range.start.saturating_sub(before) {
        0 => most,
        skipped => most.max(4096).min(skipped),
    };
    let mut rejects = Vec::new();
    let mut items = texts.rows(most, spared.then_some(&mut rejects))?;
    fault::at("read", texts.next_row());
    if texts.next_row() == before {
        return Ok(None);
    }
    items.retain(|item| range.contains(&item.row));
    rejects.retain(|bad| range.contains(&bad.row));
    Ok(Some(Chunk { items, rejects, next: texts.next_row().min(range.end) }))
}

/// Results of a chunk, on their way out.
pub struct Results {
    pub texts: Vec<(TextEmbedding, Vec<Kept>)>,
    pub rejects: Vec<Bad>,
    pub next: usize,
}

/// Where results go.
pub enum Out {
    /// Straight to their place; int8 waits for all, without a writer.
    Direct {
        writer: Option<Writer>,
        held: Vec<(TextEmbedding, Vec<Kept>)>,
        rejects: Option<Rejects>,
    },
    /// To a log, from which the output is made when all are there.
    Spool {
        part: ResumeDir,
        spool: Box<Log>,
        rejects: Option<Rejects>,
        done: Done,
        /// What of it the journal says, and when that was written.
        journalled: Done,
        last: Instant,
    },
}

impl Out {
    fn take(&mut self, results: Results, precision: Precision, width: usize) -> Result<()> {
        let Results { texts, rejects: bad, next } = results;
        match self {
            Self::Direct { writer, held, rejects } => {
                for (mut text, kept) in texts {
                    if precision == Precision::Int8 {
                        held.push((text, kept));
                        continue;
                    }
                    text.quantize(precision, width)?;
                    writer.as_mut().map_or(Ok(()), |writer| writer.push(text, kept))?;
                }
                let log = |log: &mut Rejects| bad.iter().try_for_each(|bad| log.push(bad));
                rejects.as_mut().map_or(Ok(()), log).map_err(rejects_failed)
            }
            Self::Spool { part, spool, rejects, done, last, .. } => {
                for (mut text, kept) in texts {
                    if precision != Precision::Int8 {
                        text.quantize(precision, width)?;
                    }
                    done.texts += 1;
                    done.cut += usize::from(text.lost > 0);
                    done.lost += text.lost;
                    done.vectors += text.rows;
                    result_log::push(spool, &text, kept).map_err(|e| part.failed(e))?;
                }
                let log = |log: &mut Rejects| bad.iter().try_for_each(|bad| log.push(bad));
                rejects.as_mut().map_or(Ok(()), log).map_err(rejects_failed)?;
                done.rows = next;
                if last.elapsed() >= JOURNAL {
                    self.journal()?;
                }
                Ok(())
            }
        }
    }

    /// Has what is written on the disk, and says so in the journal.
    pub fn journal(&mut self) -> Result<()> {
        let Self::Spool { part, spool, rejects, done, journalled, last } = self else {
            return Ok(());
        };
        spool.sync().map_err(|e| part.failed(e))?;
        done.bytes = spool.bytes;
        if let Some(Rejects::Logged(log)) = rejects {
            log.sync().map_err(|e| part.failed(e))?;
            done.rejects = log.bytes;
        }
        *last = Instant::now();
        part.write(done)?;
        *journalled = done.clone();
        Ok(())
    }
}

fn rejects_failed(e: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("the rejects could not be written: {e}")).with_source(e)
}

/// The thread that writes.
pub struct Pen {
    sender: SyncSender<Results>,
    thread: JoinHandle<(Out, usize, Result<()>)>,
}

impl Pen {
    pub fn start(mut out: Out, progress: Progress, precision: Precision, width: usize) -> Self {
        let (sender, receiver) = sync_channel::<Results>(AHEAD);
        let thread = std::thread::spawn(move || {
            let mut rows = 0;
            for results in receiver {
                let count = results.texts.len() + results.rejects.len();
                let tokens = results.texts.iter().map(|(text, _)| text.text_tokens).sum();
                let taken = catch_unwind(AssertUnwindSafe(|| {
                    fault::at("write", results.next);
                    out.take(results, precision, width)
                }));
                let taken = taken
                    .unwrap_or_else(|panic| Err(broke_off("writes the results", panic.as_ref())));
                if let Err(error) = taken {
                    return (out, rows, Err(error));
                }
                rows += count;
                progress.advance(count);
                progress.add_tokens(tokens);
            }
            (out, rows, Ok(()))
        });
        Self { sender, thread }
    }

    /// Hands `results` on; false where nothing more can be written.
    pub fn send(&self, results: Results) -> bool {
        self.sender.send(results).is_ok()
    }

    /// Waits until all is written: where to, how many rows, and whether that went well.
    pub fn stop(self) -> Result<(Out, usize, Result<()>)> {
        drop(self.sender);
        self.thread.join().map_err(|panic| broke_off("writes the results", panic.as_ref()))
    }
}

/// Ends a direct output; `start` begins that of int8, whose ranges are known at the end.
pub fn finish(
    writer: Option<Writer>,
    held: Vec<(TextEmbedding, Vec<Kept>)>,
    header: &Header,
    start: impl FnOnce(Vec<Ranges>) -> Result<Writer>,
) -> Result<()> {
    if let Some(writer) = writer {
        return writer.finish();
    }
    let (texts, kept): (Vec<_>, Vec<_>) = held.into_iter().unzip();
    let all = Embeddings::new(header.clone(), texts);
    let mut writer = start(all.ranges()?)?;
    let texts = all.quantize(Precision::Int8)?.texts;
    texts.into_iter().zip(kept).try_for_each(|(text, kept)| writer.push(text, kept))?;
    writer.finish()
}

/// Counts what is written.
pub fn tally(tally: &mut Tally, results: &Results) {
    for (text, _) in &results.texts {
        tally.add(text.lost);
        tally.tokens += text.text_tokens;
        tally.rows += text.rows;
    }
    tally.rejected += results.rejects.len();
}
