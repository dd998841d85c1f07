//! `everylayer explore`: one page that shows what each layer makes of a text, or of two.
//!
//! The states are written into the page, which compares and draws them as the demo does.

mod page;

use std::io::{IsTerminal, Write};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use everylayer::embeddings::TokenInfo;
use everylayer::model::locate::locate_with_progress;
use everylayer::output::AtomicFile;
use everylayer::{Capture, Embeddings, Encoder, Error, ErrorKind, Layers, Pool, Result};
use serde::Serialize;

use super::args::ExploreArgs;
use super::embed::Tally;
use super::terminal;

/// Tokens of a text that are shown: more cannot be told apart on a screen.
const SHOWN: usize = 64;

/// What the page is made of.
#[derive(Serialize)]
struct ExplorePage<'a> {
    version: &'static str,
    model: &'a str,
    device: &'a str,
    dtype: &'a str,
    layers: &'a [usize],
    width: usize,
    texts: Vec<Side<'a>>,
}

/// One text of the page.
#[derive(Serialize)]
struct Side<'a> {
    /// As it was given.
    text: &'a str,
    /// The tokens that are shown.
    tokens: &'a [TokenInfo],
    /// How many more went through the model.
    hidden: usize,
    /// How many the model could not take.
    lost: usize,
    /// (layers, tokens shown, width), f32 from its lowest byte, in base64.
    vectors: String,
    /// (layers, width): the means over all tokens, written so too.
    means: String,
}

impl<'a> Side<'a> {
    /// The text `index` of `all`, which are tokens of every layer.
    fn of(all: &'a Embeddings, index: usize, text: &'a str) -> Self {
        let of = &all.texts[index];
        let shown = of.rows.min(SHOWN);
        let at = |layer, row| all.vector(index, layer, row).unwrap_or_default();
        let vectors =
            (0..all.layer_axis).flat_map(|l| (0..shown).flat_map(move |row| at(l, row).to_vec()));
        let means = (0..all.layer_axis).flat_map(|layer| {
            let mut sums = vec![0.0; all.width];
            for row in 0..of.rows {
                sums.iter_mut().zip(at(layer, row)).for_each(|(sum, &x)| *sum += f64::from(x));
            }
            sums.into_iter().map(|sum| (sum / of.rows as f64) as f32)
        });
        Self {
            text,
            tokens: &of.tokens[..shown],
            hidden: of.rows - shown,
            lost: of.lost,
            vectors: encoded(vectors),
            means: encoded(means),
        }
    }
}

/// Numbers as the page takes them.
fn encoded(numbers: impl Iterator<Item = f32>) -> String {
    STANDARD.encode(numbers.flat_map(f32::to_le_bytes).collect::<Vec<_>>())
}

/// Runs the command.
pub fn run(args: &ExploreArgs) -> Result<()> {
    let to_stdout = args.output == Path::new("-");
    // A place that cannot be written is said before a model is loaded.
    let file = if to_stdout { None } else { Some(AtomicFile::create(&args.output)?) };

    let looked_at = !args.quiet && std::io::stderr().is_terminal();
    let source = locate_with_progress(&args.model.model, looked_at)?;
    let encoder = Encoder::load_blocking(source.as_ref(), &args.device.options())?;
    let capture = args.text.capture(&encoder.pipeline().prompts)?;
    let page = html(&encoder, &args.texts, &capture, args.quiet)?;

    match file {
        None => terminal::print(page.as_bytes()),
        Some(mut file) => {
            file.write_all(page.as_bytes())
                .map_err(|e| Error::new(ErrorKind::Io, e.to_string()).with_source(e))?;
            file.commit()?;
            if !args.quiet {
                terminal::note(&format!("wrote {}", args.output.display()));
            }
            Ok(())
        }
    }
}

/// The page of one text, or of two; what was cut is said on standard error, too, unless `quiet`.
///
/// # Errors
/// `Text` for a text without tokens; else those of [`Encoder::embed`].
pub fn html(encoder: &Encoder, of: &[String], capture: &Capture, quiet: bool) -> Result<String> {
    let capture = capture.clone().layers(Layers::All).pool(Pool::Tokens).normalize(false);
    let tokens = encoder.embed_blocking(of, &capture)?;
    if let Some(empty) = tokens.texts.iter().find(|text| text.rows == 0) {
        let said = format!("text {} has no tokens: there is nothing to show", empty.index + 1);
        return Err(Error::new(ErrorKind::Text, said));
    }
    let sides = of.iter().enumerate();
    let texts: Vec<_> = sides.map(|(index, text)| Side::of(&tokens, index, text)).collect();
    if !quiet {
        terminal::note(&format!("device: {}", tokens.device));
        encoder.notes().iter().for_each(|note| terminal::note(note));
        let mut tally = Tally::default();
        tokens.texts.iter().for_each(|text| tally.add(text.lost));
        if tally.cut > 0 {
            terminal::note(&tally.cut_note(capture.max_tokens.unwrap_or(encoder.max_tokens())));
        }
        for (number, text) in (1..).zip(&texts).filter(|(_, text)| text.hidden > 0) {
            let all = text.tokens.len() + text.hidden;
            terminal::note(&format!("text {number}: the first {SHOWN} of {all} tokens are shown"));
        }
    }
    let report = ExplorePage {
        version: env!("CARGO_PKG_VERSION"),
        model: &tokens.model,
        device: &tokens.device,
        dtype: &tokens.dtype,
        layers: &tokens.layers,
        width: tokens.width,
        texts,
    };
    let data = serde_json::to_string(&report)
        .map_err(|e| Error::new(ErrorKind::Text, format!("not JSON: {e}")).with_source(e))?;
    Ok(page::page(&data))
}
