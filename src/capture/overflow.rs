//! How the command line and the servers spell what happens to a text that is longer than the
//! limit. The cutting itself is in `text`.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result, fail};
use crate::quote::quote;
use crate::text::Overflow;
use crate::words::{plain, unknown};

impl FromStr for Overflow {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let name = plain(text);
        match name.as_str() {
            "truncate" => Ok(Self::Truncate),
            "error" => Ok(Self::Error),
            "window" => Ok(Self::Window { stride: None }),
            _ => match name.strip_prefix("window:").map(|stride| (stride, stride.parse())) {
                // `+5` is no number here.
                Some((digits, Ok(stride))) if !digits.starts_with('+') => {
                    Ok(Self::Window { stride: Some(stride) })
                }
                Some((stride, _)) => Err(fail!(
                    Usage,
                    "overflow `{}`: `{}` is not a stride: give the number of tokens that two \
                     windows share",
                    quote(text),
                    quote(stride)
                )),
                None => {
                    let names = ["truncate", "error", "window", "window:STRIDE"];
                    Err(unknown("overflow", text, &names))
                }
            },
        }
    }
}

impl fmt::Display for Overflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncate => "truncate",
            Self::Error => "error",
            Self::Window { stride: None } => "window",
            Self::Window { stride: Some(stride) } => return write!(f, "window:{stride}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn words() {
        for mode in [
            Overflow::Truncate,
            Overflow::Error,
            Overflow::Window { stride: None },
            Overflow::Window { stride: Some(64) },
        ] {
            assert_eq!(mode.to_string().parse::<Overflow>().unwrap(), mode);
        }
        for text in
            ["windows", "window:", "window:-1", "window:+1", "window:a", "window:1:2", "", "cut"]
        {
            let error = text.parse::<Overflow>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{text}");
            assert!(error.to_string().contains(&format!("`{text}`")), "{error}");
        }
    }
}
