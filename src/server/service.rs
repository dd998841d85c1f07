//! What every front end shares: the models, the limits, and the way from texts to results.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::batcher::{Batcher, Bounds, Client, Done, Ready};
use super::metrics::Metrics;
use super::refusal::{Refusal, Why};
use crate::capture::{Capture, Overflow, Pool};
use crate::embeddings::Embeddings;
use crate::encoder::{Encoder, LoadOptions};
use crate::error::Result;
use crate::text::{Text, Tokens};

/// How a server is set up. `Settings::default()` is safe on one machine.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Asked of every request but `/health` and `/ping`, as `Authorization: Bearer KEY`.
    pub api_keys: Vec<String>,
    /// Origins a browser may call from; `*` is any.
    pub cors: Vec<String>,
    /// Texts of one request.
    pub max_client_batch: usize,
    /// Bytes of one request.
    pub payload_limit: usize,
    /// Texts that may wait.
    pub max_queue: usize,
    /// Tokens of one batch.
    pub max_batch_tokens: usize,
    /// Connections at once.
    pub max_connections: usize,
    /// Whether a text that is too long is cut where the request does not say.
    pub auto_truncate: bool,
    /// In which the head of a request, and each part of its body, must have come.
    pub patience: Duration,
    /// How long accepted work may go on once the server is told to end.
    pub grace: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            api_keys: Vec::new(),
            cors: Vec::new(),
            max_client_batch: 2048,
            payload_limit: 16_000_000,
            max_queue: 16_384,
            max_batch_tokens: 8192,
            max_connections: 1024,
            auto_truncate: true,
            patience: Duration::from_secs(15),
            grace: Duration::from_secs(30),
        }
    }
}

/// A model that is served.
pub struct Hosted {
    /// What clients call it.
    pub name: String,
    /// What it was opened as.
    pub id: String,
    /// Its queue.
    pub batcher: Arc<Batcher>,
}

/// Everything the front ends share.
pub struct Service {
    /// The first is used where a request names none.
    pub models: Vec<Hosted>,
    /// Limits and keys.
    pub settings: Settings,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// When it began.
    pub started: Instant,
    /// What BERT-as-Service clients get.
    pub bert: super::bert::Config,
    /// What they are told of each other.
    pub statistic: super::bert::Statistic,
    closing: AtomicBool,
    clients: AtomicU64,
    /// HTTP requests under way.
    pub(super) under_way: AtomicU64,
}

/// A text as a client sends it.
#[derive(Debug, Clone)]
pub enum Input {
    /// A text or a pair.
    Text(Text<'static>),
    /// Rows of the vocabulary; special tokens are put around them where they do not stand there.
    Ids(Vec<u32>),
}

/// What becomes of a text that is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cut {
    /// Its end goes.
    #[default]
    Right,
    /// Its beginning goes.
    Left,
    /// The request is refused.
    Refuse,
}

/// What a request says of its texts, beside what it wants of them.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// Before every text; `None` for the model's own.
    pub prompt: Option<String>,
    /// Tokens of a text at most; `None` for the model's own.
    pub max_tokens: Option<usize>,
    /// Of longer ones.
    pub cut: Cut,
}

/// What came of a request.
pub struct Outcome {
    /// One a capture.
    pub results: Vec<Embeddings>,
    /// Tokens of all texts, cut ones left out.
    pub tokens: usize,
    /// Characters of all texts.
    pub characters: usize,
    /// Texts that were cut, and the tokens they lost.
    pub truncated: (usize, usize),
    /// The tokens and words of each text, where they were asked for.
    pub ready: Vec<Ready>,
    /// Where its time went.
    pub times: Times,
}

/// Where the time of a request went.
#[derive(Debug, Clone, Copy, Default)]
pub struct Times {
    /// In the tokenizer.
    pub tokenization: Duration,
    /// Waiting.
    pub queue: Duration,
    /// In the model.
    pub inference: Duration,
}

impl Service {
    /// Loads `models` (a name and what to open) and starts their queues.
    ///
    /// # Errors
    ///
    /// As [`Encoder::open`].
    pub fn open(
        models: &[(String, String)],
        options: &LoadOptions,
        settings: Settings,
        bert: super::bert::Config,
    ) -> Result<Arc<Self>> {
        let metrics = Arc::new(Metrics::default());
        let bounds = Bounds {
            texts: settings.max_queue,
            tokens: settings.max_queue.saturating_mul(128),
            batch_tokens: settings.max_batch_tokens,
        };
        let host = |(name, id): &(String, String)| {
            let encoder = Encoder::open_blocking(id, options)?;
            let (again, options) = (id.clone(), options.clone());
            let reopen = Box::new(move || Encoder::open_blocking(&again, &options));
            let batcher = Batcher::start(encoder, reopen, bounds, Arc::clone(&metrics))?;
            Ok(Hosted { name: name.clone(), id: id.clone(), batcher })
        };
        let models = models.iter().map(host).collect::<Result<Vec<_>>>()?;
        if models.is_empty() {
            return Err(crate::error::fail!(Usage, "there is no model to serve: name one"));
        }
        Ok(Arc::new(Self {
            models,
            settings,
            metrics,
            started: Instant::now(),
            bert,
            statistic: super::bert::Statistic::default(),
            closing: AtomicBool::new(false),
            clients: AtomicU64::new(1),
            under_way: AtomicU64::new(0),
        }))
    }

    /// A new client.
    pub fn client(&self) -> Client {
        self.clients.fetch_add(1, Relaxed)
    }

    /// New work is refused from now on.
    pub fn close(&self) {
        self.closing.store(true, Relaxed);
    }

    /// Whether new work is refused.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Relaxed)
    }

    /// The model of this name; the first where none is named.
    ///
    /// # Errors
    ///
    /// [`Why::NotFound`] for a name that is not served.
    pub fn model(&self, name: Option<&str>) -> Result<&Hosted, Refusal> {
        let Some(name) = name else { return Ok(&self.models[0]) };
        self.models.iter().find(|m| m.name == name || m.id == name).ok_or_else(|| {
            let served: Vec<&str> = self.models.iter().map(|m| m.name.as_str()).collect();
            let shown: String = name.chars().take(100).collect();
            let said = format!("model `{shown}` is not served here: use {}", served.join(", "));
            Refusal::new(Why::NotFound, said)
        })
    }

    /// Embeds `inputs` as each of `captures` asks, with one run of each text through the model.
    ///
    /// # Errors
    ///
    /// What the tokenizer, the queue or the model say.
    pub async fn embed(
        &self,
        client: Client,
        model: &Hosted,
        inputs: Vec<Input>,
        reading: Reading,
        captures: Vec<Capture>,
        keep: bool,
    ) -> Result<Outcome, Refusal> {
        if self.is_closing() {
            return Err(Refusal::closing());
        }
        if inputs.is_empty() {
            return Err(Refusal::new(Why::Empty, "there is no text to embed"));
        }
        if inputs.len() > self.settings.max_client_batch {
            let (count, most) = (inputs.len(), self.settings.max_client_batch);
            let said = format!("{count} texts are more than the {most} of one request");
            return Err(Refusal::new(Why::TooLarge, said));
        }
        let encoder = model.batcher.encoder();
        // What does not fit the model is said before anything is run.
        let plain: Vec<Capture> = captures
            .iter()
            .map(|c| Capture {
                precision: crate::Precision::F32,
                prompt: reading.prompt.clone(),
                ..c.clone()
            })
            .collect();
        for capture in &captures {
            encoder.header(capture)?;
        }
        let began = Instant::now();
        let characters = inputs.iter().map(Input::characters).sum();
        let words = keep || plain.iter().any(|c| matches!(c.pool, Pool::Words(_)));
        let first = plain.first().cloned().unwrap_or_default();
        let ready = self.read(&encoder, inputs, reading, first, words).await?;
        let tokenization = began.elapsed();
        self.metrics.tokenization.took(tokenization);
        let tokens = ready.iter().map(|r| r.tokens.len()).sum();
        let lost = ready.iter().map(|r| r.tokens.lost);
        let truncated = (lost.clone().filter(|&l| l > 0).count(), lost.sum());
        self.metrics.truncated.add(truncated.0 as u64);
        ready.iter().for_each(|r| self.metrics.lengths.see(r.tokens.len() as f64));
        let kept = if keep { ready.clone() } else { Vec::new() };
        let Done { texts, queued, ran } =
            model.batcher.submit(client, ready, plain.clone()).await?;
        self.metrics.queue.took(queued);
        self.metrics.inference.took(ran);
        let mut by_capture: Vec<Vec<_>> = captures.iter().map(|_| Vec::new()).collect();
        for text in texts {
            by_capture.iter_mut().zip(text).for_each(|(all, one)| all.push(one));
        }
        let finish = |((texts, plain), capture): ((Vec<_>, &Capture), &Capture)| {
            Embeddings::new(encoder.header(plain)?, texts).quantize(capture.precision)
        };
        let results = by_capture.into_iter().zip(&plain).zip(&captures).map(finish);
        Ok(Outcome {
            results: results.collect::<Result<_>>()?,
            tokens,
            characters,
            truncated,
            ready: kept,
            times: Times { tokenization, queue: queued, inference: ran },
        })
    }

    /// Tokens of `inputs`: here where there is little to do, else on another thread.
    async fn read(
        &self,
        encoder: &Arc<Encoder>,
        inputs: Vec<Input>,
        reading: Reading,
        capture: Capture,
        words: bool,
    ) -> Result<Vec<Ready>, Refusal> {
        let bytes: usize = inputs.iter().map(Input::characters).sum();
        let encoder = Arc::clone(encoder);
        let work = move || read(&encoder, inputs, &reading, &capture, words);
        if bytes < 4096 {
            return work();
        }
        let failed = |_| Refusal::new(Why::Tokenizer, "the tokenizer failed on the texts");
        tokio::task::spawn_blocking(work).await.map_err(failed)?
    }
}

impl Input {
    fn characters(&self) -> usize {
        match self {
            Self::Text(t) => t.text.len() + t.pair.as_deref().map_or(0, str::len),
            Self::Ids(ids) => ids.len(),
        }
    }
}

/// Makes tokens of `inputs`.
fn read(
    encoder: &Encoder,
    inputs: Vec<Input>,
    reading: &Reading,
    capture: &Capture,
    words: bool,
) -> Result<Vec<Ready>, Refusal> {
    let intake = encoder.intake();
    let overflow = match reading.cut {
        Cut::Refuse => Overflow::Error,
        _ => Overflow::Truncate,
    };
    let (max_tokens, prompt) = (reading.max_tokens, reading.prompt.clone());
    let capture = Capture { max_tokens, overflow, prompt, ..capture.clone() };
    let limit = intake.limit(&capture)?;
    let skip = intake.skip(&capture, limit)?;
    let several = inputs.len() > 1;
    let place = |i: usize, mut refusal: Refusal| {
        if several && !refusal.message.starts_with("text ") {
            refusal.message = format!("text {i}: {}", refusal.message);
        }
        refusal
    };
    let texts: Vec<Text<'_>> = inputs
        .iter()
        .filter_map(|input| match input {
            Input::Text(text) => Some(Text::from(text)),
            Input::Ids(_) => None,
        })
        .collect();
    let mut of_texts = match reading.cut {
        Cut::Left => {
            let whole = Capture { max_tokens: None, ..capture.clone() };
            let prompt = whole.prompt.or(intake.pipeline().default_prompt.clone());
            let prompt = prompt.unwrap_or_default();
            let left = |(i, text): (usize, &Text<'_>)| {
                let with = Text { text: format!("{prompt}{}", text.text).into(), ..text.clone() };
                let mut tokens = intake.tokenizer().encode_whole(&with)?;
                tokens.forget_prefix(prompt.chars().count() as u32);
                cut_left(tokens, limit).map_err(|r| place(i, r))
            };
            texts.iter().enumerate().map(left).collect::<Result<Vec<_>, Refusal>>()?
        }
        _ => intake.tokenize(&texts, &capture)?,
    }
    .into_iter();
    let mut ready = Vec::with_capacity(inputs.len());
    for (i, input) in inputs.iter().enumerate() {
        let one = match input {
            Input::Text(text) => {
                let Some(tokens) = of_texts.next() else { continue };
                let words = if words { tokens.words(text) } else { Vec::new() };
                Ready { tokens, words, skip, ..Ready::default() }
            }
            Input::Ids(ids) => {
                let tokens = of_ids(encoder, ids, limit, overflow).map_err(|r| place(i, r))?;
                Ready { tokens, ..Ready::default() }
            }
        };
        if one.tokens.is_empty() {
            let said = "there are no tokens: this tokenizer adds no special ones";
            return Err(place(i, Refusal::new(Why::Empty, said)));
        }
        ready.push(one);
    }
    Ok(ready)
}

/// Keeps the last of a text's own tokens, and the special ones.
fn cut_left(tokens: Tokens, limit: usize) -> Result<Tokens, Refusal> {
    let lost = tokens.len().saturating_sub(limit);
    let own = tokens.special.iter().filter(|s| !**s).count();
    if lost > own {
        let said = format!("a limit of {limit} tokens leaves no room for the special ones");
        return Err(Refusal::new(Why::Validation, said));
    }
    let mut left = lost;
    let keep: Vec<bool> = tokens
        .special
        .iter()
        .map(|&special| {
            let goes = !special && left > 0;
            left -= usize::from(goes);
            !goes
        })
        .collect();
    fn kept<T>(all: Vec<T>, keep: &[bool]) -> Vec<T> {
        all.into_iter().zip(keep).filter_map(|(one, &keep)| keep.then_some(one)).collect()
    }
    Ok(Tokens {
        ids: kept(tokens.ids, &keep),
        types: kept(tokens.types, &keep),
        pieces: kept(tokens.pieces, &keep),
        spans: kept(tokens.spans, &keep),
        words: kept(tokens.words, &keep),
        special: kept(tokens.special, &keep),
        second: kept(tokens.second, &keep),
        lost,
    })
}

/// The special tokens before and after a text.
pub(super) fn frame(encoder: &Encoder) -> Result<(Vec<u32>, Vec<u32>), Refusal> {
    let framed = encoder.intake().tokenizer().encode_whole(&Text::from("a"))?;
    let before = framed.special.iter().take_while(|s| **s).count();
    let after = framed.special.iter().rev().take_while(|s| **s).count();
    let ids = &framed.ids;
    Ok((ids[..before].to_vec(), ids[ids.len() - after.min(ids.len() - before)..].to_vec()))
}

/// Tokens of ids that a client made itself.
fn of_ids(
    encoder: &Encoder,
    ids: &[u32],
    limit: usize,
    overflow: Overflow,
) -> Result<Tokens, Refusal> {
    if ids.is_empty() {
        return Err(Refusal::new(Why::Empty, "the list of token ids is empty"));
    }
    let tokenizer = encoder.intake().tokenizer();
    if let Some(id) = ids.iter().find(|&&id| id as usize >= tokenizer.vocab_size()) {
        let most = tokenizer.vocab_size() - 1;
        let said = format!("token id {id} is not of this model: its ids end at {most}");
        return Err(Refusal::new(Why::Validation, said));
    }
    let (mut before, mut after) = frame(encoder)?;
    if ids.starts_with(&before) && ids.ends_with(&after) {
        (before, after) = (Vec::new(), Vec::new());
    }
    let found = before.len() + ids.len() + after.len();
    let lost = found.saturating_sub(limit);
    if lost > 0 && overflow == Overflow::Error {
        let said = format!("the text has {found} tokens, the limit is {limit}");
        return Err(Refusal::new(Why::Validation, said));
    }
    let Some(room) = ids.len().checked_sub(lost) else {
        let said = format!("a limit of {limit} tokens leaves no room for the special ones");
        return Err(Refusal::new(Why::Validation, said));
    };
    let special: Vec<bool> = before
        .iter()
        .map(|_| true)
        .chain(ids[..room].iter().map(|_| false))
        .chain(after.iter().map(|_| true))
        .collect();
    let all: Vec<u32> = before.iter().chain(&ids[..room]).chain(&after).copied().collect();
    Ok(Tokens {
        types: vec![0; all.len()],
        pieces: all.iter().map(|&id| tokenizer.piece_of(id).unwrap_or_default()).collect(),
        spans: vec![[0, 0]; all.len()],
        words: vec![None; all.len()],
        second: vec![false; all.len()],
        special,
        ids: all,
        lost,
    })
}
