//! Requests and answers as JSON: what a page writes down to ask, and all of a result but its numbers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::capture::Capture;
use crate::embeddings::{Embeddings, Rows, TokenInfo, WordInfo};
use crate::encoder::{Device, Encoder, LoadOptions, Verify, token_infos};
use crate::error::{Result, fail};
use crate::text::{Text, Tokens};

/// `options` of `Encoder.load`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Opening {
    device: String,
    dtype: Option<String>,
    batch_tokens: Option<usize>,
    verify: Option<String>,
}

impl Opening {
    /// How a model is to be loaded.
    pub fn parse(json: &str) -> Result<LoadOptions> {
        let asked: Self = parse(json, "options")?;
        let device = match asked.device.as_str() {
            "webgpu" => Device::Gpu,
            "cpu" => Device::Cpu,
            other => {
                return Err(fail!(Usage, "device `{other}` is unknown: use auto, webgpu or cpu"));
            }
        };
        let mut options = LoadOptions::default().device(device);
        if let Some(verify) = asked.verify {
            options = options.verify(verify.parse::<Verify>()?);
        }
        if let Some(dtype) = asked.dtype {
            options = options.dtype(dtype.parse::<crate::Dtype>()?);
        }
        if asked.batch_tokens == Some(0) {
            return Err(fail!(Usage, "batchTokens is 0: it must be at least 1"));
        }
        options.batch_tokens = asked.batch_tokens;
        Ok(options)
    }
}

/// A capture, in the words of the command line.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ask {
    site: Option<String>,
    final_norm: Option<bool>,
    layers: Option<String>,
    combine: Option<String>,
    pool: Option<String>,
    normalize: Option<bool>,
    dims: Option<usize>,
    precision: Option<String>,
    max_tokens: Option<usize>,
    overflow: Option<String>,
    prompt: Option<String>,
    prompt_name: Option<String>,
}

impl Ask {
    /// As JSON says it.
    pub fn parse(json: &str) -> Result<Self> {
        parse(json, "the capture")
    }

    /// The capture; a prompt's name is one of `prompts`.
    pub fn capture(self, prompts: &BTreeMap<String, String>) -> Result<Capture> {
        let mut capture = Capture {
            normalize: self.normalize,
            dims: self.dims,
            max_tokens: self.max_tokens,
            final_norm: self.final_norm,
            ..Capture::default()
        };
        if let Some(site) = self.site {
            capture.site = site.parse()?;
        }
        if let Some(layers) = self.layers {
            capture.layers = layers.parse()?;
        }
        if let Some(combine) = self.combine {
            capture.combine = combine.parse()?;
        }
        if let Some(pool) = self.pool {
            capture.pool = pool.parse()?;
        }
        if let Some(precision) = self.precision {
            capture.precision = precision.parse()?;
        }
        if let Some(overflow) = self.overflow {
            capture.overflow = overflow.parse()?;
        }
        capture.prompt = match (self.prompt, self.prompt_name) {
            (Some(_), Some(_)) => {
                return Err(fail!(Usage, "prompt and promptName exclude each other: give one"));
            }
            (prompt, None) => prompt,
            (None, Some(name)) => Some(prompts.get(&name).cloned().ok_or_else(|| {
                let known: Vec<_> = prompts.keys().map(String::as_str).collect();
                fail!(Usage, "the model has no prompt named `{name}`; it has: {}", known.join(", "))
            })?),
        };
        Ok(capture)
    }
}

/// A list of texts, a pair being a list of two.
pub fn texts(json: &str) -> Result<Vec<Text<'static>>> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum One {
        Text(String),
        Pair(String, String),
    }
    let all: Vec<One> = parse(json, "the texts")?;
    let text = |one| match one {
        One::Text(text) => text.into(),
        One::Pair(text, pair) => (text, pair).into(),
    };
    Ok(all.into_iter().map(text).collect())
}

/// All of `embeddings` but its numbers; `shape` drops an axis of one layer, as the JSON of the
/// command line does.
pub fn head(embeddings: &Embeddings) -> Result<String> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Head<'a> {
        model: &'a str,
        device: &'a str,
        dtype: &'a str,
        layers: &'a [usize],
        combine: String,
        pool: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        site: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        heads: Option<usize>,
        #[serde(skip_serializing_if = "Option::is_none")]
        head_dim: Option<usize>,
        #[serde(skip_serializing_if = "Option::is_none")]
        final_norm: Option<bool>,
        precision: String,
        width: usize,
        truncated: usize,
        tokens_lost: usize,
        rerun: &'a [usize],
        results: Vec<Result<'a>>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Result<'a> {
        index: usize,
        text_tokens: usize,
        #[serde(skip_serializing_if = "is_zero")]
        tokens_lost: usize,
        shape: Vec<usize>,
        #[serde(skip_serializing_if = "Option::is_none")]
        tokens: Option<&'a [TokenInfo]>,
        #[serde(skip_serializing_if = "Option::is_none")]
        words: Option<&'a [WordInfo]>,
    }
    let (rows, axis, width) = (embeddings.rows, embeddings.layer_axis, embeddings.width);
    let result = |text: &crate::TextEmbedding| {
        let layers = (axis != 1).then_some(axis);
        let lines = (rows != Rows::Texts).then_some(text.rows);
        (layers.into_iter().chain(lines)).chain([width]).collect()
    };
    let results = embeddings.texts.iter().map(|text| Result {
        index: text.index,
        text_tokens: text.text_tokens,
        tokens_lost: text.lost,
        shape: result(text),
        tokens: (rows == Rows::Tokens).then_some(text.tokens.as_slice()),
        words: (rows == Rows::Words).then_some(text.words.as_slice()),
    });
    let site = embeddings.site_fields();
    write(&Head {
        model: &embeddings.model,
        device: &embeddings.device,
        dtype: &embeddings.dtype,
        layers: &embeddings.layers,
        combine: embeddings.combine.to_string(),
        pool: embeddings.pool.to_string(),
        site: site.site,
        heads: site.heads,
        head_dim: site.head_dim,
        final_norm: site.final_norm,
        precision: embeddings.precision.to_string(),
        width,
        truncated: embeddings.truncated(),
        tokens_lost: embeddings.lost(),
        rerun: embeddings.rerun.as_ref().map_or(&[], |rerun| &rerun.texts),
        results: results.collect(),
    })
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// The tokens of `texts`.
pub fn tokens(model: &str, texts: &[Text<'_>], tokens: &[Tokens]) -> Result<String> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct One<'a> {
        index: usize,
        text_tokens: usize,
        lost: usize,
        ids: &'a [u32],
        types: &'a [u32],
        tokens: Vec<TokenInfo>,
        words: Vec<WordInfo>,
    }
    #[derive(Serialize)]
    struct All<'a> {
        model: &'a str,
        results: Vec<One<'a>>,
    }
    let one = |(index, (text, tokens)): (usize, (&Text<'_>, &'_ Tokens))| {
        let words = tokens.words(text).into_iter();
        let word = |w: crate::text::Word| WordInfo {
            text: w.text,
            start: w.start as usize,
            end: w.end as usize,
        };
        (index, token_infos(tokens), words.map(word).collect::<Vec<_>>())
    };
    let made: Vec<_> = texts.iter().zip(tokens).enumerate().map(one).collect();
    let results = made.into_iter().zip(tokens).map(|((index, infos, words), of)| One {
        index,
        text_tokens: of.len(),
        lost: of.lost,
        ids: &of.ids,
        types: &of.types,
        tokens: infos,
        words,
    });
    write(&All { model, results: results.collect() })
}

/// What the model of `encoder` is and where it runs.
pub fn info(encoder: &Encoder) -> Result<String> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Info<'a> {
        version: &'static str,
        model: &'a str,
        family: &'static str,
        depth: usize,
        states: usize,
        width: usize,
        heads: usize,
        vocab: usize,
        positions: usize,
        pooler: bool,
        pipeline: Vec<String>,
        prompts: &'a BTreeMap<String, String>,
        device: String,
        dtype: String,
        weight_bytes: u64,
        limits: Limits,
        #[serde(skip_serializing_if = "Option::is_none")]
        verified: Option<Found<'a>>,
    }
    #[derive(Serialize)]
    struct Found<'a> {
        kernels: usize,
        ran: usize,
        model: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        fault: Option<&'a str>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Limits {
        max_tokens: usize,
        batch_tokens: usize,
    }
    let (spec, pipeline) = (encoder.spec(), encoder.pipeline());
    write(&Info {
        version: env!("CARGO_PKG_VERSION"),
        model: encoder.name(),
        family: spec.family,
        depth: spec.depth(),
        states: spec.depth() + 1,
        width: spec.width,
        heads: spec.heads,
        vocab: spec.vocab,
        positions: spec.positions,
        pooler: spec.pooler.is_some(),
        pipeline: pipeline.describe(),
        prompts: &pipeline.prompts,
        device: encoder.device(),
        dtype: encoder.dtype().to_string(),
        weight_bytes: encoder.weight_bytes(),
        limits: Limits { max_tokens: encoder.max_tokens(), batch_tokens: encoder.batch_tokens() },
        verified: encoder.verified().map(|found| Found {
            kernels: found.kernels,
            ran: found.ran,
            model: found.model,
            fault: found.fault.as_deref(),
        }),
    })
}

fn parse<'a, T: Deserialize<'a>>(json: &'a str, what: &str) -> Result<T> {
    serde_json::from_str(json).map_err(|e| fail!(Usage, "{what}: {e}").with_source(e))
}

fn write(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| fail!(Text, "not JSON: {e}").with_source(e))
}
