//! How a config names modules: by the end of their path, or by a regular expression of Python's.

use fancy_regex::Regex;
use serde_json::Value;

use crate::error::{Result, fail};
use crate::quote::quote;

/// A module as a config may name it.
#[derive(Debug)]
pub(crate) struct Named<'a> {
    /// Its path in the encoder.
    pub own: &'a str,
    /// Its path in the class that was trained, where that has a head: with the family's prefix.
    pub full: String,
    /// Whether it is a linear layer, which "all-linear" means.
    pub is_linear: bool,
}

impl Named<'_> {
    fn paths(&self) -> [&str; 2] {
        [self.own, &self.full]
    }

    /// Whether it ends in the regular expression `pattern`, which may be a plain name.
    pub fn ends_in(&self, pattern: &str) -> Result<bool> {
        if pattern.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.')) {
            return Ok(self.paths().iter().any(|path| ends_with(path, pattern)));
        }
        matches(&regex(&format!("(?:.*\\.)?(?:{pattern})"), pattern)?, self)
    }
}

/// Which modules are meant.
#[derive(Debug)]
pub(crate) enum Pattern {
    /// None.
    None,
    /// All linear layers but the heads.
    AllLinear,
    /// Those whose path ends in one of these names.
    Names(Vec<String>),
    /// Those whose whole path it matches.
    Matching(Regex),
}

impl Pattern {
    /// A list of names, a regular expression, or "all-linear".
    pub fn read(key: &str, value: &Value) -> Result<Self> {
        let wrong = || {
            fail!(
                Checkpoint,
                "`{key}` is {value}, expected a list of names or a string",
                value = quote(value)
            )
        };
        match value {
            Value::Null => Ok(Self::None),
            Value::String(text) if text.eq_ignore_ascii_case("all-linear") => Ok(Self::AllLinear),
            Value::String(text) => Ok(Self::Matching(regex(&format!("(?:{text})"), text)?)),
            Value::Array(items) => strings(items).map(Self::Names).ok_or_else(wrong),
            _ => Err(wrong()),
        }
    }

    /// Whether `module` is one of those.
    pub fn has(&self, module: &Named<'_>) -> Result<bool> {
        let named = |name: &String| module.paths().iter().any(|path| ends_with(path, name));
        match self {
            Self::None => Ok(false),
            Self::AllLinear => Ok(module.is_linear),
            Self::Names(names) => Ok(names.iter().any(named)),
            Self::Matching(regex) => matches(regex, module),
        }
    }

    /// Whether these are names.
    pub fn is_list(&self) -> bool {
        matches!(self, Self::Names(_))
    }

    /// Whether `module` is named in full.
    pub fn names(&self, module: &Named<'_>) -> bool {
        let paths = module.paths();
        matches!(self, Self::Names(names) if names.iter().any(|name| paths.contains(&name.as_str())))
    }
}

/// Whether the path `module` is `name` or ends in it.
pub(crate) fn ends_with(module: &str, name: &str) -> bool {
    module.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// All of `items` as strings.
pub(crate) fn strings(items: &[Value]) -> Option<Vec<String>> {
    items.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

/// `pattern` over a whole path; `shown` is what the config says.
fn regex(pattern: &str, shown: &str) -> Result<Regex> {
    Regex::new(&format!("^{pattern}$")).map_err(|e| {
        fail!(Unsupported, "the regular expression {shown:?} is not supported: {e}").with_source(e)
    })
}

fn matches(regex: &Regex, module: &Named<'_>) -> Result<bool> {
    for path in module.paths() {
        let found = regex.is_match(path).map_err(|e| {
            fail!(Unsupported, "the regular expression {:?} is not supported: {e}", regex.as_str())
                .with_source(e)
        })?;
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}
