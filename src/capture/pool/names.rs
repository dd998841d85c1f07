//! The words for poolings, read and written.

use std::fmt;
use std::str::FromStr;

use super::{Pool, WordPool};
use crate::error::{Error, Result, fail};

/// Every pooling there is, in the order messages list them.
pub(super) const ALL: [Pool; 14] = [
    Pool::Model,
    Pool::Tokens,
    Pool::Words(WordPool::Mean),
    Pool::Words(WordPool::First),
    Pool::Words(WordPool::Last),
    Pool::Words(WordPool::FirstLast),
    Pool::Mean,
    Pool::Cls,
    Pool::Last,
    Pool::Max,
    Pool::MeanSqrt,
    Pool::WeightedMean,
    Pool::MeanMax,
    Pool::Pooler,
];

impl Pool {
    fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Tokens => "tokens",
            Self::Words(WordPool::Mean) => "words:mean",
            Self::Words(WordPool::First) => "words:first",
            Self::Words(WordPool::Last) => "words:last",
            Self::Words(WordPool::FirstLast) => "words:first-last",
            Self::Mean => "mean",
            Self::Cls => "cls",
            Self::Last => "last",
            Self::Max => "max",
            Self::MeanSqrt => "mean-sqrt",
            Self::WeightedMean => "weighted-mean",
            Self::MeanMax => "mean-max",
            Self::Pooler => "pooler",
        }
    }
}

impl FromStr for Pool {
    type Err = Error;

    /// The names of `--pool`; `words` is `words:mean`.
    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        if text == "words" {
            return Ok(Self::Words(WordPool::Mean));
        }
        ALL.into_iter().find(|pool| pool.name() == text).ok_or_else(|| {
            let names = ALL.map(Self::name).join(", ");
            fail!(Usage, "pool `{text}` is not known: use one of {names}")
        })
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn written_and_read_back() {
        for pool in ALL {
            assert_eq!(pool.to_string().parse::<Pool>().unwrap(), pool);
        }
        assert_eq!("words".parse::<Pool>().unwrap(), Pool::Words(WordPool::Mean));
        assert_eq!(" mean-max ".parse::<Pool>().unwrap(), Pool::MeanMax);
    }

    #[test]
    fn bad_words() {
        for text in
            ["", "Mean", "mean_sqrt", "words:", "words:max", "words:first_last", "token", "avg"]
        {
            let got = text.parse::<Pool>();
            assert!(
                matches!(&got, Err(e) if e.kind() == ErrorKind::Usage),
                "`{text}`: got {got:?}"
            );
        }
    }
}
