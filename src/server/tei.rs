//! The routes of Text Embeddings Inference: its fields, defaults, errors and headers.

use std::time::Duration;

use bytes::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use super::batcher::Client;
use super::http::{Answer, aside, of_json, parse};
use super::openai::Inputs;
use super::reading::{Cut, Input, Reading};
use super::refusal::{Refusal, Why};
use super::service::{Hosted, Outcome, Service};
use crate::capture::{Capture, Pool};
use crate::encoder::Encoder;
use crate::text::Text;

#[derive(Deserialize, Clone, Copy, Default)]
enum Direction {
    #[serde(alias = "left")]
    Left,
    #[default]
    #[serde(alias = "right")]
    Right,
}

/// What all routes say of their texts.
#[derive(Deserialize, Default)]
struct How {
    truncate: Option<bool>,
    truncation_direction: Option<Direction>,
    prompt_name: Option<String>,
    model: Option<String>,
}

impl How {
    fn reading(&self, service: &Service, model: &Hosted) -> Result<Reading, Refusal> {
        let cut = match self.truncate.unwrap_or(service.settings.auto_truncate) {
            false => Cut::Refuse,
            true => match self.truncation_direction.unwrap_or_default() {
                Direction::Left => Cut::Left,
                Direction::Right => Cut::Right,
            },
        };
        let prompt = self.prompt_name.as_deref();
        let prompt = prompt.map(|name| named_prompt(&model.batcher.encoder(), name)).transpose()?;
        Ok(Reading { prompt, max_tokens: None, cut })
    }
}

/// The model's prompt of this name.
pub fn named_prompt(encoder: &Encoder, name: &str) -> Result<String, Refusal> {
    let prompts = &encoder.pipeline().prompts;
    prompts.get(name).cloned().ok_or_else(|| {
        let known: Vec<&str> = prompts.keys().map(String::as_str).collect();
        let known = if known.is_empty() { "it has none".to_owned() } else { known.join(", ") };
        let shown: String = name.chars().take(100).collect();
        Refusal::new(Why::Validation, format!("the model has no prompt named `{shown}`: {known}"))
    })
}

/// The answer with what it took, in the headers of Text Embeddings Inference.
pub fn with_times(mut answer: Answer, outcome: &Outcome) -> Answer {
    let times = outcome.times;
    let whole = times.tokenization + times.queue + times.inference;
    let ms = |time: Duration| time.as_millis() as u64;
    let headers = answer.headers_mut();
    for (name, value) in [
        ("x-compute-time", ms(whole)),
        ("x-compute-characters", outcome.characters as u64),
        ("x-compute-tokens", outcome.tokens as u64),
        ("x-tokenization-time", ms(times.tokenization)),
        ("x-queue-time", ms(times.queue)),
        ("x-inference-time", ms(times.inference)),
        ("x-truncated-texts", outcome.truncated.0 as u64),
        ("x-truncated-tokens", outcome.truncated.1 as u64),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
    }
    let device = outcome.results.first().map_or("cpu", |r| {
        match r.device.to_ascii_lowercase().starts_with("cpu") {
            true => "cpu",
            false => "gpu",
        }
    });
    headers.insert(HeaderName::from_static("x-compute-type"), HeaderValue::from_static(device));
    answer
}

#[derive(Deserialize)]
struct EmbedBody {
    inputs: Inputs,
    normalize: Option<bool>,
    dimensions: Option<usize>,
    #[serde(flatten)]
    how: How,
}

/// `POST /embed`
pub async fn embed(service: &Service, client: Client, body: Bytes) -> Result<Answer, Refusal> {
    let body: EmbedBody = parse(body).await?;
    let model = service.model(body.how.model.as_deref())?;
    let normalize = Some(body.normalize.unwrap_or(true));
    let capture = Capture { normalize, dims: body.dimensions, ..Capture::default() };
    let reading = body.how.reading(service, model)?;
    let inputs = non_empty(body.inputs)?;
    let outcome = service.embed(client, model, inputs, reading, vec![capture], false).await?;
    let bytes = outcome.bytes();
    let write = move || {
        let result = &outcome.results[0];
        let rows: Vec<_> = (0..result.texts.len()).filter_map(|i| result.vector(i, 0, 0)).collect();
        with_times(of_json(&rows), &outcome)
    };
    aside(bytes, write).await
}

/// `POST /embed_all`
pub async fn embed_all(service: &Service, client: Client, body: Bytes) -> Result<Answer, Refusal> {
    let body: EmbedBody = parse(body).await?;
    let model = service.model(body.how.model.as_deref())?;
    let capture = Capture::default().pool(Pool::Tokens);
    let reading = body.how.reading(service, model)?;
    let inputs = non_empty(body.inputs)?;
    let outcome = service.embed(client, model, inputs, reading, vec![capture], false).await?;
    let bytes = outcome.bytes();
    let write = move || {
        let result = &outcome.results[0];
        let rows = |i: usize| (0..result.texts[i].rows).filter_map(move |r| result.vector(i, 0, r));
        let texts: Vec<Vec<_>> = (0..result.texts.len()).map(|i| rows(i).collect()).collect();
        with_times(of_json(&texts), &outcome)
    };
    aside(bytes, write).await
}

/// Text Embeddings Inference refuses an empty text.
fn non_empty(inputs: Inputs) -> Result<Vec<Input>, Refusal> {
    let inputs = inputs.into_vec();
    let is_empty = |input: &Input| match input {
        Input::Text(text) => text.text.is_empty(),
        Input::Ids(ids) => ids.is_empty(),
    };
    match inputs.iter().any(is_empty) || inputs.is_empty() {
        true => Err(Refusal::new(Why::Empty, "`inputs` cannot be empty")),
        false => Ok(inputs),
    }
}

#[derive(Deserialize)]
struct SimilarityBody {
    inputs: Sentences,
    #[serde(default)]
    parameters: How,
}

#[derive(Deserialize)]
struct Sentences {
    source_sentence: String,
    sentences: Vec<String>,
}

/// `POST /similarity`
pub async fn similarity(service: &Service, client: Client, body: Bytes) -> Result<Answer, Refusal> {
    let body: SimilarityBody = parse(body).await?;
    let model = service.model(body.parameters.model.as_deref())?;
    let reading = body.parameters.reading(service, model)?;
    let Sentences { source_sentence, mut sentences } = body.inputs;
    if sentences.is_empty() {
        return Err(Refusal::new(Why::Empty, "`inputs.sentences` cannot be empty"));
    }
    sentences.insert(0, source_sentence);
    let inputs = non_empty(Inputs::Texts(sentences))?;
    let capture = Capture::default().normalize(true);
    let outcome = service.embed(client, model, inputs, reading, vec![capture], false).await?;
    let result = &outcome.results[0];
    let source = result.vector(0, 0, 0).unwrap_or_default();
    let dot = |b: &[f32]| -> f32 {
        source.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>() as f32
    };
    let scores: Vec<f32> =
        (1..result.texts.len()).filter_map(|i| result.vector(i, 0, 0)).map(dot).collect();
    Ok(with_times(of_json(&scores), &outcome))
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Texts {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
struct TokenizeBody {
    inputs: Texts,
    #[serde(default = "yes")]
    add_special_tokens: bool,
    prompt_name: Option<String>,
    model: Option<String>,
}

fn yes() -> bool {
    true
}

#[derive(Serialize)]
struct Token {
    id: u32,
    text: String,
    special: bool,
    start: Option<u32>,
    stop: Option<u32>,
}

/// `POST /tokenize`
pub async fn tokenize(service: &Service, _: Client, body: Bytes) -> Result<Answer, Refusal> {
    let body: TokenizeBody = parse(body).await?;
    let encoder = service.model(body.model.as_deref())?.batcher.encoder();
    let prompt = body.prompt_name.as_deref().map(|n| named_prompt(&encoder, n)).transpose()?;
    let prompt = prompt.unwrap_or_default();
    let texts = match body.inputs {
        Texts::One(text) => vec![text],
        Texts::Many(texts) => texts,
    };
    if texts.len() > service.settings.max_client_batch {
        let most = service.settings.max_client_batch;
        return Err(Refusal::new(Why::TooLarge, format!("more than {most} texts")));
    }
    let bytes = texts.iter().map(String::len).sum();
    let work = move || -> Result<Answer, Refusal> {
        let one = |text: &String| {
            let text = format!("{prompt}{text}");
            let tokens = encoder.intake().tokenizer().encode_whole(&Text::from(&text))?;
            let characters: Vec<char> = text.chars().collect();
            let shown =
                (0..tokens.len()).filter(|&i| body.add_special_tokens || !tokens.special[i]);
            let token = |i: usize| {
                let ([start, stop], special) = (tokens.spans[i], tokens.special[i]);
                let slice = characters.get(start as usize..stop as usize);
                let text = match (special, slice) {
                    (false, Some(slice)) => slice.iter().collect(),
                    _ => tokens.pieces[i].clone(),
                };
                let place = |at| (!special).then_some(at);
                Token { id: tokens.ids[i], text, special, start: place(start), stop: place(stop) }
            };
            Ok(shown.map(token).collect::<Vec<_>>())
        };
        Ok(of_json(&texts.iter().map(one).collect::<crate::Result<Vec<_>>>()?))
    };
    aside(bytes, work).await?
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Ids {
    One(Vec<u32>),
    Many(Vec<Vec<u32>>),
}

#[derive(Deserialize)]
struct DecodeBody {
    ids: Ids,
    #[serde(default = "yes")]
    skip_special_tokens: bool,
    model: Option<String>,
}

/// `POST /decode`
pub async fn decode(service: &Service, _: Client, body: Bytes) -> Result<Answer, Refusal> {
    let body: DecodeBody = parse(body).await?;
    let encoder = service.model(body.model.as_deref())?.batcher.encoder();
    let all = match body.ids {
        Ids::One(ids) => vec![ids],
        Ids::Many(all) => all,
    };
    let bytes = all.iter().map(Vec::len).sum();
    let work = move || -> Result<Answer, Refusal> {
        let decode =
            |ids: &Vec<u32>| encoder.intake().tokenizer().decode(ids, body.skip_special_tokens);
        Ok(of_json(&all.iter().map(decode).collect::<crate::Result<Vec<_>>>()?))
    };
    aside(bytes, work).await?
}

/// The routes of models with another head than an embedding's.
pub fn other_head(path: &str) -> Refusal {
    let said = format!("{path} is not for an embedding model: use /embed or /v1/layers");
    Refusal::new(Why::Backend, said)
}
