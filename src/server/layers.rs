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
use crate::output::{self, Format};
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
            Form::File(format, kind) => of_bytes(as_file(format, &names, &outcome)?, kind),
            Form::Arrow => {
                let bytes = output::arrow_stream(&arrow_names(&names), &outcome.results)?;
                of_bytes(bytes, ARROW)
            }
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

/// A single output that was given no name has plain columns.
fn arrow_names(names: &[String]) -> Vec<Option<&str>> {
    match names {
        [name] if name == "0" => vec![None],
        _ => names.iter().map(|name| Some(name.as_str())).collect(),
    }
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

/// One file for all outputs: with several, or a named one, arrays are called `NAME.vectors` and so on.
fn as_file(format: Format, names: &[String], outcome: &Outcome) -> Result<Vec<u8>, Refusal> {
    if let ([result], Some("0")) = (&outcome.results[..], names.first().map(String::as_str)) {
        return Ok(written(format, result)?);
    }
    output::join(format, names, &outcome.results).map_err(Refusal::from)
}
