//! What the server knows of BERT-as-Service: the start options that shape a result, held against a model,
//! and what is counted of its requests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::capture::{Capture, Layers, Pool};
use crate::encoder::Encoder;
use crate::error::{Result, fail};
use crate::model::spec::Bias;
use crate::quote::quote;

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
                let text = quote(text);
                return Err(fail!(
                    Usage,
                    "unknown -pooling_strategy {text}: use NONE, REDUCE_MAX, REDUCE_MEAN, \
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
    pub(in crate::server) fn states(&self, encoder: &Encoder) -> Result<Vec<usize>> {
        let depth = encoder.spec().depth() as i64;
        if self.layers.is_empty() {
            return Err(fail!(Usage, "-pooling_layer names no layer"));
        }
        let state = |&k: &i64| match k {
            k if k >= 0 && k < depth => Ok(k as usize + 1),
            k if k < 0 && k >= -depth => Ok((depth + 1 + k) as usize),
            k => Err(fail!(
                Usage,
                "-pooling_layer {k} does not exist: the model has layers 0 to {} or -{depth} to -1",
                depth - 1
            )),
        };
        self.layers.iter().map(state).collect()
    }

    pub(in crate::server) fn capture(&self, encoder: &Encoder) -> Result<Capture> {
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

/// What is told of requests, as `statistic` of the original.
#[derive(Debug, Default)]
pub struct Statistic(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    clients: BTreeMap<Vec<u8>, (u64, Instant, f64)>,
    data: u64,
    sequences: u64,
    system: u64,
    sizes: Vec<f64>,
    intervals: Vec<f64>,
}

/// Clients, and values of each list, that are remembered at most.
const REMEMBERED: usize = 500;

impl Statistic {
    /// Counts a request of `identity` for `sequences`; `None` is a system request.
    pub fn see(&self, identity: &[u8], sequences: Option<usize>) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sequences) = sequences else {
            seen.system += 1;
            return;
        };
        seen.data += 1;
        seen.sequences += sequences as u64;
        keep(&mut seen.sizes, sequences as f64);
        let now = Instant::now();
        if seen.clients.len() >= REMEMBERED && !seen.clients.contains_key(identity) {
            let oldest = seen.clients.iter().min_by_key(|(_, c)| c.1).map(|(id, _)| id.clone());
            oldest.and_then(|id| seen.clients.remove(&id));
        }
        let client = seen.clients.entry(identity.to_vec()).or_insert((0, now, f64::NAN));
        let interval = (client.0 > 0).then(|| (now - client.1).as_secs_f64());
        *client = (client.0 + 1, now, interval.unwrap_or(f64::NAN));
        if let Some(interval) = interval {
            keep(&mut seen.intervals, interval);
        }
    }

    /// The JSON object.
    pub fn json(&self) -> Value {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let active = seen.clients.values().filter(|c| c.1.elapsed() < Duration::from_secs(180));
        let mut all = json!({
            "num_data_request": seen.data,
            "num_total_seq": seen.sequences,
            "num_sys_request": seen.system,
            "num_total_request": seen.data + seen.system,
            "num_total_client": seen.clients.len(),
            "num_active_client": active.count(),
        });
        let requests: Vec<f64> = seen.clients.values().map(|c| c.0 as f64).collect();
        let rates: Vec<f64> =
            seen.intervals.iter().filter(|&&i| i > 0.0).map(|i| 1.0 / i).collect();
        for (name, values) in [
            ("request_per_client", &requests),
            ("size_per_request", &seen.sizes),
            ("last_two_interval", &seen.intervals),
            ("request_per_second", &rates),
        ] {
            if values.is_empty() {
                continue;
            }
            let min = values.iter().copied().fold(f64::INFINITY, f64::min);
            let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let count = |x: f64| values.iter().filter(|&&v| v == x).count();
            let numbers = [
                ("avg", json!(values.iter().sum::<f64>() / values.len() as f64)),
                ("min", json!(min)),
                ("max", json!(max)),
                ("num_min", json!(count(min))),
                ("num_max", json!(count(max))),
            ];
            for (what, number) in numbers {
                all[format!("{what}_{name}")] = number;
            }
        }
        all
    }
}

fn keep(list: &mut Vec<f64>, value: f64) {
    if list.len() >= REMEMBERED {
        list.remove(0);
    }
    list.push(value);
}
