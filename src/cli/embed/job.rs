//! The work of a call: chunks of texts through the model, or written down by `embed --plan`.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use everylayer::embeddings::{Embeddings, Rows};
use everylayer::schedule::Counts;
use everylayer::{Error, ErrorKind, Result};
use serde::de::IgnoredAny;

use super::flow::{Chunk, Results};
use super::{Job, Tally, fault};
use crate::cli::input::{Bad, InputText, broke_off};
use crate::cli::terminal;

/// Texts of a chunk at most.
const CHUNK_TEXTS: usize = 4096;
/// Batches of a chunk on a CPU, should all its texts be as long as the model takes them: a chunk
/// must end now and then for somebody who looks at the bar.
const CPU_BATCHES: usize = 4;
/// Results of a chunk at most, should all its texts be as long as the model takes them.
const CHUNK_BYTES: usize = 1 << 28;

/// Says that a line is a text whatever it holds, where the `first` one is a JSON object.
fn note_json(first: &InputText) {
    if serde_json::from_str::<HashMap<String, IgnoredAny>>(&first.text.text).is_ok() {
        terminal::note(
            "standard input is read as plain text lines, and the first is a JSON object: give a \
             .jsonl file with --input to read a field of it",
        );
    }
}

impl Job {
    /// [`Job::run_chunk`], of which a panic is an error.
    pub fn results(&self, chunk: Chunk, tally: &mut Tally) -> Result<Results> {
        let run = AssertUnwindSafe(|| {
            fault::at("run", chunk.next);
            self.run_chunk(chunk, tally)
        });
        catch_unwind(run).unwrap_or_else(|panic| Err(broke_off("runs the model", panic.as_ref())))
    }

    /// Runs a chunk; texts that are too long go with the rejects where there are any.
    fn run_chunk(&self, chunk: Chunk, tally: &mut Tally) -> Result<Results> {
        let Chunk { mut items, mut rejects, next } = chunk;
        if tally.texts == 0 && self.input.is_stdin() && !self.args.quiet {
            items.first().into_iter().for_each(note_json);
        }
        if self.args.rejects.is_some() {
            items.retain(|item| match self.encoder.tokenize([&item.text], &self.capture) {
                Err(error) if matches!(error.kind(), ErrorKind::TooLong | ErrorKind::Text) => {
                    let error = match self.input.place(item.line) {
                        Some(place) => error.at(place),
                        None => error,
                    };
                    let text = Some(item.text.text.clone().into_owned());
                    rejects.push(Bad { row: item.row, ..Bad::row(error, text) });
                    false
                }
                _ => true,
            });
            rejects.sort_by_key(|bad| bad.row);
        }
        if items.is_empty() {
            return Ok(Results { texts: Vec::new(), rejects, next });
        }
        let done = self.embed(&items)?;
        if done.texts.len() != items.len() {
            let (given, back) = (items.len(), done.texts.len());
            let said = format!("the model received {given} texts and returned {back}");
            return Err(Error::new(
                ErrorKind::Io,
                format!("{said}: this is a bug, please report it"),
            ));
        }
        done.rerun.iter().for_each(|rerun| tally.add_rerun(rerun));
        let texts = done.texts.into_iter().zip(items);
        let texts = texts
            .map(|(mut text, item)| {
                text.index = item.row;
                (text, item.kept)
            })
            .collect();
        Ok(Results { texts, rejects, next })
    }

    /// How many texts are worked on at a time: few on a CPU, and as memory allows on a GPU. No
    /// number of a result depends on it.
    pub fn chunk_texts(&self) -> usize {
        let longest = self.capture.max_tokens.unwrap_or(self.encoder.max_tokens()).max(1);
        let rows = if self.header.rows == Rows::Texts { 1 } else { longest };
        let bytes = rows * self.header.layer_axis * self.header.width * size_of::<f32>();
        let most = if self.encoder.is_on_cpu() {
            CPU_BATCHES * self.encoder.batch_tokens() / longest
        } else {
            CHUNK_TEXTS
        };
        most.min(CHUNK_BYTES / bytes.max(1)).max(1)
    }

    fn embed(&self, items: &[InputText]) -> Result<Embeddings> {
        let texts = items.iter().map(|item| &item.text);
        self.encoder.embed_blocking(texts, &self.capture).map_err(|e| self.place(items, e))
    }

    /// Says of which text an error is, by file and line.
    pub fn place(&self, items: &[InputText], error: Error) -> Error {
        if !matches!(error.kind(), ErrorKind::TooLong | ErrorKind::Text) {
            return error;
        }
        let first = items.iter().find_map(|item| {
            let error = self.encoder.tokenize([&item.text], &self.capture).err()?;
            Some((item.line, error))
        });
        match first {
            Some((line, error)) => match self.input.place(line) {
                Some(place) => error.at(place),
                None => error,
            },
            None => error,
        }
    }
}

impl Job {
    /// Prints the work instead of doing it.
    pub fn plan(&self) -> Result<()> {
        let mut texts = self.input.texts()?;
        let (mut all, mut batches, mut count, mut tokens) = (Counts::default(), 0, 0, 0);
        loop {
            let items = texts.chunk(self.chunk_texts())?;
            if items.is_empty() {
                break;
            }
            let wanted = items.iter().map(|item| &item.text);
            let recordings = self.encoder.record(wanted, &self.capture);
            for recording in recordings.map_err(|e| self.place(&items, e))? {
                let counts = recording.counts();
                batches += 1;
                count += recording.texts();
                tokens += recording.tokens();
                all = sum(all, counts);
                terminal::print(recording.to_string().as_bytes())?;
            }
        }
        if count == 0 {
            return Err(self.input.empty());
        }
        let Counts { dispatches, submits, bytes_up, bytes_down, memory, flops } = all;
        terminal::print(
            format!(
                "total: {count} texts, {tokens} tokens, {batches} batches, {dispatches} \
                 dispatches, {submits} submits, {bytes_up} bytes up, {bytes_down} bytes down, \
                 {memory} bytes of memory, {flops} flops\n"
            )
            .as_bytes(),
        )
    }
}

/// Both after one another; memory is used again.
fn sum(a: Counts, b: Counts) -> Counts {
    Counts {
        dispatches: a.dispatches + b.dispatches,
        submits: a.submits + b.submits,
        bytes_up: a.bytes_up + b.bytes_up,
        bytes_down: a.bytes_down + b.bytes_down,
        memory: a.memory.max(b.memory),
        flops: a.flops + b.flops,
    }
}
