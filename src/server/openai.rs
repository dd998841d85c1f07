//! OpenAI's routes: `POST /v1/embeddings`, `GET /v1/models`.

use base64::Engine;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::batcher::Client;
use super::http::{Answer, aside, of_json, parse};
use super::reading::{Cut, Input, Reading};
use super::refusal::{Refusal, Why};
use super::service::{Outcome, Service};
use super::tei::with_times;
use crate::capture::Capture;

/// One text or several, as words or as rows of the vocabulary.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum Inputs {
    /// A text.
    Text(String),
    /// Texts.
    Texts(Vec<String>),
    /// A text's ids.
    Ids(Vec<u32>),
    /// Ids of texts.
    Many(Vec<Vec<u32>>),
}

impl Inputs {
    /// As the service takes them.
    pub fn into_vec(self) -> Vec<Input> {
        let text = |text: String| Input::Text(text.into());
        match self {
            Self::Text(t) => vec![text(t)],
            Self::Texts(all) => all.into_iter().map(text).collect(),
            Self::Ids(ids) => vec![Input::Ids(ids)],
            Self::Many(all) => all.into_iter().map(Input::Ids).collect(),
        }
    }
}

#[derive(Deserialize)]
struct Body {
    input: Inputs,
    model: Option<String>,
    #[serde(default)]
    encoding_format: Encoding,
    dimensions: Option<usize>,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    #[default]
    Float,
    Base64,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Vector<'a> {
    Float(&'a [f32]),
    Base64(String),
}

/// `POST /v1/embeddings`
pub async fn embeddings(service: &Service, client: Client, body: Bytes) -> Result<Answer, Refusal> {
    let body: Body = parse(body).await?;
    let model = service.model(body.model.as_deref())?;
    let capture = Capture { dims: body.dimensions, ..Capture::default() };
    let cut = if service.settings.auto_truncate { Cut::Right } else { Cut::Refuse };
    let reading = Reading { cut, ..Reading::default() };
    let inputs = body.input.into_vec();
    let outcome = service.embed(client, model, inputs, reading, vec![capture], false).await?;
    let (bytes, model) = (outcome.bytes(), model.name.clone());
    aside(bytes, move || reply(&outcome, &model, body.encoding_format)).await
}

fn reply(outcome: &Outcome, model: &str, encoding: Encoding) -> Answer {
    let result = &outcome.results[0];
    let vectors = (0..result.texts.len()).filter_map(|i| Some((i, result.vector(i, 0, 0)?)));
    let data: Vec<_> = vectors
        .map(|(index, vector)| {
            let embedding = match encoding {
                Encoding::Float => Vector::Float(vector),
                Encoding::Base64 => {
                    let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
                    Vector::Base64(base64::engine::general_purpose::STANDARD.encode(bytes))
                }
            };
            json_item(index, embedding)
        })
        .collect();
    #[derive(Serialize)]
    struct Reply<'a> {
        object: &'static str,
        data: Vec<Datum<'a>>,
        model: &'a str,
        usage: serde_json::Value,
    }
    let usage = json!({ "prompt_tokens": outcome.tokens, "total_tokens": outcome.tokens });
    let answer = of_json(&Reply { object: "list", data, model, usage });
    with_times(answer, outcome)
}

#[derive(Serialize)]
struct Datum<'a> {
    object: &'static str,
    index: usize,
    embedding: Vector<'a>,
}

fn json_item(index: usize, embedding: Vector<'_>) -> Datum<'_> {
    Datum { object: "embedding", index, embedding }
}

fn card(model: &super::service::Hosted) -> serde_json::Value {
    json!({ "id": model.name, "object": "model", "created": 0, "owned_by": "everylayer" })
}

/// `GET /v1/models`
pub fn models(service: &Service) -> Answer {
    let data: Vec<_> = service.models.iter().map(card).collect();
    of_json(&json!({ "object": "list", "data": data }))
}

/// `GET /v1/models/NAME`
pub fn model(service: &Service, name: &str) -> Result<Answer, Refusal> {
    let found = service.models.iter().find(|m| m.name == name || m.id == name);
    let shown: String = name.chars().take(100).collect();
    let none = || Refusal::new(Why::NotFound, format!("model `{shown}` is not served here"));
    found.map(|m| of_json(&card(m))).ok_or_else(none)
}
