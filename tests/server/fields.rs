//! Every field of every route, as the OpenAPI document has them: null where one may be absent, and
//! what an error says of a value of another kind.

use serde_json::{Value, json};

use crate::client::Server;

/// A field of a body.
#[derive(Debug)]
struct Field {
    /// Where it is, as a JSON pointer.
    pointer: String,
    /// As errors name it.
    name: String,
    required: bool,
    schema: Value,
}

struct Document(Value);

impl Document {
    fn of(server: &Server) -> Self {
        let (status, _, body) = server.call("GET", "/openapi.json", "", b"");
        assert_eq!(status, 200);
        Self(serde_json::from_slice(&body).unwrap())
    }

    /// The routes with a body: path, schema, example.
    fn routes(&self) -> Vec<(&str, &Value, &Value)> {
        let paths = self.0["paths"].as_object().unwrap().iter();
        let routes = paths.filter_map(|(path, methods)| {
            let content = methods.pointer("/post/requestBody/content/application~1json")?;
            Some((path.as_str(), &content["schema"], &content["example"]))
        });
        routes.collect()
    }

    fn resolved<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(name) => self.0.pointer(name.trim_start_matches('#')).unwrap(),
            None => schema,
        }
    }

    /// The fields that `schema` gives to `example`, and to what is in it.
    fn fields(&self, schema: &Value, example: &Value, pointer: &str, name: &str) -> Vec<Field> {
        let schema = self.resolved(schema);
        if let Some(any) = schema["anyOf"].as_array() {
            // The example is of one of them; the others give nothing to it.
            let all = any.iter().map(|one| self.fields(one, example, pointer, name));
            return all.max_by_key(Vec::len).unwrap_or_default();
        }
        let mut all = Vec::new();
        if let (Some(properties), Some(values)) =
            (schema["properties"].as_object(), example.as_object())
        {
            for (key, part) in properties {
                let pointer = format!("{pointer}/{key}");
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                let value = values.get(key).unwrap_or(&Value::Null);
                all.extend(self.fields(part, value, &pointer, &name));
                let required = schema["required"].as_array().into_iter().flatten();
                let required = required.into_iter().any(|one| one == key);
                all.push(Field { pointer, name, required, schema: part.clone() });
            }
        }
        if schema["items"].is_object() {
            for (i, value) in example.as_array().into_iter().flatten().enumerate() {
                let (pointer, name) = (format!("{pointer}/{i}"), format!("{name}[{i}]"));
                all.extend(self.fields(&schema["items"], value, &pointer, &name));
            }
        }
        all
    }
}

/// `example` with `value` in the place of `field`.
fn with(example: &Value, field: &Field, value: Value) -> Value {
    let mut body = example.clone();
    let (parent, key) = field.pointer.rsplit_once('/').unwrap();
    body.pointer_mut(parent).unwrap()[key] = value;
    body
}

/// The sentence of a refusal, in either dialect.
fn said(answer: &Value) -> &str {
    answer["error"].as_str().or(answer["error"]["message"].as_str()).unwrap_or_default()
}

/// What no client should be told: names of Rust's types, and places in a text that it did not write.
const NOT_SAID: [&str; 14] = [
    " line ", "struct", "enum", "variant", "untagged", "usize", "u32", "i64", "Option", "sequence",
    " map", "unit", "tuple", "deserial",
];

#[test]
fn null_is_an_absent_field_and_a_wrong_one_is_named() {
    let server = Server::start(&[]);
    let document = Document::of(&server);
    let mut failures = Vec::new();
    let mut optional = 0;
    for (path, schema, example) in document.routes() {
        let (status, answer) = server.post(path, example);
        if status != 200 {
            failures.push(format!("{path}, the example: {status} {}", said(&answer)));
        }
        for field in document.fields(schema, example, "", "") {
            let name = &field.name;
            let (status, answer) = server.post(path, &with(example, &field, Value::Null));
            let mut wrong: Vec<(&str, Value)> = Vec::new();
            if field.required {
                wrong.push(("null", Value::Null));
            } else {
                optional += 1;
                if status != 200 {
                    failures.push(format!("{path} {name}: null: {status} {}", said(&answer)));
                }
            }
            // `id` returned unchanged, whatever it is.
            if field.schema.get("type").is_none() && field.schema.get("anyOf").is_none() {
                continue;
            }
            if !field.schema["properties"].is_object() {
                wrong.push(("an object", json!({ "no": { "such": ["field"] } })));
            }
            wrong.push(("a long string in lists", json!([[["x".repeat(1000)]]])));
            wrong.push(("a number that is none", json!(-1.5)));
            if !field.schema.to_string().contains("\"boolean\"") {
                wrong.push(("a boolean", json!(true)));
            }
            for (what, value) in wrong {
                let (status, answer) = server.post(path, &with(example, &field, value));
                let said = said(&answer);
                let named =
                    said.contains(&format!("`{name}")) || said.contains(&format!(".{name}"));
                let plain = NOT_SAID.iter().all(|word| !said.contains(word));
                if !matches!(status, 400 | 413 | 422) || !named || !plain || said.len() > 400 {
                    failures.push(format!("{path} {name}: {what}: {status} {said}"));
                }
                if answer["error"].is_object() && answer["error"]["param"].is_null() {
                    failures.push(format!("{path} {name}: {what}: no param in {answer}"));
                }
            }
        }
    }
    assert!(optional > 40, "{optional} optional fields");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn an_error_says_which_field_and_what_is_taken() {
    let server = Server::start(&[]);
    let mut failures = Vec::new();
    for (path, body, parts) in [
        (
            "/v1/embeddings",
            r#"{"input":"a","encoding_format":"hex"}"#,
            &["`encoding_format`", "`float` or `base64`", "hex"][..],
        ),
        (
            "/v1/embeddings",
            r#"{"input":"a","dimension":3}"#,
            &["`dimension`", "unknown field", "`dimensions`"],
        ),
        ("/v1/embeddings", r#"{"input":"a","dimensions":0}"#, &["`dimensions`", "from 1", "0"]),
        ("/v1/embeddings", r#"{"input":"a","dimensions":1e30}"#, &["`dimensions`", "whole number"]),
        (
            "/v1/embeddings",
            r#"{"input":"a","dimensions":1e999}"#,
            &["`dimensions`", "out of range"],
        ),
        ("/v1/embeddings", r#"{"input":"a","dimensions":9999}"#, &["`dimensions`", "384"]),
        ("/v1/embeddings", r#"{"input":["a",7]}"#, &["`input[1]`", "a string"]),
        ("/v1/embeddings", r#"{"input":[[1],["a"]]}"#, &["`input[1][0]`", "token id"]),
        ("/v1/embeddings", r#"{"input":[-1]}"#, &["`input[0]`", "token id", "-1"]),
        ("/v1/embeddings", r#"{"input":"a","input":"b"}"#, &["`input`", "twice"]),
        ("/v1/embeddings", r#"{"model":"bundled"}"#, &["`input`", "missing"]),
        ("/v1/embeddings", r#"{"input":[]}"#, &["`input`", "empty"]),
        ("/v1/layers", r#"{"input":"a","max_tokens":1}"#, &["`max_tokens`", "from 3 to 512"]),
        ("/v1/embeddings", r#"["a"]"#, &["an object", "a list"]),
        ("/v1/embeddings", r#""a""#, &["an object", "string"]),
        ("/v1/embeddings", "", &["empty"]),
        ("/v1/embeddings", "input=a", &["not JSON"]),
        ("/v1/embeddings", r#"{"input":"a"} x"#, &["not JSON"]),
        (
            "/v1/layers",
            r#"{"input":"a","outputs":[{},{"pool":"men"}]}"#,
            &["`outputs[1].pool`", "mean"],
        ),
        (
            "/v1/layers",
            r#"{"input":"a","outputs":[{"name":"x"},{"layers":"99"}]}"#,
            &["`outputs[1]`", "99"],
        ),
        (
            "/v1/layers",
            r#"{"input":"a","outputs":[{"layers":[0,1.5]}]}"#,
            &["`outputs[0].layers[1]`", "whole number"],
        ),
        (
            "/v1/layers",
            r#"{"input":"a","outputs":[{"layer":"0"}]}"#,
            &["`outputs[0].layer`", "`layers`"],
        ),
        ("/v1/layers", r#"{"input":"a","outputs":[null]}"#, &["`outputs[0]`", "an object", "null"]),
        ("/v1/layers", r#"{"input":["a",["b","c","d"]]}"#, &["`input[1]`", "pair"]),
        ("/v1/layers", r#"{"input":{"text":"a","pair":"b"}}"#, &["`input.pair`", "`text_pair`"]),
        (
            "/embed",
            r#"{"inputs":"a","truncation_direction":"up"}"#,
            &["`truncation_direction`", "`left` or `right`"],
        ),
        ("/embed", r#"{"inputs":["a",""]}"#, &["`inputs[1]`", "empty"]),
        (
            "/similarity",
            r#"{"inputs":{"source_sentence":"a"}}"#,
            &["`inputs`", "`sentences`", "missing"],
        ),
        ("/tokenize", r#"{"inputs":[["a"]]}"#, &["`inputs[0]`", "string"]),
        ("/decode", r#"{"ids":["a"]}"#, &["`ids`", "token ids"]),
        ("/encode", r#"{"texts":"a"}"#, &["`texts`", "list"]),
    ] {
        let (status, _, answer) = server.call("POST", path, "", body.as_bytes());
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        let said = said(&answer);
        if !matches!(status, 400 | 413 | 422) || parts.iter().any(|part| !said.contains(part)) {
            failures.push(format!("{path} {body}: {status} {said}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    // What a client sends beside these is passed over where the original does so.
    for (path, body) in [
        ("/embed", r#"{"inputs":"a","other":[1]}"#),
        ("/encode", r#"{"texts":["a"],"other":[1]}"#),
        ("/v1/embeddings", "\u{feff}{\"input\":\"a\",\"dimensions\":2.0}"),
        ("/v1/layers", r#"{"input":"a","outputs":[{"layers":2.0},{"layers":[0.0,-1]}]}"#),
    ] {
        assert_eq!(server.call("POST", path, "", body.as_bytes()).0, 200, "{path} {body}");
    }
}
