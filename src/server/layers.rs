//! `POST /v1/layers`: any number of outputs, each with its layers and pooling, of one forward pass.

use std::io::Cursor;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::batcher::{Client, Ready};
use super::http::{Answer, aside, of_bytes, parse};
use super::reading::{Cut, Input, Reading};
use super::refusal::{Refusal, Why};
use super::service::{Outcome, Service};
use super::tei::{named_prompt, with_times};
use crate::capture::{Capture, Overflow};
use crate::embeddings::Embeddings;
use crate::encoder::{token_infos, word_info};
use crate::output::{self, Extra, Format};
use crate::text::Text;

/// Outputs of one request at most.
const MOST_OUTPUTS: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    #[serde(alias = "texts", alias = "inputs")]
    input: Texts,
    model: Option<String>,
    #[serde(default)]
    outputs: Vec<Output>,
    max_tokens: Option<usize>,
    #[serde(default)]
    overflow: Option<String>,
    prompt: Option<String>,
    prompt_name: Option<String>,
    #[serde(default)]
    tokens: bool,
    #[serde(default)]
    words: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Texts {
    // First: a list of two strings is two texts, a list in a list a pair.
    Many(Vec<One>),
    One(One),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum One {
    Text(String),
    Pair { text: String, text_pair: Option<String> },
    Two([String; 2]),
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Output {
    name: Option<String>,
    #[serde(default)]
    layers: Value,
    combine: Option<String>,
    pool: Option<String>,
    normalize: Option<bool>,
    #[serde(alias = "dimensions")]
    dims: Option<usize>,
    precision: Option<String>,
}

impl Output {
    fn capture(&self) -> Result<Capture, Refusal> {
        let mut capture =
            Capture { normalize: self.normalize, dims: self.dims, ..Capture::default() };
        let layers = match &self.layers {
            Value::Null => None,
            Value::String(spec) => Some(spec.clone()),
            Value::Number(one) => Some(one.to_string()),
            Value::Array(all) => {
                Some(all.iter().map(Value::to_string).collect::<Vec<_>>().join(","))
            }
            _ => {
                let said =
                    "`layers` is a string such as \"-4..-1\", a number, or a list of numbers";
                return Err(Refusal::new(Why::Validation, said));
            }
        };
        if let Some(spec) = layers {
            capture.layers = spec.parse()?;
        }
        if let Some(combine) = &self.combine {
            capture.combine = combine.parse()?;
        }
        if let Some(pool) = &self.pool {
            capture.pool = pool.parse()?;
        }
        if let Some(precision) = &self.precision {
            capture.precision = precision.parse()?;
        }
        Ok(capture)
    }
}

/// `POST /v1/layers`; `accept` names the form of the answer.
pub async fn layers(
    service: &Service,
    client: Client,
    body: Bytes,
    accept: Option<&str>,
) -> Result<Answer, Refusal> {
    let body: Body = parse(body).await?;
    let form = Form::of(accept);
    let model = service.model(body.model.as_deref())?;
    let outputs = if body.outputs.is_empty() { vec![Output::default()] } else { body.outputs };
    if outputs.len() > MOST_OUTPUTS {
        let said =
            format!("{} outputs are more than the {MOST_OUTPUTS} of one request", outputs.len());
        return Err(Refusal::new(Why::TooLarge, said));
    }
    let names = names(&outputs)?;
    let at = |(output, name): (&Output, &String)| {
        let named = |r: Refusal| Refusal::new(r.why, format!("output `{name}`: {}", r.message));
        output.capture().map_err(named)
    };
    let captures = outputs.iter().zip(&names).map(at).collect::<Result<Vec<_>, _>>()?;
    let cut = match body.overflow.as_deref().map(str::parse::<Overflow>).transpose()? {
        None | Some(Overflow::Truncate) => Cut::Right,
        Some(Overflow::Error) => Cut::Refuse,
        Some(Overflow::Window { stride }) => Cut::Window(stride),
    };
    let prompt = match (&body.prompt, &body.prompt_name) {
        (Some(_), Some(_)) => {
            let said = "`prompt` and `prompt_name` exclude each other: send one";
            return Err(Refusal::new(Why::Validation, said));
        }
        (Some(prompt), None) => Some(prompt.clone()),
        (None, Some(name)) => Some(named_prompt(&model.batcher.encoder(), name)?),
        (None, None) => None,
    };
    let inputs = match body.input {
        Texts::One(one) => vec![one],
        Texts::Many(many) => many,
    };
    let input = |one: One| {
        Input::Text(match one {
            One::Text(text) | One::Pair { text, text_pair: None } => Text::from(text),
            One::Pair { text, text_pair: Some(pair) } | One::Two([text, pair]) => {
                (text, pair).into()
            }
        })
    };
    let inputs = inputs.into_iter().map(input).collect();
    let reading = Reading { prompt, max_tokens: body.max_tokens, cut };
    let keep = body.tokens || body.words;
    let outcome = service.embed(client, model, inputs, reading, captures, keep).await?;
    let bytes = outcome.bytes();
    let (model, tokens, words) = (model.name.clone(), body.tokens, body.words);
    let write = move || -> Result<Answer, Refusal> {
        let answer = match form {
            Form::Json => as_json(&model, &names, &outcome, tokens, words)?,
            Form::File(format, kind) => {
                let extras = extras(&outcome.ready, tokens, words);
                let bytes = output::join(format, &plain(&names), &outcome.results, &extras)?;
                of_bytes(bytes, kind)
            }
            Form::Arrow => of_bytes(as_arrow(&names, &outcome, tokens, words)?, ARROW),
        };
        Ok(with_times(answer, &outcome))
    };
    aside(bytes, write).await?
}

/// The names of the outputs: their own, else their number.
fn names(outputs: &[Output]) -> Result<Vec<String>, Refusal> {
    let name = |(i, o): (usize, &Output)| o.name.clone().unwrap_or_else(|| i.to_string());
    let names: Vec<String> = outputs.iter().enumerate().map(name).collect();
    for (i, name) in names.iter().enumerate() {
        let plain = |c: char| c.is_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.len() > 64 || !name.chars().all(plain) || name.starts_with('.') {
            let said =
                format!("the name of output {i} is not 1 to 64 letters, digits, `-`, `_`, `.`");
            return Err(Refusal::new(Why::Validation, said));
        }
        if names[..i].contains(name) {
            let said = format!("two outputs are named `{name}`");
            return Err(Refusal::new(Why::Validation, said));
        }
    }
    Ok(names)
}

/// In what form a client wants its answer.
enum Form {
    Json,
    File(Format, &'static str),
    Arrow,
}

/// The media type of an Arrow IPC stream.
const ARROW: &str = "application/vnd.apache.arrow.stream";

impl Form {
    fn of(accept: Option<&str>) -> Self {
        for kind in accept.unwrap_or_default().split(',') {
            match kind.split(';').next().unwrap_or_default().trim() {
                "application/vnd.safetensors"
                | "application/x-safetensors"
                | "application/safetensors" => {
                    return Self::File(Format::Safetensors, "application/vnd.safetensors");
                }
                "application/x-npz" | "application/npz" => {
                    return Self::File(Format::Npz, "application/x-npz");
                }
                ARROW => return Self::Arrow,
                "application/json" => return Self::Json,
                _ => {}
            }
        }
        Self::Json
    }
}

/// The names as files have them: a single output that was given none has none.
fn plain(names: &[String]) -> Vec<Option<&str>> {
    match names {
        [name] if name == "0" => vec![None],
        _ => names.iter().map(|name| Some(name.as_str())).collect(),
    }
}

/// Tokens and words of all texts as arrays, where they are asked for. `token_offsets` says where
/// the tokens of each text begin, and -1 that a token is of no word.
fn extras(ready: &[Ready], tokens: bool, words: bool) -> Vec<Extra> {
    let mut extras = Vec::new();
    let mut add = |name, columns: usize, values: Vec<i64>| {
        let rows = values.len() / columns;
        let shape = if columns == 1 { vec![rows] } else { vec![rows, columns] };
        extras.push(Extra { name, shape, values });
    };
    let offsets = |count: fn(&Ready) -> usize| {
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
) -> Result<Vec<u8>, Refusal> {
    let ready = || outcome.ready.iter();
    let tokens = tokens.then(|| ready().map(|r| token_infos(&r.tokens)).collect::<Vec<_>>());
    let list = |r: &Ready| r.words.iter().cloned().map(word_info).collect();
    let words = words.then(|| ready().map(list).collect::<Vec<Vec<_>>>());
    let texts = output::Texts { tokens: tokens.as_deref(), words: words.as_deref() };
    Ok(output::arrow_stream(&plain(names), &outcome.results, texts)?)
}

fn written(format: Format, result: &Embeddings) -> crate::Result<Vec<u8>> {
    let mut sink = output::start(format, Cursor::new(Vec::new()), result.header())?;
    result.texts.iter().try_for_each(|text| sink.push(text.clone()))?;
    Ok(sink.finish()?.into_inner())
}

fn as_json(
    model: &str,
    names: &[String],
    outcome: &Outcome,
    tokens: bool,
    words: bool,
) -> Result<Answer, Refusal> {
    let text = |(index, ready): (usize, &Ready)| {
        let t = &ready.tokens;
        let mut one = json!({ "index": index, "text_tokens": t.len(), "tokens_lost": t.lost });
        if tokens {
            let token = |i: usize| {
                let ([start, end], word) = (t.spans[i], t.words[i]);
                json!({ "text": t.pieces[i], "id": t.ids[i], "start": start, "end": end, "word": word })
            };
            one["tokens"] = (0..t.len()).map(token).collect();
        }
        if words {
            let word = |w: &crate::text::Word| {
                json!({
                    "text": w.text, "start": w.start, "end": w.end,
                    "tokens": [w.tokens.start, w.tokens.end],
                })
            };
            one["words"] = ready.words.iter().map(word).collect();
        }
        one
    };
    let texts: Vec<Value> = outcome.ready.iter().enumerate().map(text).collect();
    let head = json!({
        "model": model, "usage": { "total_tokens": outcome.tokens },
        "truncated": outcome.truncated.0, "tokens_lost": outcome.truncated.1, "texts": texts,
    });
    let mut bytes = head.to_string().into_bytes();
    bytes.pop();
    bytes.extend(b",\"outputs\":[");
    for (i, (name, result)) in names.iter().zip(&outcome.results).enumerate() {
        bytes.extend(if i == 0 { &b"{\"name\":"[..] } else { b",{\"name\":" });
        bytes.extend(Value::from(name.as_str()).to_string().into_bytes());
        bytes.push(b',');
        bytes.extend(&written(Format::Json, result)?[1..]);
    }
    bytes.extend(b"]}");
    Ok(of_bytes(bytes, "application/json"))
}
