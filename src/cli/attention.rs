//! `everylayer attention`: the weights of attention, or what is made of them.

use std::io::{BufWriter, Cursor, IsTerminal, Seek, Write, stderr, stdout};

use everylayer::capture::maps::Maps;
use everylayer::encoder::MapMemory;
use everylayer::model::locate::locate_with_progress;
use everylayer::output::{AtomicFile, AttentionWriter, Format};
use everylayer::{Encoder, ErrorKind, Result, Text, TextAttention};

use super::args::AttentionArgs;
use super::embed::Tally;
use super::input::Input;
use super::target::Target;
use super::terminal;

/// Texts read at a time.
const CHUNK_TEXTS: usize = 256;
/// Bytes of results that are said on standard error before the work begins.
const WORTH_SAYING: u64 = 1 << 20;

/// Runs the command.
pub fn run(args: AttentionArgs) -> Result<()> {
    let input = Input::choose(args.input.clone())?;
    let target = Target::choose(args.output.clone(), args.format, &input)?;
    input.count()?;
    let looked_at = !args.quiet && stderr().is_terminal();
    let source = locate_with_progress(&args.model.model, looked_at)?;
    let encoder = Encoder::load_blocking(source.as_ref(), &args.device.options())?;
    if !args.quiet {
        encoder.notes().iter().for_each(|note| terminal::note(note));
        terminal::note(&format!("device: {}", encoder.device()));
    }
    let maps = Maps::default().layers(args.layers.clone()).heads(args.heads.clone());
    let maps = maps.reduce(args.reduce).text(args.text.capture(&encoder.pipeline().prompts)?);
    let header = encoder.attention_header(&maps)?;
    let format = target.format();
    let work = Work { encoder: &encoder, maps: &maps, input: &input, quiet: args.quiet };
    let tally = match &target {
        Target::File(path, _) => {
            let (tally, file) =
                work.write(AttentionWriter::start(format, AtomicFile::create(path)?, header)?)?;
            file.commit()?;
            if !args.quiet {
                let texts = if tally.texts == 1 { "text" } else { "texts" };
                let name = target.name();
                let done = format!("wrote {name}: {} of {} {texts}", args.reduce, tally.texts);
                terminal::note(&done);
            }
            tally
        }
        Target::Stdout(Format::Json | Format::Jsonl) => {
            let out = Streamed(BufWriter::new(stdout()));
            work.write(AttentionWriter::start(format, out, header)?)?.0
        }
        Target::Stdout(_) => {
            let held = Cursor::new(Vec::new());
            let (tally, held) = work.write(AttentionWriter::start(format, held, header)?)?;
            terminal::print(held.get_ref())?;
            tally
        }
    };
    if !args.quiet && tally.cut > 0 {
        terminal::note(&tally.cut_note(encoder.preprocessor().limit(&maps.text)?));
    }
    Ok(())
}

/// A call that is ready to run.
struct Work<'a> {
    encoder: &'a Encoder,
    maps: &'a Maps,
    input: &'a Input,
    quiet: bool,
}

impl Work<'_> {
    /// Writes the attention of every text, some at a time.
    fn write<W: Write + Seek + Send>(&self, mut writer: AttentionWriter<W>) -> Result<(Tally, W)> {
        let (mut tally, mut said) = (Tally::default(), MapMemory::default());
        let mut texts = self.input.texts()?;
        loop {
            let items = texts.chunk(CHUNK_TEXTS)?;
            if items.is_empty() {
                break;
            }
            let first = tally.texts;
            let lines: Vec<u64> = items.iter().map(|item| item.line).collect();
            let texts: Vec<Text<'_>> = items.into_iter().map(|item| item.text).collect();
            if !self.quiet {
                let memory = self.encoder.attention_memory(&texts, self.maps)?;
                // Once, and again where later texts take more.
                if memory.results > WORTH_SAYING && memory.host > said.host {
                    terminal::note(&told(&memory, texts.len()));
                    said = memory;
                }
            }
            let mut on_text = |mut text: TextAttention| {
                let at = text.index;
                text.index += first;
                tally.add(text.lost);
                writer.push(text).map_err(|e| match self.input.place(lines[at]) {
                    Some(place) if e.kind() == ErrorKind::Usage => e.at(place),
                    _ => e,
                })
            };
            pollster::block_on(self.encoder.attention_each(&texts, self.maps, &mut on_text))?;
        }
        if tally.texts == 0 {
            return Err(self.input.empty());
        }
        Ok((tally, writer.finish()?))
    }
}

/// What texts will take.
fn told(memory: &MapMemory, texts: usize) -> String {
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    let texts = if texts == 1 { "the text".to_owned() } else { format!("{texts} texts") };
    format!(
        "attention of {texts}: {} of results; at most {} on the host and {} of activations on the \
         device at once",
        mib(memory.results),
        mib(memory.host),
        mib(memory.device)
    )
}

/// A stream that is written from its beginning to its end.
struct Streamed<W>(W);

impl<W: Write> Write for Streamed<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

impl<W> Seek for Streamed<W> {
    fn seek(&mut self, _: std::io::SeekFrom) -> std::io::Result<u64> {
        Err(std::io::Error::other("a stream cannot be sought in"))
    }
}
