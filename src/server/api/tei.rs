//! The routes of Text Embeddings Inference: its fields, defaults, errors and headers.

mod document;
mod tokens;

use std::io::Write;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;

use super::accept::JSON;
use super::answer::{Answer, of_json, parse, with_times};
use super::body::{Count, Items, List, Object, Word, not_one_of};
use super::inputs::{Inputs, checked, named_prompt};
use super::stream::written;
use crate::capture::{Capture, Pool};
use crate::server::core::bodies::Caller;
use crate::server::core::error::{ApiError, ErrorCode};
use crate::server::core::reading::{Input, Reading, Truncation, some};
use crate::server::core::service::{Hosted, Service};

#[derive(Clone, Copy)]
enum Direction {
    Left,
    Right,
}

impl FromStr for Direction {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "left" | "Left" => Ok(Self::Left),
            "right" | "Right" => Ok(Self::Right),
            _ => Err(not_one_of(text, &["left", "right"])),
        }
    }
}

pub use document::DIALECT;
use tokens::{decode, tokenize};

/// What all routes say of their texts. Fields that are not known are passed over, as in the original.
#[derive(Deserialize, Default)]
struct How {
    truncate: Option<bool>,
    truncation_direction: Option<Word<Direction>>,
    prompt_name: Option<String>,
    model: Option<String>,
}

impl How {
    fn reading(&self, service: &Service, model: &Hosted) -> Result<Reading, ApiError> {
        let truncation = match self.truncate.unwrap_or(service.settings.auto_truncate) {
            false => Truncation::Refuse,
            true => match self.truncation_direction.as_ref().map(|word| word.0) {
                None => Truncation::Model,
                Some(Direction::Left) => Truncation::Left,
                Some(Direction::Right) => Truncation::Right,
            },
        };
        let prompt = self.prompt_name.as_deref();
        let prompt = prompt.map(|name| named_prompt(&model.batcher.encoder(), name)).transpose()?;
        Ok(Reading { prompt, max_tokens: None, truncation })
    }
}

#[derive(Deserialize)]
struct EmbedBody {
    inputs: Items<Inputs>,
    normalize: Option<bool>,
    dimensions: Option<Count>,
    truncate: Option<bool>,
    truncation_direction: Option<Word<Direction>>,
    prompt_name: Option<String>,
    model: Option<String>,
}

impl EmbedBody {
    /// The texts, what of them, and how they are read.
    fn split(self) -> (Inputs, Capture, How) {
        let Self { truncate, truncation_direction, prompt_name, model, .. } = self;
        let normalize = Some(self.normalize.unwrap_or(true));
        let dims = self.dimensions.map(|n| n.0);
        let capture = Capture { normalize, dims, ..Capture::default() };
        (self.inputs.0, capture, How { truncate, truncation_direction, prompt_name, model })
    }
}

/// `POST /embed`
pub async fn embed(service: &Service, caller: Caller, body: Bytes) -> Result<Answer, ApiError> {
    let (inputs, capture, how) = parse::<EmbedBody>(body).await?.split();
    let model = service.model(how.model.as_deref())?;
    let capture = checked(model, capture, "dimensions", "dimensions")?;
    let reading = how.reading(service, model)?;
    let inputs = non_empty(inputs, "inputs")?;
    let outcome = service.embed(caller, model, inputs, reading, vec![capture], false).await?;
    let outcome = Arc::new(outcome);
    let shared = Arc::clone(&outcome);
    let write = move |out: &mut dyn Write| {
        let result = &shared.results[0];
        let rows = result.vectors().map_err(std::io::Error::other)?;
        Ok(serde_json::to_writer(out, &rows)?)
    };
    Ok(with_times(written(outcome.bytes(), JSON, write).await?, &outcome))
}

/// `POST /embed_all`
pub async fn embed_all(service: &Service, caller: Caller, body: Bytes) -> Result<Answer, ApiError> {
    let (inputs, _, how) = parse::<EmbedBody>(body).await?.split();
    let model = service.model(how.model.as_deref())?;
    let capture = Capture::default().pool(Pool::Tokens);
    let reading = how.reading(service, model)?;
    let inputs = non_empty(inputs, "inputs")?;
    let outcome = service.embed(caller, model, inputs, reading, vec![capture], false).await?;
    let outcome = Arc::new(outcome);
    let shared = Arc::clone(&outcome);
    let write = move |out: &mut dyn Write| {
        let result = &shared.results[0];
        let texts: Vec<Vec<_>> = (0..result.texts.len())
            .map(|i| (0..result.texts[i].rows).map(|row| result.row(i, row)).collect())
            .collect::<crate::Result<_>>()
            .map_err(std::io::Error::other)?;
        Ok(serde_json::to_writer(out, &texts)?)
    };
    Ok(with_times(written(outcome.bytes(), JSON, write).await?, &outcome))
}

/// Text Embeddings Inference refuses an empty text.
fn non_empty(inputs: Inputs, field: &str) -> Result<Vec<Input>, ApiError> {
    let inputs = some(inputs.into_vec(), field)?;
    let is_empty = |input: &Input| match input {
        Input::Text(text) => text.text.is_empty(),
        Input::Ids(ids) => ids.is_empty(),
    };
    match inputs.iter().position(is_empty) {
        Some(0) if inputs.len() == 1 => {
            Err(ApiError::new(ErrorCode::Empty, "the text is empty").at(field))
        }
        Some(i) => {
            Err(ApiError::new(ErrorCode::Empty, "the text is empty").at(format!("{field}[{i}]")))
        }
        None => Ok(inputs),
    }
}

#[derive(Deserialize)]
struct SimilarityBody {
    inputs: Object<Sentences>,
    parameters: Option<Object<How>>,
}

#[derive(Deserialize)]
struct Sentences {
    source_sentence: String,
    sentences: List<String>,
}

/// `POST /similarity`
pub async fn similarity(
    service: &Service,
    caller: Caller,
    body: Bytes,
) -> Result<Answer, ApiError> {
    let body: SimilarityBody = parse(body).await?;
    let how = body.parameters.map_or_else(How::default, |object| object.0);
    let model = service.model(how.model.as_deref())?;
    let reading = how.reading(service, model)?;
    let Object(Sentences { source_sentence, sentences: List(sentences) }) = body.inputs;
    let source = Inputs::Texts(vec![source_sentence]);
    let mut inputs = non_empty(source, "inputs.source_sentence")?;
    inputs.extend(non_empty(Inputs::Texts(sentences), "inputs.sentences")?);
    let capture = Capture::default().normalize(true);
    let outcome = service.embed(caller, model, inputs, reading, vec![capture], false).await?;
    let result = &outcome.results[0];
    let vectors = result.vectors()?;
    let (source, others) = vectors.split_first().map_or((&[][..], &[][..]), |(s, o)| (*s, o));
    let dot = |b: &[f32]| -> f32 {
        source.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>() as f32
    };
    let scores: Vec<f32> = others.iter().map(|other| dot(other)).collect();
    Ok(with_times(of_json(&scores), &outcome))
}

/// The routes of models with another head than an embedding's.
pub fn other_head(path: &str) -> ApiError {
    let said = format!("{path} is not for an embedding model: use /embed or /v1/layers");
    ApiError::new(ErrorCode::Backend, said)
}
