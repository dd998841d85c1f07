//! The start options that shape a result, held against a model.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::capture::{Capture, Layers, Pool};
use crate::encoder::Encoder;
use crate::error::{Result, fail};
use crate::model::spec::Bias;

/// `-pooling_strategy`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names are the original's")]
pub enum Strategy {
    None = 0,
    ReduceMax = 1,
    #[default]
    ReduceMean = 2,
    ReduceMeanMax = 3,
    FirstToken = 4,
    LastToken = 5,
    ClsPooled = 6,
}

impl std::str::FromStr for Strategy {
    type Err = crate::Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text.to_ascii_uppercase().as_str() {
            "NONE" | "0" => Self::None,
            "REDUCE_MAX" | "1" => Self::ReduceMax,
            "REDUCE_MEAN" | "2" => Self::ReduceMean,
            "REDUCE_MEAN_MAX" | "3" => Self::ReduceMeanMax,
            "FIRST_TOKEN" | "CLS_TOKEN" | "4" => Self::FirstToken,
            "LAST_TOKEN" | "SEP_TOKEN" | "5" => Self::LastToken,
            "CLS_POOLED" | "6" => Self::ClsPooled,
            _ => {
                return Err(fail!(
                    Usage,
                    "-pooling_strategy {text} is not known: use NONE, REDUCE_MAX, REDUCE_MEAN, \
                     REDUCE_MEAN_MAX, FIRST_TOKEN, LAST_TOKEN, CLS_TOKEN, SEP_TOKEN or CLS_POOLED"
                ));
            }
        })
    }
}

/// The start options that shape a result.
#[derive(Debug, Clone)]
pub struct Config {
    /// `-pooling_layer`: several are joined on the last axis.
    pub layers: Vec<i64>,
    /// `-pooling_strategy`
    pub strategy: Strategy,
    /// `-max_seq_len`; `None` for the longest text of a request.
    pub max_seq_len: Option<usize>,
    /// `-mask_cls_sep`
    pub mask_cls_sep: bool,
    /// `-no_special_token`
    pub no_special_token: bool,
    /// `-show_tokens_to_client`
    pub show_tokens: bool,
    /// `-fixed_embed_length`
    pub fixed_embed_length: bool,
    /// All start options by name, for `SHOW_CONFIG`.
    pub options: Map<String, Value>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            layers: vec![-2],
            strategy: Strategy::ReduceMean,
            max_seq_len: Some(25),
            mask_cls_sep: false,
            no_special_token: false,
            show_tokens: false,
            fixed_embed_length: false,
            options: Map::new(),
        }
    }
}

impl Config {
    /// Holds the options against the model.
    ///
    /// # Errors
    ///
    /// `Usage` or `Unsupported`, naming the option.
    pub fn check(&self, encoder: &Encoder) -> Result<()> {
        self.states(encoder)?;
        // Masked tokens are left out and others keep their places, which only a table of places can.
        let spec = encoder.spec();
        let is_plain = spec.embedding.position.as_ref().is_none_or(|p| p.padding.is_none())
            && spec
                .blocks
                .iter()
                .all(|b| b.attention.bias == Bias::None && b.attention.rope.is_none());
        if self.mask_cls_sep && !is_plain {
            return Err(fail!(
                Unsupported,
                "-mask_cls_sep: {} has other positions than BERT; leave it out",
                encoder.name()
            ));
        }
        let positions = encoder.spec().positions;
        match self.max_seq_len {
            Some(n) if n <= 3 => Err(fail!(Usage, "-max_seq_len {n} is not above 3")),
            Some(n) if n > positions => Err(fail!(
                Usage,
                "-max_seq_len {n} is more than the {positions} positions of the model"
            )),
            _ => encoder.header(&self.capture(encoder)?).map(drop),
        }
    }

    /// Index k of the encoder's layers is state k + 1; from the end they are the same.
    pub(super) fn states(&self, encoder: &Encoder) -> Result<Vec<usize>> {
        let depth = encoder.spec().depth() as i64;
        if self.layers.is_empty() {
            return Err(fail!(Usage, "-pooling_layer names no layer"));
        }
        let state = |&k: &i64| match k {
            k if k >= 0 && k < depth => Ok(k as usize + 1),
            k if k < 0 && k >= -depth => Ok((depth + 1 + k) as usize),
            k => Err(fail!(
                Usage,
                "-pooling_layer {k} is not there: the model has layers 0 to {} or -{depth} to -1",
                depth - 1
            )),
        };
        self.layers.iter().map(state).collect()
    }

    pub(super) fn capture(&self, encoder: &Encoder) -> Result<Capture> {
        let (pool, own) = match self.strategy {
            Strategy::None => ("tokens", true),
            Strategy::ReduceMax => ("max", true),
            Strategy::ReduceMean => ("mean", true),
            Strategy::ReduceMeanMax => ("mean-max", true),
            // Under a mask the token that is read stands last.
            Strategy::FirstToken if self.mask_cls_sep => ("last", true),
            Strategy::FirstToken => ("cls", true),
            Strategy::LastToken => ("last", true),
            Strategy::ClsPooled => ("pooler", false),
        };
        let mut capture = Capture::default().pool(pool.parse::<Pool>()?).normalize(false);
        if own {
            let states: BTreeSet<usize> = self.states(encoder)?.into_iter().collect();
            let states: Vec<String> = states.iter().map(usize::to_string).collect();
            capture.layers = states.join(",").parse::<Layers>()?;
        }
        Ok(capture)
    }
}
