//! `POST /encode`, `GET /status/server`, `GET /status/client`.

use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Sequences, compute, show_config};
use crate::server::batcher::Client;
use crate::server::body::Items;
use crate::server::http::{Answer, aside, of_json, parse};
use crate::server::refusal::{Refusal, Why};
use crate::server::service::Service;

#[derive(Deserialize)]
struct EncodeBody {
    #[serde(default)]
    id: Value,
    texts: Items<Sequences>,
    is_tokenized: Option<bool>,
}

/// `POST /encode`
pub async fn encode(service: &Service, client: Client, body: Bytes) -> Result<Answer, Refusal> {
    let EncodeBody { id, texts: Items(texts), is_tokenized } = parse(body).await?;
    if texts.is_empty() {
        return Err(Refusal::new(Why::Empty, "the list is empty").at("texts"));
    }
    let is_list = matches!(&texts, Sequences::Tokens(_));
    if is_tokenized.is_some_and(|said| said != is_list) {
        let said = "it says otherwise than `texts`: send lists of tokens, or strings";
        return Err(Refusal::new(Why::Malformed, said).at("is_tokenized"));
    }
    service.statistic.see(&client.to_le_bytes(), Some(texts.len()));
    let array = compute(service, client, &service.models[0], &service.bert, texts).await?;
    let bytes = 4 * array.values.len();
    let write = move || {
        let result = nested(&array.values, &array.shape);
        let mut answer = json!({ "id": id, "result": result, "results": result, "status": 200 });
        if let Some(tokens) = &array.tokens {
            answer["tokens"] = json!(tokens);
        }
        of_json(&answer)
    };
    aside(bytes, write).await
}

fn nested(values: &[f32], shape: &[usize]) -> Value {
    match shape {
        [] | [_] => json!(values),
        [_, rest @ ..] => {
            let each: usize = rest.iter().product::<usize>().max(1);
            values.chunks(each).map(|part| nested(part, rest)).collect()
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
