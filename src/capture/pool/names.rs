//! The words for poolings, read and written.

use std::fmt;
use std::str::FromStr;

use super::{Pool, WordPool};
use crate::error::{Error, Result};
use crate::words::{plain, unknown_but};

impl Pool {
    /// Every pooling there is, in the order messages list them.
    pub const ALL: [Self; 15] = [
        Self::Model,
        Self::Tokens,
        Self::Words(WordPool::Mean),
        Self::Words(WordPool::First),
        Self::Words(WordPool::Last),
        Self::Words(WordPool::FirstLast),
        Self::Mean,
        Self::Cls,
        Self::Last,
        Self::Max,
        Self::Min,
        Self::MeanSqrt,
        Self::WeightedMean,
        Self::MeanMax,
        Self::Pooler,
    ];

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
            Self::Min => "min",
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
        let name = plain(text);
        if name == "words" {
            return Ok(Self::Words(WordPool::Mean));
        }
        let pool = Self::ALL.into_iter().find(|pool| pool.name() == name);
        let meant =
            || ELSEWHERE.iter().find(|(word, _)| *word == name).map(|(_, pool)| pool.name());
        pool.ok_or_else(|| unknown_but("pool", text, &Self::ALL.map(Self::name), meant()))
    }
}

/// What other libraries call some of them: sentence-transformers (`pooling_mode_...`),
/// text-embeddings-inference, BERT-as-Service.
const ELSEWHERE: [(&str, Pool); 16] = [
    ("avg", Pool::Mean),
    ("average", Pool::Mean),
    ("mean-tokens", Pool::Mean),
    ("reduce-mean", Pool::Mean),
    ("cls-token", Pool::Cls),
    ("first", Pool::Cls),
    ("first-token", Pool::Cls),
    ("max-tokens", Pool::Max),
    ("reduce-max", Pool::Max),
    ("mean-sqrt-len-tokens", Pool::MeanSqrt),
    ("weightedmean", Pool::WeightedMean),
    ("weightedmean-tokens", Pool::WeightedMean),
    ("lasttoken", Pool::Last),
    ("last-token", Pool::Last),
    ("reduce-mean-max", Pool::MeanMax),
    ("none", Pool::Tokens),
];

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
        for pool in Pool::ALL {
            assert_eq!(pool.to_string().parse::<Pool>().unwrap(), pool);
        }
        assert_eq!("words".parse::<Pool>().unwrap(), Pool::Words(WordPool::Mean));
        for (text, want) in [
            (" mean-max ", Pool::MeanMax),
            ("Mean", Pool::Mean),
            ("MEAN_SQRT", Pool::MeanSqrt),
            ("words:First_Last", Pool::Words(WordPool::FirstLast)),
        ] {
            assert_eq!(text.parse::<Pool>().unwrap(), want, "{text}");
        }
    }

    #[test]
    fn names_of_other_libraries_are_known() {
        for (text, want) in [("avg", "mean"), ("mean_tokens", "mean"), ("NONE", "tokens")] {
            let said = text.parse::<Pool>().unwrap_err().to_string();
            assert!(said.contains(&format!("`{text}` (did you mean `{want}`?)")), "{said}");
        }
    }

    #[test]
    fn bad_words() {
        for text in
            ["", "mean sqrt", "meansqrt", "words:", "words:max", "words:firstlast", "token", "avg"]
        {
            let got = text.parse::<Pool>();
            assert!(
                matches!(&got, Err(e) if e.kind() == ErrorKind::Usage),
                "`{text}`: got {got:?}"
            );
        }
    }
}
