//! `POST /encode`, `GET /status/server`, `GET /status/client`.

use std::io::Write;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

use super::{Sequences, compute, show_config};
use crate::server::api::accept::JSON;
use crate::server::api::answer::{Answer, of_json, parse};
use crate::server::api::body::Items;
use crate::server::api::stream::written;
use crate::server::core::bodies::Caller;
use crate::server::core::error::{ApiError, ErrorCode};
use crate::server::core::service::Service;

#[derive(Deserialize)]
struct EncodeBody {
    #[serde(default)]
    id: Value,
    texts: Items<Sequences>,
    is_tokenized: Option<bool>,
}

/// `POST /encode`
pub async fn encode(service: &Service, caller: Caller, body: Bytes) -> Result<Answer, ApiError> {
    let EncodeBody { id, texts: Items(texts), is_tokenized } = parse(body).await?;
    if texts.is_empty() {
        return Err(ApiError::new(ErrorCode::Empty, "the list is empty").at("texts"));
    }
    let is_list = matches!(&texts, Sequences::Tokens(_));
    if is_tokenized.is_some_and(|said| said != is_list) {
        let said = "it does not match `texts`: send lists of tokens, or strings";
        return Err(ApiError::new(ErrorCode::Malformed, said).at("is_tokenized"));
    }
    service.statistic.see(&caller.client.to_le_bytes(), Some(texts.len()));
    let array = compute(service, caller, &service.models[0], &service.bert, texts).await?;
    let bytes = 4 * array.values.len();
    let write = move |out: &mut dyn Write| {
        let result = Nested(&array.values, &array.shape);
        let tokens = array.tokens.as_deref();
        let encoded = Encoded { id, result, results: result, status: 200, tokens };
        Ok(serde_json::to_writer(out, &encoded)?)
    };
    written(bytes, JSON, write).await
}

#[derive(Serialize)]
struct Encoded<'a> {
    id: Value,
    result: Nested<'a>,
    results: Nested<'a>,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<&'a [Vec<String>]>,
}

/// Numbers as lists of a shape.
#[derive(Clone, Copy)]
struct Nested<'a>(&'a [f32], &'a [usize]);

impl Serialize for Nested<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.1 {
            // In the digits of f64, as Python has them.
            [] | [_] => to.collect_seq(self.0.iter().map(|&number| f64::from(number))),
            [_, rest @ ..] => {
                let each: usize = rest.iter().product::<usize>().max(1);
                to.collect_seq(self.0.chunks(each).map(|part| Nested(part, rest)))
            }
        }
    }
}

/// `GET /status/server`
pub fn status_server(service: &Service) -> Answer {
    let mut all = show_config(service, &service.bert, "http", ["", "", ""]);
    all.insert("statistic".into(), service.statistic.json());
    all.insert("status".into(), json!(200));
    of_json(&all)
}

/// `GET /status/client`
pub fn status_client(service: &Service) -> Answer {
    let seen = service.statistic.json();
    of_json(&json!({
        "identity": "http",
        "num_request": seen["num_data_request"],
        "num_response": seen["num_data_request"],
        "num_pending_request": service.under_way.load(Relaxed),
        "num_pending_response": 0,
        "output_fmt": "list",
        "status": 200,
    }))
}
