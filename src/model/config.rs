//! Reading typed fields out of a `config.json`, with errors that name the field and its value.

use serde_json::{Map, Value};

use crate::error::{Result, fail};

/// A parsed `config.json`.
pub struct Config<'a> {
    fields: &'a Map<String, Value>,
}

impl<'a> Config<'a> {
    /// The fields of the JSON object `value`.
    pub fn new(value: &'a Value) -> Result<Self> {
        match value {
            Value::Object(fields) => Ok(Self { fields }),
            _ => Err(fail!(Checkpoint, "config.json is not a JSON object")),
        }
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
                "config.json: `{key}` is null, which is not supported: give it a value, or take it \
                 away for the default"
            )),
            value => Ok(value),
        }
    }

    /// A positive whole number, `default` where the field is absent: that of the family's
    /// configuration class in Transformers.
    pub fn size(&self, key: &str, default: usize) -> Result<usize> {
        match self.given(key)? {
            Some(_) => self.stated_size(key),
            None => Ok(default),
        }
    }

    /// A positive whole number that has no default.
    pub fn stated_size(&self, key: &str) -> Result<usize> {
        let value = self
            .given(key)?
            .ok_or_else(|| fail!(Checkpoint, "config.json has no field `{key}`"))?;
        match value.as_u64() {
            Some(n) if (1..=u64::from(u32::MAX)).contains(&n) => Ok(n as usize),
            _ => Err(fail!(
                Checkpoint,
                "config.json: `{key}` is {value}, expected a positive whole number"
            )),
        }
    }

    /// A number above 0 that f32 holds as one, `default` where the field is absent.
    pub fn positive(&self, key: &str, default: f32) -> Result<f32> {
        let Some(value) = self.given(key)? else { return Ok(default) };
        match value.as_f64().map(|x| (x, x as f32)) {
            // An ε that becomes 0 would divide by 0 where a row is constant.
            Some((x, rounded)) if x > 0.0 && (rounded == 0.0 || rounded.is_infinite()) => Err(
                fail!(Checkpoint, "config.json: `{key}` is {value}, which f32 rounds to {rounded}"),
            ),
            Some((x, rounded)) if x > 0.0 => Ok(rounded),
            _ => {
                Err(fail!(Checkpoint, "config.json: `{key}` is {value}, expected a number above 0"))
            }
        }
    }

    /// True or false, `default` where the field is absent.
    pub fn flag(&self, key: &str, default: bool) -> Result<bool> {
        match self.given(key)? {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(value) => {
                Err(fail!(Checkpoint, "config.json: `{key}` is {value}, expected true or false"))
            }
        }
    }

    /// A string, `default` where the field is absent.
    pub fn text(&self, key: &str, default: &'a str) -> Result<&'a str> {
        match self.given(key)? {
            None => Ok(default),
            Some(Value::String(s)) => Ok(s),
            Some(value) => {
                Err(fail!(Checkpoint, "config.json: `{key}` is {value}, expected a string"))
            }
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
                    "config.json: `{key}` is {value}, which is not supported (supported: {list})"
                ))
            }
            _ => Ok(()),
        }
    }
}
