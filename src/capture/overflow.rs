//! How the command line and the servers spell what happens to a text that is longer than the
//! limit. The cutting itself is in `text`.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result, fail};
use crate::text::Overflow;

impl FromStr for Overflow {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "truncate" => Ok(Self::Truncate),
            "error" => Ok(Self::Error),
            _ if text == "window" || text.starts_with("window:") => Err(fail!(
                Unsupported,
                "overflow `{text}`: windows are not there yet; use truncate or error, or split long texts first"
            )),
            _ => Err(fail!(Usage, "overflow `{text}` is not known: use truncate or error")),
        }
    }
}

impl fmt::Display for Overflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncate => "truncate",
            Self::Error => "error",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn words() {
        for mode in [Overflow::Truncate, Overflow::Error] {
            assert_eq!(mode.to_string().parse::<Overflow>().unwrap(), mode);
        }
        let cases = [
            ("window", ErrorKind::Unsupported),
            ("window:64", ErrorKind::Unsupported),
            ("windows", ErrorKind::Usage),
            ("", ErrorKind::Usage),
            ("cut", ErrorKind::Usage),
        ];
        for (text, want) in cases {
            assert_eq!(text.parse::<Overflow>().unwrap_err().kind(), want, "{text}");
        }
    }
}
