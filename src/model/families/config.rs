//! Reading typed fields out of a `config.json`, with errors that name the field and its value.

use serde_json::{Map, Value};

use crate::error::{Result, fail};
use crate::model::formats::checkpoint::TensorSizes;
use crate::quote::quote;

/// The largest sizes that are taken for such, many times those of any encoder there is. What is
/// made of them before they are held against the tensors stays small.
const MAX_SIZE: usize = 1 << 24;
const MAX_WIDTH: usize = 1 << 16;
const MAX_LENGTH: usize = 1 << 20;
/// Layers of a model, those counted that share their tensors.
pub const MAX_LAYERS: usize = 1 << 10;

/// A parsed `config.json`.
pub struct Config<'a> {
    fields: &'a Map<String, Value>,
    tensors: Option<TensorSizes>,
}

/// Whether a checkpoint holds the tensor of a name.
pub type HasTensor<'a> = &'a dyn Fn(&str) -> bool;

impl<'a> Config<'a> {
    /// The fields of the JSON object `value`.
    pub fn new(value: &'a Value) -> Result<Self> {
        match value {
            Value::Object(fields) => Ok(Self { fields, tensors: None }),
            _ => Err(fail!(Checkpoint, "config.json is not a JSON object")),
        }
    }

    /// The same, its sizes held against the tensors that are there.
    pub fn with_tensors(self, tensors: TensorSizes) -> Self {
        Self { tensors: Some(tensors), ..self }
    }

    /// The field `key`, `None` where it is absent or null: for the keys whose null Transformers takes
    /// for absent.
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.fields.get(key).filter(|v| !v.is_null())
    }

    /// Whether the field `key` is there and null.
    pub fn is_null(&self, key: &str) -> bool {
        self.fields.get(key).is_some_and(Value::is_null)
    }

    /// The field `key`, `None` where it is absent. Its null is an error: Transformers 5 refuses it,
    /// and 4.57 fails on it or computes something else than for an absent key.
    pub fn given(&self, key: &str) -> Result<Option<&'a Value>> {
        match self.fields.get(key) {
            Some(Value::Null) => Err(fail!(
                Unsupported,
                "config.json: `{key}` is null, which is not supported: give it a value, or remove \
                 it for the default"
            )),
            value => Ok(value),
        }
    }

    /// A positive whole number, `default` where the field is absent: that of the family's
    /// configuration class in Transformers.
    pub fn size(&self, key: &str, default: usize) -> Result<usize> {
        Ok(self.at_most(key, MAX_SIZE)?.unwrap_or(default))
    }

    /// A positive whole number that has no default.
    pub fn stated_size(&self, key: &str) -> Result<usize> {
        self.stated(key, MAX_SIZE)
    }

    /// [`Config::size`] of a width, or of a count of heads.
    pub fn width(&self, key: &str, default: usize) -> Result<usize> {
        Ok(self.at_most(key, MAX_WIDTH)?.unwrap_or(default))
    }

    /// [`Config::size`] of a number of tokens, or of a distance in layers: no tensor need have it.
    pub fn length(&self, key: &str, default: usize) -> Result<usize> {
        Ok(self.at_most(key, MAX_LENGTH)?.unwrap_or(default))
    }

    /// [`Config::length`] without a default.
    pub fn stated_length(&self, key: &str) -> Result<usize> {
        self.stated(key, MAX_LENGTH)
    }

    /// [`Config::length`], `None` where the field is absent.
    pub fn given_length(&self, key: &str) -> Result<Option<usize>> {
        self.at_most(key, MAX_LENGTH)
    }

    /// [`Config::size`] of a number of layers that each have tensors of their own, under their
    /// number.
    pub fn layers(&self, key: &str, default: usize) -> Result<usize> {
        let layers = self.shared_layers(key, default)?;
        match self.tensors {
            Some(tensors) if layers > tensors.layers => {
                let what = match self.get(key) {
                    Some(_) => format!("`{key}` is {layers}"),
                    None => format!("`{key}` is absent, which stands for {layers}"),
                };
                Err(fail!(
                    Checkpoint,
                    "config.json: {what}, and the checkpoint has tensors of {} layers",
                    tensors.layers
                ))
            }
            _ => Ok(layers),
        }
    }

    /// [`Config::size`] of a number of layers that may share their tensors.
    pub fn shared_layers(&self, key: &str, default: usize) -> Result<usize> {
        Ok(self.at_most(key, MAX_LAYERS)?.unwrap_or(default))
    }

    /// [`Config::stated_size`] of what has a tensor with an axis of at least this length.
    pub fn stated_axis(&self, key: &str) -> Result<usize> {
        let size = self.stated_size(key)?;
        match self.tensors {
            Some(tensors) if size > tensors.longest => Err(fail!(
                Checkpoint,
                "config.json: `{key}` is {size}, and no tensor of the checkpoint has an axis of more \
                 than {}",
                tensors.longest
            )),
            _ => Ok(size),
        }
    }

    fn stated(&self, key: &str, most: usize) -> Result<usize> {
        let size = self.at_most(key, most)?;
        size.ok_or_else(|| fail!(Checkpoint, "config.json has no field `{key}`"))
    }

    /// A positive whole number up to `most`; `None` where the field is absent.
    fn at_most(&self, key: &str, most: usize) -> Result<Option<usize>> {
        let Some(value) = self.given(key)? else { return Ok(None) };
        match value.as_u64() {
            Some(n) if (1..=most as u64).contains(&n) => Ok(Some(n as usize)),
            Some(n) if n > 0 => Err(fail!(
                Checkpoint,
                "config.json: `{key}` is {value}, the limit is {most}",
                value = quote(value)
            )),
            _ => Err(fail!(
                Checkpoint,
                "config.json: `{key}` is {}, expected a positive whole number",
                quote(value)
            )),
        }
    }

    /// A number above 0 that f32 holds as one, `default` where the field is absent.
    pub fn positive(&self, key: &str, default: f32) -> Result<f32> {
        let Some(value) = self.given(key)? else { return Ok(default) };
        match value.as_f64().map(|x| (x, x as f32)) {
            // An ε that becomes 0 would divide by 0 where a row is constant.
            Some((x, rounded)) if x > 0.0 && (rounded == 0.0 || rounded.is_infinite()) => {
                Err(fail!(
                    Checkpoint,
                    "config.json: `{key}` is {}, which f32 rounds to {rounded}",
                    quote(value)
                ))
            }
            Some((x, rounded)) if x > 0.0 => Ok(rounded),
            _ => Err(fail!(
                Checkpoint,
                "config.json: `{key}` is {}, expected a number above 0",
                quote(value)
            )),
        }
    }

    /// True or false, `default` where the field is absent.
    pub fn flag(&self, key: &str, default: bool) -> Result<bool> {
        match self.given(key)? {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(value) => Err(fail!(
                Checkpoint,
                "config.json: `{key}` is {}, expected true or false",
                quote(value)
            )),
        }
    }

    /// A string, `default` where the field is absent.
    pub fn text(&self, key: &str, default: &'a str) -> Result<&'a str> {
        match self.given(key)? {
            None => Ok(default),
            Some(Value::String(s)) => Ok(s),
            Some(value) => Err(fail!(
                Checkpoint,
                "config.json: `{key}` is {}, expected a string",
                quote(value)
            )),
        }
    }

    /// [`Config::require`] of a key whose null is refused as well.
    pub fn require_given(&self, key: &str, supported: &[Value]) -> Result<()> {
        self.given(key)?;
        self.require(key, supported)
    }

    /// Fails unless `key` is absent, null or one of `supported`: what a model asks for is computed or
    /// refused, never passed over.
    pub fn require(&self, key: &str, supported: &[Value]) -> Result<()> {
        match self.get(key) {
            Some(value) if !supported.contains(value) => {
                let list: Vec<_> = supported.iter().map(Value::to_string).collect();
                let list = if list.is_empty() { "absent".to_owned() } else { list.join(", ") };
                Err(fail!(
                    Unsupported,
                    "config.json: `{key}` is {}, which is not supported (supported: {list})",
                    quote(value)
                ))
            }
            _ => Ok(()),
        }
    }
}
