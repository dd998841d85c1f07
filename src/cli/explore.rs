//! `everylayer explore`: one page that shows what each layer makes of a text, or of two.
//!
//! Similarities are computed here and written into `explore/page.html`, which needs nothing else. How maps
//! and charts look and are drawn it shares with the demo in `web/demo/`.

mod similarity;

use std::io::{IsTerminal, Write};
use std::path::Path;

use everylayer::model::locate::locate_with_progress;
use everylayer::output::AtomicFile;
use everylayer::{Capture, Encoder, Error, ErrorKind, Layers, Pool, Result};
use serde::Serialize;

use super::args::ExploreArgs;
use super::embed::Tally;
use super::say;
use similarity::{Pair, TextSide};

/// The page, whose one `PLACE` becomes the data.
const PAGE: &str = include_str!("explore/page.html");
/// Where the data goes.
const PLACE: &str = "{{data}}";
/// Colours, maps and charts.
const PARTS: [(&str, &str); 2] = [
    ("{{look}}", include_str!("../../web/demo/look.css")),
    ("{{maps}}", include_str!("../../web/demo/maps.js")),
];
/// Tokens of a text that are shown: more cannot be told apart on a screen.
const SHOWN: usize = 64;

/// What the page is made of.
#[derive(Serialize)]
struct Report<'a> {
    version: &'static str,
    model: &'a str,
    device: &'a str,
    dtype: &'a str,
    layers: &'a [usize],
    texts: Vec<TextSide>,
    pair: Option<Pair>,
}

/// Runs the command.
pub fn run(args: &ExploreArgs) -> Result<()> {
    let to_stdout = args.output == Path::new("-");
    // A place that cannot be written is said before a model is loaded.
    let file = if to_stdout { None } else { Some(AtomicFile::create(&args.output)?) };

    let looked_at = !args.quiet && std::io::stderr().is_terminal();
    let source = locate_with_progress(&args.model.model, looked_at)?;
    let encoder = Encoder::load_blocking(source.as_ref(), &args.device.options())?;
    let capture = args.text.capture(&encoder.pipeline().prompts)?.layers(Layers::All);
    let page = page(&encoder, args, &capture)?;

    match file {
        None => say::print(page.as_bytes()),
        Some(mut file) => {
            file.write_all(page.as_bytes())
                .map_err(|e| Error::new(ErrorKind::Io, e.to_string()).with_source(e))?;
            file.commit()?;
            if !args.quiet {
                say::note(&format!("wrote {}", args.output.display()));
            }
            Ok(())
        }
    }
}

/// The page of the texts; what was cut is said on standard error, too.
fn page(encoder: &Encoder, args: &ExploreArgs, capture: &Capture) -> Result<String> {
    let embed = |pool: Pool| {
        let capture = capture.clone().pool(pool).normalize(false);
        encoder.embed_blocking(&args.texts, &capture)
    };
    let tokens = embed(Pool::Tokens)?;
    if let Some(empty) = tokens.texts.iter().find(|text| text.rows == 0) {
        let said = format!("text {} has no tokens: there is nothing to show", empty.index + 1);
        return Err(Error::new(ErrorKind::Text, said));
    }
    let sides = (0..tokens.texts.len()).map(|text| TextSide::of(&tokens, text, &args.texts, SHOWN));
    let texts: Vec<TextSide> = sides.collect();
    let pair = match texts.len() {
        2 => Some(Pair::of(&tokens, &embed(Pool::Mean)?, &embed(Pool::Cls)?, SHOWN)),
        _ => None,
    };
    if !args.quiet {
        say::note(&format!("device: {}", tokens.device));
        let mut tally = Tally::default();
        tokens.texts.iter().for_each(|text| tally.add(text.lost));
        if tally.cut > 0 {
            say::note(&tally.cut_note(capture.max_tokens.unwrap_or(encoder.max_tokens())));
        }
        for (number, text) in (1..).zip(&texts).filter(|(_, text)| text.hidden > 0) {
            let all = text.tokens.len() + text.hidden;
            say::note(&format!("text {number}: the first {SHOWN} of {all} tokens are shown"));
        }
    }
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        model: &tokens.model,
        device: &tokens.device,
        dtype: &tokens.dtype,
        layers: &tokens.layers,
        texts,
        pair,
    };
    let data = serde_json::to_string(&report)
        .map_err(|e| Error::new(ErrorKind::Text, format!("not JSON: {e}")).with_source(e))?;
    // The data goes in last: what it says is no place.
    Ok(blank().replacen(PLACE, &inert(&data), 1))
}

/// The page without its data.
fn blank() -> String {
    PARTS.iter().fold(PAGE.to_owned(), |page, (place, part)| page.replacen(place, part, 1))
}

/// JSON that says the same and that no HTML parser takes for anything but text. These characters
/// stand inside strings only.
fn inert(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_one_place_and_no_address() {
        let blank = blank();
        assert_eq!(blank.matches("{{").count(), 1);
        assert_eq!(blank.matches(PLACE).count(), 1);
        for outside in ["http:", "https:", "src=", "href=", "@import", "url(", "fetch("] {
            // The name space of SVG is no address that anything asks for.
            let page = blank.replace("http://www.w3.org/2000/svg", "");
            assert!(!page.contains(outside), "the page has `{outside}`");
        }
        assert!(blank.contains("default-src 'none'"));
    }

    #[test]
    fn inert_json_says_the_same() {
        for text in ["</script><script>alert(1)</script>", "<!-- & -->", "a\u{2028}b\u{2029}c", "é"]
        {
            let json = serde_json::to_string(text).unwrap();
            let inert = inert(&json);
            assert!(!inert.contains(['<', '>', '&', '\u{2028}', '\u{2029}']), "{inert}");
            assert_eq!(serde_json::from_str::<String>(&inert).unwrap(), text);
        }
    }
}
