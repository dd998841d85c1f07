//! OpenAI's routes: `POST /v1/embeddings`, `GET /v1/models`.

mod document;

use std::io::Write;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub use document::DIALECT;

use super::accept::JSON;
use super::answer::{Answer, of_json, parse, with_times};
use super::body::{Count, Items, Word, not_one_of};
use super::inputs::{Inputs, checked};
use super::stream::written;
use crate::capture::Capture;
use crate::embeddings::Embeddings;
use crate::quote::quote;
use crate::server::core::bodies::Caller;
use crate::server::core::error::{ApiError, ErrorCode};
use crate::server::core::reading::{Reading, Truncation, some};
use crate::server::core::service::{Hosted, Service};

/// As OpenAI, which refuses a field that it does not know.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    input: Items<Inputs>,
    model: Option<String>,
    encoding_format: Option<Word<Encoding>>,
    dimensions: Option<Count>,
    /// Whose request it is changes nothing here.
    #[serde(rename = "user")]
    _user: Option<String>,
}

#[derive(Default, Clone, Copy)]
enum Encoding {
    #[default]
    Float,
    Base64,
}

impl FromStr for Encoding {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "float" => Ok(Self::Float),
            "base64" => Ok(Self::Base64),
            _ => Err(not_one_of(text, &["float", "base64"])),
        }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Vector<'a> {
    Float(&'a [f32]),
    Base64(String),
}

/// `POST /v1/embeddings`
pub async fn embeddings(
    service: &Service,
    caller: Caller,
    body: Bytes,
) -> Result<Answer, ApiError> {
    let body: Body = parse(body).await?;
    let model = service.model(body.model.as_deref())?;
    let dims = body.dimensions.map(|n| n.0);
    let capture =
        checked(model, Capture { dims, ..Capture::default() }, "dimensions", "dimensions")?;
    let encoding = body.encoding_format.map_or(Encoding::default(), |word| word.0);
    let truncation =
        if service.settings.auto_truncate { Truncation::Model } else { Truncation::Refuse };
    let reading = Reading { truncation, ..Reading::default() };
    let inputs = some(body.input.0.into_vec(), "input")?;
    let outcome = service.embed(caller, model, inputs, reading, vec![capture], false).await?;
    let outcome = Arc::new(outcome);
    let (shared, model) = (Arc::clone(&outcome), model.name.clone());
    let write = move |out: &mut dyn Write| {
        let usage = json!({ "prompt_tokens": shared.tokens, "total_tokens": shared.tokens });
        let data = Data(&shared.results[0], encoding);
        Ok(serde_json::to_writer(out, &Reply { object: "list", data, model: &model, usage })?)
    };
    Ok(with_times(written(outcome.bytes(), JSON, write).await?, &outcome))
}

#[derive(Serialize)]
struct Reply<'a> {
    object: &'static str,
    data: Data<'a>,
    model: &'a str,
    usage: serde_json::Value,
}

/// The vectors of the texts, each made as it is written.
struct Data<'a>(&'a Embeddings, Encoding);

#[derive(Serialize)]
struct Datum<'a> {
    object: &'static str,
    index: usize,
    embedding: Vector<'a>,
}

impl Serialize for Data<'_> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self(result, encoding) = self;
        let vectors = result.vectors().map_err(serde::ser::Error::custom)?;
        to.collect_seq(vectors.into_iter().enumerate().map(|(index, vector)| {
            let embedding = match encoding {
                Encoding::Float => Vector::Float(vector),
                Encoding::Base64 => {
                    let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
                    Vector::Base64(base64::engine::general_purpose::STANDARD.encode(bytes))
                }
            };
            Datum { object: "embedding", index, embedding }
        }))
    }
}

fn card(model: &Hosted) -> serde_json::Value {
    json!({ "id": model.name, "object": "model", "created": 0, "owned_by": "everylayer" })
}

/// `GET /v1/models`
pub fn models(service: &Service) -> Answer {
    let data: Vec<_> = service.models.iter().map(card).collect();
    of_json(&json!({ "object": "list", "data": data }))
}

/// `GET /v1/models/NAME`
pub fn model(service: &Service, name: &str) -> Result<Answer, ApiError> {
    let found = service.models.iter().find(|m| m.name == name || m.id == name);
    let none = || {
        ApiError::new(ErrorCode::NotFound, format!("model `{}` is not served here", quote(name)))
    };
    found.map(|m| of_json(&card(m))).ok_or_else(none)
}
