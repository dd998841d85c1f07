//! Schemas of bodies.

use serde_json::{Map, Value, json};

use crate::server::api::layers::MOST_OUTPUTS;
use crate::server::core::reading::limits;
use crate::server::core::service::Service;

/// Schemas by name.
pub fn schemas(service: &Service) -> Map<String, Value> {
    let parts = Parts::of(service);
    let mut all = Map::new();
    for (name, schema) in [
        ("ModelName", json!({ "type": "string", "enum": parts.names })),
        ("LayersBody", parts.layers_body()),
        ("Output", parts.output()),
        ("EmbeddingsBody", parts.embeddings_body()),
        ("EmbedBody", parts.embed_body(true)),
        ("EmbedAllBody", parts.embed_body(false)),
        ("SimilarityBody", parts.similarity_body()),
        ("TokenizeBody", parts.tokenize_body()),
        ("DecodeBody", parts.decode_body()),
        ("EncodeBody", json!({ "anyOf": [encode(text(), false), encode(tokens(), true)] })),
    ] {
        all.insert(name.into(), schema);
    }
    all
}

/// What the fields of several bodies take, by the models and limits of a server.
struct Parts {
    /// The models by name, and as what they were opened.
    names: Vec<String>,
    /// States above the word table.
    depth: usize,
    /// Tokens of a text, from the special ones of a pair to the model's positions.
    limit: (usize, usize),
    /// Texts of a list at most, in words.
    most: String,
    auto_truncate: bool,
    /// A row of the vocabulary.
    id: Value,
    /// `model`
    served: Value,
    /// `prompt_name`
    prompt: Value,
    /// `dimensions`
    dims: Value,
}

impl Parts {
    fn of(service: &Service) -> Self {
        let encoder = service.models[0].batcher.encoder();
        let tokenizer = encoder.preprocessor().tokenizer();
        let most_id = tokenizer.vocab_size().saturating_sub(1);
        let mut names: Vec<String> = service.models.iter().map(|m| m.name.clone()).collect();
        for model in &service.models {
            if !names.contains(&model.id) {
                names.push(model.id.clone());
            }
        }
        let prompts: Vec<String> = encoder.pipeline().prompts.keys().cloned().collect();
        let said = "keep the first N dimensions; normalised vectors are normalised again";
        Self {
            depth: encoder.spec().depth(),
            limit: limits(&encoder),
            most: format!("at most {} at a time", service.settings.max_client_batch),
            auto_truncate: service.settings.auto_truncate,
            id: json!({ "type": "integer", "minimum": 0, "maximum": most_id }),
            served: one_of(&names, "one of the served models; default: the first"),
            prompt: one_of(&prompts, "name of one of the model's prompts, prepended to every text"),
            dims: count(1, encoder.spec().width, said),
            names,
        }
    }

    /// A list, of which a longer one is too large (413) and not of another form.
    fn list(&self, items: &Value) -> Value {
        json!({ "type": "array", "items": items, "minItems": 1, "description": self.most })
    }

    /// Texts as words or ids.
    fn inputs(&self, text: &Value) -> Value {
        let ids = json!({ "type": "array", "items": self.id, "minItems": 1 });
        json!({ "anyOf": [text, self.list(text), ids, self.list(&ids)] })
    }

    /// What all routes of Text Embeddings Inference say of their texts.
    fn how(&self) -> Value {
        json!({
            "truncate": flag(self.auto_truncate),
            "truncation_direction": word(&["right", "left", "Right", "Left"], ""),
            "prompt_name": self.prompt,
            "model": self.served,
        })
    }

    fn layers_body(&self) -> Value {
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
                "input": { "anyOf": [text(), pair, self.list(&one)] },
                "outputs": {
                    "type": ["array", "null"],
                    "items": { "$ref": "#/components/schemas/Output" },
                    "description": outputs,
                },
                "model": self.served,
                "max_tokens": count(self.limit.0, self.limit.1, "of a text"),
                "overflow": word(&["truncate", "error", "window"], overflow),
                "prompt": maybe("prepended to every text"),
                "prompt_name": self.prompt,
                "tokens": flag(false),
                "words": flag(false),
            }),
        )
    }

    fn output(&self) -> Value {
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
            "mean-sqrt",
            "weighted-mean",
            "mean-max",
        ];
        let pool = "pooler is accepted too, for the last layer of models that have one";
        let precision = "int8 is accepted too, with at least two texts";
        closed(
            &[],
            json!({
                "name": {
                    "type": ["string", "null"], "pattern": "^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}$",
                    "description": "default: the index of the output",
                },
                "layers": layers(self.depth),
                "combine": word(&["stack", "mean", "sum", "max", "concat"], combine),
                "pool": word(&poolings, pool),
                "normalize": { "type": ["boolean", "null"], "description": "default: as the model \
                                                                            says" },
                "dims": self.dims,
                "precision": word(&["f32", "f16", "ubinary"], precision),
            }),
        )
    }

    fn embeddings_body(&self) -> Value {
        closed(
            &["input"],
            json!({
                "input": self.inputs(&text()),
                "model": self.served,
                "encoding_format": word(&["float", "base64"], ""),
                "dimensions": self.dims,
                "user": maybe("changes nothing"),
            }),
        )
    }

    fn embed_body(&self, pooled: bool) -> Value {
        let mut fields = self.how();
        fields["inputs"] = self.inputs(&some());
        if pooled {
            fields["normalize"] = flag(true);
            fields["dimensions"] = self.dims.clone();
        }
        open(&["inputs"], fields)
    }

    fn similarity_body(&self) -> Value {
        let sentences = self.list(&some());
        let inputs = json!({ "source_sentence": some(), "sentences": sentences });
        let inputs = open(&["source_sentence", "sentences"], inputs);
        let parameters = json!({ "type": ["object", "null"], "properties": self.how() });
        open(&["inputs"], json!({ "inputs": inputs, "parameters": parameters }))
    }

    fn tokenize_body(&self) -> Value {
        let list = json!({ "type": "array", "items": text(), "description": self.most });
        open(
            &["inputs"],
            json!({
                "inputs": { "anyOf": [text(), list] },
                "add_special_tokens": flag(true),
                "prompt_name": self.prompt,
                "model": self.served,
            }),
        )
    }

    fn decode_body(&self) -> Value {
        let ids = json!({ "type": "array", "items": self.id });
        open(
            &["ids"],
            json!({
                "ids": { "anyOf": [ids, { "type": "array", "items": ids }] },
                "skip_special_tokens": flag(true),
                "model": self.served,
            }),
        )
    }
}

fn text() -> Value {
    json!({ "type": "string" })
}

/// A text that is not empty.
fn some() -> Value {
    json!({ "type": "string", "minLength": 1 })
}

/// A list of tokens.
fn tokens() -> Value {
    json!({ "type": "array", "items": text() })
}

/// A text that may be absent.
fn maybe(description: &str) -> Value {
    json!({ "type": ["string", "null"], "description": description })
}

fn flag(default: bool) -> Value {
    json!({ "type": ["boolean", "null"], "default": default })
}

fn count(least: usize, most: usize, description: &str) -> Value {
    json!({
        "type": ["integer", "null"], "minimum": least, "maximum": most, "description": description,
    })
}

/// One of `names`, the first by default.
fn word(names: &[&str], description: &str) -> Value {
    let mut all: Vec<Value> = names.iter().map(|name| json!(name)).collect();
    all.push(Value::Null);
    json!({
        "type": ["string", "null"], "enum": all, "default": names.first(), "description": description,
    })
}

/// The body of `/encode` with `texts` of `item`.
fn encode(item: Value, is_tokenized: bool) -> Value {
    open(
        &["texts"],
        json!({
            "id": { "description": "returned unchanged" },
            "texts": { "type": "array", "items": item, "minItems": 1 },
            "is_tokenized": {
                "type": ["boolean", "null"], "enum": [is_tokenized, null],
                "description": "whether `texts` are lists of tokens",
            },
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

/// A field that takes one of `names`, if there are any.
fn one_of(names: &[String], description: &str) -> Value {
    if names.is_empty() {
        return json!({ "type": "null", "description": "the model has none" });
    }
    let mut names: Vec<Value> = names.iter().map(|name| json!(name)).collect();
    names.push(Value::Null);
    json!({ "type": ["string", "null"], "enum": names, "description": description })
}

/// An object that takes these fields.
fn open(required: &[&str], properties: Value) -> Value {
    json!({ "type": "object", "required": required, "properties": properties })
}

/// An object that takes these fields and refuses others.
fn closed(required: &[&str], properties: Value) -> Value {
    let mut object = open(required, properties);
    object["additionalProperties"] = json!(false);
    object
}
