//! `--shard`: one of several parts of a corpus.

use everylayer::{Error, ErrorKind};

/// One of several parts of a corpus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// From 1.
    part: usize,
    parts: usize,
}

impl Shard {
    /// The rows of this part of `rows`: the first parts have one more where they do not divide.
    pub fn range(self, rows: usize) -> std::ops::Range<usize> {
        let start = |part: usize| rows / self.parts * part + part.min(rows % self.parts);
        start(self.part - 1)..start(self.part)
    }
}

impl std::str::FromStr for Shard {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let numbers =
            text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match numbers {
            Some((part, parts)) if 1 <= part && part <= parts => Ok(Self { part, parts }),
            _ => {
                let said =
                    format!("`{text}` is no part: write I/N with I from 1 to N, such as 1/4");
                Err(Error::new(ErrorKind::Usage, said))
            }
        }
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.part, self.parts)
    }
}
