//! `/v1/layers`, as the server runs and the OpenAPI document shows it.

use serde_json::{Value, json};

use super::{FORMS, MOST_OUTPUTS};
use crate::error::Setting;
use crate::server::api::dialect::{Call, Dialect, Post, Route};
use crate::server::api::errors::OPENAI;
use crate::server::api::schema::{
    Fields, closed, count, flag, list, maybe, open, place, size, sizes, text, word,
};

/// Ours.
pub static DIALECT: Dialect = Dialect {
    name: "everylayer",
    prefixes: &["/v1/layers"],
    routes: &[Route {
        path: "/v1/layers",
        summary: "Several outputs from one forward pass, each with its own layers and pooling",
        call: Call::Post(Post {
            body: "LayersBody",
            example,
            answer: "Layers",
            kinds: &FORMS,
            has_times: true,
            run: |service, posted| {
                Box::pin(async move {
                    super::layers(&service, posted.caller, posted.body, posted.kind).await
                })
            },
        }),
    }],
    errors: &OPENAI,
    field: |setting| match setting {
        Setting::MaxTokens => Some("max_tokens"),
        Setting::Overflow => Some("overflow"),
        _ => None,
    },
    schemas,
};

fn example() -> Value {
    json!({
        "input": ["Good morning", { "text": "a question", "text_pair": "an answer" }],
        "outputs": [
            { "name": "sentence", "normalize": true, "dims": 8 },
            { "name": "words", "layers": "-4..-1", "combine": "mean", "pool": "words" },
            { "name": "all", "layers": "all", "pool": "cls", "precision": "f16" },
        ],
        "tokens": true, "words": true, "model": null, "max_tokens": 64, "overflow": "truncate",
        "prompt": null, "prompt_name": null,
    })
}

fn schemas(fields: &Fields) -> Vec<(&'static str, Value)> {
    vec![
        ("LayersBody", layers_body(fields)),
        ("Output", output(fields)),
        ("Layers", answer()),
        (
            "Arrays",
            json!({
                "type": "string", "format": "binary",
                "description": "arrays (columns in Arrow): NAME.vectors of shape (texts, layers, \
                                width), or with one row per token or word; token_ids, token_spans, \
                                token_words, token_offsets \
                                under `tokens`, word_spans, word_tokens, word_offsets under `words`",
            }),
        ),
    ]
}

fn answer() -> Value {
    let token = json!({
        "text": text(), "id": size(), "start": size(), "end": size(), "word": place(),
    });
    let token = open(&["text", "id", "start", "end", "word"], token);
    let word = json!({
        "text": text(), "start": size(), "end": size(), "tokens": list(&size()),
    });
    let word = open(&["text", "start", "end", "tokens"], word);
    let texts = json!({
        "index": size(), "text_tokens": size(), "tokens_lost": size(),
        "tokens": list(&token), "words": list(&word),
    });
    let vectors = json!({ "type": "array", "description": "shape (layers, rows, width)" });
    let results = open(&["vectors"], json!({ "vectors": vectors }));
    let output = json!({ "name": text(), "layers": list(&size()), "results": list(&results) });
    open(
        &["model", "usage", "truncated", "tokens_lost", "texts", "outputs"],
        json!({
            "model": text(), "usage": sizes(&["total_tokens"]), "truncated": size(),
            "tokens_lost": size(),
            "texts": list(&open(&["index", "text_tokens", "tokens_lost"], texts)),
            "outputs": list(&open(&["name", "layers", "results"], output)),
        }),
    )
}

fn layers_body(fields: &Fields) -> Value {
    let pair = closed(&["text"], json!({ "text": text(), "text_pair": maybe("") }));
    let two = json!({ "type": "array", "items": text(), "minItems": 2, "maxItems": 2 });
    let one = json!({ "anyOf": [text(), pair, two] });
    let outputs = format!(
        "at most {MOST_OUTPUTS}, with distinct names; default: one output, the model's own \
         vectors"
    );
    let overflow = "what to do with texts over the token limit; window:STRIDE is accepted too";
    closed(
        &["input"],
        json!({
            "input": { "anyOf": [text(), pair, fields.list(&one)] },
            "outputs": {
                "type": ["array", "null"],
                "items": { "$ref": "#/components/schemas/Output" },
                "description": outputs,
            },
            "model": fields.served,
            "max_tokens": count(fields.limit.0, fields.limit.1, "of a text"),
            "overflow": word(&["truncate", "error", "window"], overflow),
            "prompt": maybe("prepended to every text"),
            "prompt_name": fields.prompt,
            "tokens": flag(false),
            "words": flag(false),
        }),
    )
}

fn output(fields: &Fields) -> Value {
    let combine = "weighted=w0,w1,.. and scalar-mix=w0,w1,..[;gamma] are accepted too, with \
                   one weight per layer";
    let poolings = [
        "model",
        "tokens",
        "words",
        "words:first",
        "words:last",
        "words:first-last",
        "mean",
        "cls",
        "last",
        "max",
        "min",
        "mean-sqrt",
        "weighted-mean",
        "mean-max",
    ];
    let pool = "pooler is accepted too, for the last layer of models that have one";
    let site = "attn_out, resid_mid, mlp_out, mlp_act, z, q, k and v are accepted too, for layers 1 to \
                the last";
    let precision = "int8 is accepted too, with at least two texts";
    closed(
        &[],
        json!({
            "name": {
                "type": ["string", "null"], "pattern": "^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}$",
                "description": "default: the index of the output",
            },
            "site": word(&["hidden"], site),
            "layers": layers(fields.depth),
            "combine": word(&["stack", "mean", "sum", "max", "concat"], combine),
            "pool": word(&poolings, pool),
            "normalize": { "type": ["boolean", "null"], "description": "default: as the model \
                                                                        says" },
            "dims": fields.dims,
            "precision": word(&["f32", "f16", "ubinary"], precision),
            "final_norm": { "enum": [true, null], "description": "false is accepted too, for models that \
                                                                  have a final norm" },
        }),
    )
}

/// Which layers of a model with `depth` of them.
fn layers(depth: usize) -> Value {
    let (first, last) = (-(depth as i64) - 1, depth as i64);
    let mut words: Vec<Value> = ["last", "all", "blocks"].into_iter().map(Value::from).collect();
    words.extend((first..=-1).map(|from| json!(format!("{from}..-1"))));
    words.extend((0..=last).map(|to| json!(format!("0..{to}"))));
    let list = |least: i64, most: i64| {
        let state = json!({ "type": "integer", "minimum": least, "maximum": most });
        json!({ "type": "array", "items": state, "minItems": 1, "uniqueItems": true })
    };
    json!({
        "anyOf": [
            { "type": "string", "enum": words },
            { "type": "integer", "minimum": first, "maximum": last },
            list(0, last),
            list(first, -1),
            { "type": "null" },
        ],
        "default": "last",
        "description": "indices of hidden states: 0 is the embedding layer, -1 the last; lists \
                        and ranges such as 0,3,-1 and 1..-1 are accepted too",
    })
}
