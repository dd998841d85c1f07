//! `everylayer embed`: texts in chunks through the encoder, results out as they come.

use std::io::IsTerminal;

use everylayer::capture::Precision;
use everylayer::embeddings::{Embeddings, Header, Rerun, Rows};
use everylayer::model::locate::locate_with_progress;
use everylayer::schedule::Counts;
use everylayer::{Capture, Encoder, Error, ErrorKind, Result};

use super::args::EmbedArgs;
use super::input::{Input, Item};
use super::progress::Progress;
use super::say;
use super::target::Target;

/// Texts of a chunk at most.
const CHUNK_TEXTS: usize = 4096;
/// Batches of a chunk on a CPU, should all its texts be as long as the model takes them: a chunk
/// must end now and then for somebody who looks at the bar.
const CPU_BATCHES: usize = 4;
/// Results of a chunk at most, should all its texts be as long as the model takes them.
const CHUNK_BYTES: usize = 1 << 30;

/// Runs the command.
pub fn run(args: EmbedArgs) -> Result<()> {
    let EmbedArgs { input, model, output, format, text, device, quiet, plan, .. } = &args;
    let input = Input::choose(input.clone())?;
    // What is wrong with the words or the texts is said before a model is loaded.
    let target = Target::choose(output.clone(), *format, &input)?;
    let total = input.count()?;

    let looked_at = !quiet && std::io::stderr().is_terminal();
    let source = locate_with_progress(&model.model, looked_at)?;
    let encoder = Encoder::load_blocking(source.as_ref(), &device.options())?;
    let capture = capture(&args, text.capture(&encoder.pipeline().prompts)?);
    let header = encoder.header(&capture)?;
    if !quiet {
        say::note(&format!("device: {}", header.device));
    }
    let job = Job { input, encoder, capture, header, precision: args.precision };
    if *plan {
        return job.plan();
    }
    let progress = Progress::start(total, looked_at && !target.is_terminal());
    let tally = job.run(target, &progress)?;
    drop(progress);
    if !quiet && tally.cut > 0 {
        let limit = args.text.max_tokens.unwrap_or(job.encoder.max_tokens());
        say::note(&tally.cut_note(limit));
    }
    if let Some(note) = tally.rerun_note(&job.header.model).filter(|_| !quiet) {
        say::note(&note);
    }
    Ok(())
}

/// What the words of the call ask for, in f32: numbers are made smaller when their text has its
/// place among all.
fn capture(args: &EmbedArgs, tokens: Capture) -> Capture {
    Capture {
        layers: args.layers.clone(),
        combine: args.combine.clone(),
        pool: args.pool,
        normalize: args.normalize,
        dims: args.dims,
        precision: Precision::F32,
        route: args.route,
        ..tokens
    }
}

/// Counts of texts and tokens.
#[derive(Debug, Default)]
pub struct Tally {
    /// Texts so far.
    pub texts: usize,
    /// Texts that were cut.
    pub cut: usize,
    /// Tokens cut off.
    pub lost: usize,
    /// The texts, by their number, that overflowed f16.
    pub rerun: Option<Rerun>,
}

impl Tally {
    /// One more text, `lost` tokens of which were cut off.
    pub fn add(&mut self, lost: usize) {
        self.texts += 1;
        self.cut += usize::from(lost > 0);
        self.lost += lost;
    }

    /// What is said of texts that were cut to `limit` tokens.
    pub fn cut_note(&self, limit: usize) -> String {
        let Self { texts, cut, lost, .. } = self;
        format!("{cut} of {texts} texts were cut to {limit} tokens: {lost} tokens are lost")
    }

    /// Texts that were run again in f32, those after the texts so far.
    fn add_rerun(&mut self, more: &Rerun) {
        let rerun = self.rerun.get_or_insert(Rerun { state: more.state, texts: Vec::new() });
        rerun.state = rerun.state.min(more.state);
        rerun.texts.extend(more.texts.iter().map(|text| self.texts + text));
    }

    /// What is said of them.
    fn rerun_note(&self, model: &str) -> Option<String> {
        let Rerun { state, texts } = self.rerun.as_ref()?;
        let (count, all) = (texts.len(), self.texts);
        Some(format!(
            "{count} of {all} texts overflowed f16 at state {state} of {model} and were run again \
             in f32"
        ))
    }
}

/// A call that is ready to run.
struct Job {
    input: Input,
    encoder: Encoder,
    capture: Capture,
    /// Of the results in f32.
    header: Header,
    precision: Precision,
}

impl Job {
    fn run(&self, target: Target, progress: &Progress) -> Result<Tally> {
        let width = self.header.width;
        let header = Header {
            width: self.precision.stored(width),
            precision: self.precision,
            ..self.header.clone()
        };
        let mut writer = target.start(header)?;
        let mut tally = Tally::default();
        // int8 takes its range from all vectors of the call.
        let mut held = Vec::new();
        let mut texts = self.input.texts()?;
        loop {
            let items = texts.chunk(self.chunk_texts())?;
            if items.is_empty() {
                break;
            }
            let done = self.embed(&items)?;
            done.rerun.iter().for_each(|rerun| tally.add_rerun(rerun));
            for mut text in done.texts {
                text.index = tally.texts;
                tally.add(text.lost);
                if self.precision == Precision::Int8 {
                    held.push(text);
                } else {
                    text.quantize(self.precision, width)?;
                    writer.push(text)?;
                }
            }
            progress.advance(items.len());
        }
        if tally.texts == 0 {
            return Err(self.input.empty());
        }
        if self.precision == Precision::Int8 {
            let all = Embeddings::new(self.header.clone(), held).quantize(Precision::Int8)?;
            all.texts.into_iter().try_for_each(|text| writer.push(text))?;
        }
        writer.finish()?;
        Ok(tally)
    }

    /// How many texts are worked on at a time: few on a CPU, and as memory allows on a GPU. No
    /// number of a result depends on it.
    fn chunk_texts(&self) -> usize {
        let longest = self.capture.max_tokens.unwrap_or(self.encoder.max_tokens()).max(1);
        let rows = if self.header.rows == Rows::Texts { 1 } else { longest };
        let bytes = rows * self.header.layer_axis * self.header.width * size_of::<f32>();
        let most = if self.header.device.starts_with("CPU ") {
            CPU_BATCHES * self.encoder.batch_tokens() / longest
        } else {
            CHUNK_TEXTS
        };
        most.min(CHUNK_BYTES / bytes.max(1)).max(1)
    }

    fn embed(&self, items: &[Item]) -> Result<Embeddings> {
        let texts = items.iter().map(|item| &item.text);
        self.encoder.embed_blocking(texts, &self.capture).map_err(|e| self.place(items, e))
    }

    /// Says of which text an error is, by file and line.
    fn place(&self, items: &[Item], error: Error) -> Error {
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

    /// Prints the work instead of doing it.
    fn plan(&self) -> Result<()> {
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
                count += recording.texts;
                tokens += recording.tokens;
                all = sum(all, counts);
                say::print(recording.to_string().as_bytes())?;
            }
        }
        if count == 0 {
            return Err(self.input.empty());
        }
        let Counts { dispatches, submits, bytes_up, bytes_down, memory, flops } = all;
        say::print(
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
