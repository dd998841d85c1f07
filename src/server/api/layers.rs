//! `POST /v1/layers`: any number of outputs, each with its layers and pooling, of one forward pass.

mod document;
mod fields;

use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

pub use document::DIALECT;
use fields::{InputField, LayersWord};

use super::accept::{JSON, NPZ, SAFETENSORS};
use super::answer::{Answer, aside, of_bytes, parse, with_times};
use super::body::{Count, List, Object, Word};
use super::inputs::{checked, named_prompt};
use super::stream::written;
use crate::capture::{Capture, Combine, Overflow, Pool, Precision, Site};
use crate::encoder::{PreparedText, token_infos, word_info};
use crate::output::{self, Extra, Format};
use crate::server::core::bodies::{Caller, roomed};
use crate::server::core::error::{ApiError, ErrorCode};
use crate::server::core::reading::{Reading, Truncation, limits, some};
use crate::server::core::service::{Outcome, Service};

/// Outputs of one request at most.
pub const MOST_OUTPUTS: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    #[serde(alias = "texts", alias = "inputs")]
    input: InputField,
    model: Option<String>,
    outputs: Option<List<Object<Output>>>,
    max_tokens: Option<Count>,
    overflow: Option<Word<Overflow>>,
    prompt: Option<String>,
    prompt_name: Option<String>,
    tokens: Option<bool>,
    words: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Output {
    name: Option<String>,
    site: Option<Word<Site>>,
    layers: Option<LayersWord>,
    combine: Option<Word<Combine>>,
    pool: Option<Word<Pool>>,
    normalize: Option<bool>,
    #[serde(alias = "dimensions")]
    dims: Option<Count>,
    precision: Option<Word<Precision>>,
    final_norm: Option<bool>,
}

impl Output {
    fn capture(self) -> Capture {
        let default = Capture::default();
        Capture {
            site: self.site.map_or(default.site, |word| word.0),
            final_norm: self.final_norm,
            layers: self.layers.map_or(default.layers, |word| word.0),
            combine: self.combine.map_or(default.combine, |word| word.0),
            pool: self.pool.map_or(default.pool, |word| word.0),
            precision: self.precision.map_or(default.precision, |word| word.0),
            normalize: self.normalize,
            dims: self.dims.map(|n| n.0),
            ..default
        }
    }
}

/// `POST /v1/layers`; `form` is one of [`FORMS`].
pub async fn layers(
    service: &Service,
    caller: Caller,
    body: Bytes,
    form: &'static str,
) -> Result<Answer, ApiError> {
    let body: Body = parse(body).await?;
    let model = service.model(body.model.as_deref())?;
    let outputs = body.outputs.map_or_else(Vec::new, |list| list.0);
    let mut outputs: Vec<Output> = outputs.into_iter().map(|object| object.0).collect();
    if outputs.is_empty() {
        outputs.push(Output::default());
    }
    if outputs.len() > MOST_OUTPUTS {
        let said =
            format!("{} outputs are more than the {MOST_OUTPUTS} of one request", outputs.len());
        return Err(ApiError::new(ErrorCode::TooLarge, said).at("outputs"));
    }
    let names = names(&outputs)?;
    let truncation = match body.overflow.map(|word| word.0) {
        None | Some(Overflow::Truncate) => Truncation::Model,
        Some(Overflow::Error) => Truncation::Refuse,
        Some(Overflow::Window { stride }) => Truncation::Window(stride),
    };
    let at = |(i, output): (usize, Output)| {
        let capture = Capture { overflow: truncation.overflow(), ..output.capture() };
        checked(model, capture, &format!("outputs[{i}]"), &format!("outputs[{i}].dims"))
    };
    let captures = outputs.into_iter().enumerate().map(at).collect::<Result<Vec<_>, _>>()?;
    let prompt = match (&body.prompt, &body.prompt_name) {
        (Some(_), Some(_)) => {
            let said = "`prompt` and `prompt_name` exclude each other: send one";
            return Err(ApiError::new(ErrorCode::Validation, said).at("prompt_name"));
        }
        (Some(prompt), None) => Some(prompt.clone()),
        (None, Some(name)) => Some(named_prompt(&model.batcher.encoder(), name)?),
        (None, None) => None,
    };
    let inputs = some(body.input.0, "input")?;
    let max_tokens = body.max_tokens.map(|n| n.0);
    let (least, most) = limits(&model.batcher.encoder());
    if let Some(n) = max_tokens.filter(|n| !(least..=most).contains(n)) {
        let said = format!("expected a whole number from {least} to {most}, found {n}");
        return Err(ApiError::new(ErrorCode::Malformed, said).at("max_tokens"));
    }
    let reading = Reading { prompt, max_tokens, truncation };
    let (tokens, words) = (body.tokens.unwrap_or(false), body.words.unwrap_or(false));
    let keep = tokens || words;
    let outcome = service.embed(caller, model, inputs, reading, captures, keep).await?;
    let outcome = Arc::new(outcome);
    let shared = Arc::clone(&outcome);
    let answer = if form == JSON {
        outcome.results.iter().try_for_each(output::json::check)?;
        let model = model.name.clone();
        let write = move |out: &mut dyn Write| as_json(out, &model, &names, &shared, tokens, words);
        written(outcome.bytes(), JSON, write).await?
    } else {
        // The file is there beside the vectors for a moment, then alone until it is sent.
        let room = service.results.reserve(outcome.bytes())?;
        let write = move || as_file(form, &names, &shared, tokens, words);
        let file = aside(outcome.bytes(), write).await??;
        of_bytes(roomed(file.into(), Arc::new(room)), form)
    };
    Ok(with_times(answer, &outcome))
}

fn as_file(
    form: &str,
    names: &[String],
    outcome: &Outcome,
    tokens: bool,
    words: bool,
) -> Result<Vec<u8>, ApiError> {
    let format = match form {
        SAFETENSORS => Format::Safetensors,
        NPZ => Format::Npz,
        _ => return as_arrow(names, outcome, tokens, words),
    };
    let extras = extras(&outcome.ready, tokens, words);
    Ok(output::join(format, &plain(names), &outcome.results, &extras)?)
}

/// The names of the outputs: their own, else their number.
fn names(outputs: &[Output]) -> Result<Vec<String>, ApiError> {
    let name = |(i, o): (usize, &Output)| o.name.clone().unwrap_or_else(|| i.to_string());
    let names: Vec<String> = outputs.iter().enumerate().map(name).collect();
    for (i, name) in names.iter().enumerate() {
        let plain = |c: char| c.is_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.len() > 64 || !name.chars().all(plain) || name.starts_with('.') {
            let said = "expected 1 to 64 letters, digits, `-`, `_` or `.`, the first no `.`";
            return Err(ApiError::new(ErrorCode::Validation, said).at(format!("outputs[{i}].name")));
        }
        if names[..i].contains(name) {
            let said = format!("two outputs are named `{name}`");
            return Err(ApiError::new(ErrorCode::Validation, said).at(format!("outputs[{i}].name")));
        }
    }
    Ok(names)
}

/// The media type of an Arrow IPC stream.
const ARROW: &str = "application/vnd.apache.arrow.stream";

/// The forms of an answer; the first where a client does not say.
pub const FORMS: [&str; 4] = [JSON, SAFETENSORS, NPZ, ARROW];

/// The names as files have them: a single output that was given none has none.
fn plain(names: &[String]) -> Vec<Option<&str>> {
    match names {
        [name] if name == "0" => vec![None],
        _ => names.iter().map(|name| Some(name.as_str())).collect(),
    }
}

/// Tokens and words of all texts as arrays, where they are asked for. `token_offsets` says where
/// the tokens of each text begin, and -1 that a token is of no word.
fn extras(ready: &[Arc<PreparedText>], tokens: bool, words: bool) -> Vec<Extra> {
    let mut extras = Vec::new();
    let mut add = |name, columns: usize, values: Vec<i64>| {
        let rows = values.len() / columns;
        let shape = if columns == 1 { vec![rows] } else { vec![rows, columns] };
        extras.push(Extra { name, shape, values });
    };
    let offsets = |count: fn(&PreparedText) -> usize| {
        let ends = ready.iter().scan(0, move |end, ready| {
            *end += count(ready) as i64;
            Some(*end)
        });
        std::iter::once(0).chain(ends).collect::<Vec<i64>>()
    };
    if tokens {
        let all = || ready.iter().map(|ready| &ready.tokens);
        add("token_ids", 1, all().flat_map(|t| &t.ids).map(|&id| id.into()).collect());
        let spans = all().flat_map(|t| &t.spans).flatten();
        add("token_spans", 2, spans.map(|&place| place.into()).collect());
        let words = all().flat_map(|t| &t.words);
        add("token_words", 1, words.map(|word| word.map_or(-1, i64::from)).collect());
        add("token_offsets", 1, offsets(|ready| ready.tokens.len()));
    }
    if words {
        let all = || ready.iter().flat_map(|ready| &ready.words);
        add("word_spans", 2, all().flat_map(|w| [w.start.into(), w.end.into()]).collect());
        let tokens = all().flat_map(|w| [w.tokens.start as i64, w.tokens.end as i64]);
        add("word_tokens", 2, tokens.collect());
        add("word_offsets", 1, offsets(|ready| ready.words.len()));
    }
    extras
}

fn as_arrow(
    names: &[String],
    outcome: &Outcome,
    tokens: bool,
    words: bool,
) -> Result<Vec<u8>, ApiError> {
    let ready = || outcome.ready.iter();
    let tokens = tokens.then(|| ready().map(|r| token_infos(&r.tokens)).collect::<Vec<_>>());
    let list = |r: &Arc<PreparedText>| r.words.iter().cloned().map(word_info).collect();
    let words = words.then(|| ready().map(list).collect::<Vec<Vec<_>>>());
    let texts = output::TextDetails { tokens: tokens.as_deref(), words: words.as_deref() };
    Ok(output::arrow_stream(&plain(names), &outcome.results, texts)?)
}

/// The answer in JSON, each token and each number made as it is written.
fn as_json(
    out: &mut dyn Write,
    model: &str,
    names: &[String],
    outcome: &Outcome,
    tokens: bool,
    words: bool,
) -> io::Result<()> {
    let head = json!({
        "model": model, "usage": { "total_tokens": outcome.tokens },
        "truncated": outcome.truncated.0, "tokens_lost": outcome.truncated.1,
    });
    open(out, &head)?;
    out.write_all(b",\"texts\":[")?;
    for (index, ready) in outcome.ready.iter().enumerate() {
        let t = &ready.tokens;
        out.write_all(if index == 0 { b"" } else { b"," })?;
        open(out, &json!({ "index": index, "text_tokens": t.len(), "tokens_lost": t.lost }))?;
        if tokens {
            let token = |i: usize| {
                let ([start, end], word) = (t.spans[i], t.words[i]);
                json!({ "text": t.pieces[i], "id": t.ids[i], "start": start, "end": end, "word": word })
            };
            list(out, "tokens", (0..t.len()).map(token))?;
        }
        if words {
            let word = |w: &crate::text::Word| {
                json!({
                    "text": w.text, "start": w.start, "end": w.end,
                    "tokens": [w.tokens.start, w.tokens.end],
                })
            };
            list(out, "words", ready.words.iter().map(word))?;
        }
        out.write_all(b"}")?;
    }
    out.write_all(b"],\"outputs\":[")?;
    for (i, (name, result)) in names.iter().zip(&outcome.results).enumerate() {
        out.write_all(if i == 0 { b"" } else { b"," })?;
        open(out, &json!({ "name": name }))?;
        out.write_all(b",")?;
        output::json::write_fields(result, out).map_err(io::Error::other)?;
    }
    out.write_all(b"]}")
}

/// An object without its end, for more fields to follow.
fn open(out: &mut dyn Write, object: &Value) -> io::Result<()> {
    let text = object.to_string();
    out.write_all(text.strip_suffix('}').unwrap_or(&text).as_bytes())
}

/// A field more, which is a list.
fn list(out: &mut dyn Write, name: &str, items: impl Iterator<Item = Value>) -> io::Result<()> {
    write!(out, ",\"{name}\":[")?;
    for (i, item) in items.enumerate() {
        out.write_all(if i == 0 { b"" } else { b"," })?;
        serde_json::to_writer(&mut *out, &item)?;
    }
    out.write_all(b"]")
}
