//! Schemas of fields and answers, put together by each dialect for the OpenAPI document.

use serde_json::{Value, json};

use crate::server::core::reading::limits;
use crate::server::core::service::Service;

/// What the fields of several bodies take, by the models and limits of a server.
pub struct Fields {
    /// The models by name, and as what they were opened.
    pub names: Vec<String>,
    /// States above the word table.
    pub depth: usize,
    /// Tokens of a text, from the special ones of a pair to the model's positions.
    pub limit: (usize, usize),
    /// Texts of a list at most, in words.
    pub most: String,
    /// Whether longer texts are cut unless a request says otherwise.
    pub auto_truncate: bool,
    /// A row of the vocabulary.
    pub id: Value,
    /// `model`
    pub served: Value,
    /// `prompt_name`
    pub prompt: Value,
    /// `dimensions`
    pub dims: Value,
}

impl Fields {
    /// Those of a server.
    pub fn of(service: &Service) -> Self {
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
    pub fn list(&self, items: &Value) -> Value {
        json!({ "type": "array", "items": items, "minItems": 1, "description": self.most })
    }

    /// Texts as words or ids.
    pub fn inputs(&self, text: &Value) -> Value {
        let ids = json!({ "type": "array", "items": self.id, "minItems": 1 });
        json!({ "anyOf": [text, self.list(text), ids, self.list(&ids)] })
    }
}

/// A text.
pub fn text() -> Value {
    json!({ "type": "string" })
}

/// A text that is not empty.
pub fn some() -> Value {
    json!({ "type": "string", "minLength": 1 })
}

/// A text that may be absent.
pub fn maybe(description: &str) -> Value {
    json!({ "type": ["string", "null"], "description": description })
}

/// A field that is on or off.
pub fn flag(default: bool) -> Value {
    json!({ "type": ["boolean", "null"], "default": default })
}

/// A field that takes a number.
pub fn count(least: usize, most: usize, description: &str) -> Value {
    json!({
        "type": ["integer", "null"], "minimum": least, "maximum": most, "description": description,
    })
}

/// One of `names`, the first by default.
pub fn word(names: &[&str], description: &str) -> Value {
    let mut all: Vec<Value> = names.iter().map(|name| json!(name)).collect();
    all.push(Value::Null);
    json!({
        "type": ["string", "null"], "enum": all, "default": names.first(), "description": description,
    })
}

/// A field that takes one of `names`, if there are any.
pub fn one_of(names: &[String], description: &str) -> Value {
    if names.is_empty() {
        return json!({ "type": "null", "description": "the model has none" });
    }
    let mut names: Vec<Value> = names.iter().map(|name| json!(name)).collect();
    names.push(Value::Null);
    json!({ "type": ["string", "null"], "enum": names, "description": description })
}

/// A schema that stands under this name.
pub fn of(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// A list.
pub fn list(items: &Value) -> Value {
    json!({ "type": "array", "items": items })
}

/// A number of things.
pub fn size() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

/// A place in a text or a list, where it has one.
pub fn place() -> Value {
    json!({ "type": ["integer", "null"], "minimum": 0 })
}

/// An object of numbers.
pub fn sizes(names: &[&str]) -> Value {
    let fields = names.iter().map(|name| ((*name).to_owned(), size()));
    open(names, Value::Object(fields.collect()))
}

/// An object with these fields, and perhaps others.
pub fn open(required: &[&str], properties: Value) -> Value {
    json!({ "type": "object", "required": required, "properties": properties })
}

/// An object that takes these fields and refuses others.
pub fn closed(required: &[&str], properties: Value) -> Value {
    let mut object = open(required, properties);
    object["additionalProperties"] = json!(false);
    object
}
