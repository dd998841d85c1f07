//! What every front end shares: the models, the limits, and the way from texts to results.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Instrument;

use super::batcher::{Batcher, Bounds, Client, Done, Open};
use super::bodies::{self, Bodies, Caller};
use super::error::{ApiError, ErrorCode};
use super::health::Pulse;
use super::metrics::Metrics;
use super::reading::{Input, Reading, read};
use super::results::{self, Results};
use super::settings::Settings;
use crate::capture::{Capture, Pool};
use crate::embeddings::Embeddings;
use crate::encoder::{Encoder, LoadOptions, PreparedText};
use crate::error::Result;
use crate::quote::quote;

/// A model that is served.
pub struct Hosted {
    /// What clients call it.
    pub name: String,
    /// What it was opened as.
    pub id: String,
    /// Its queue.
    pub batcher: Arc<Batcher>,
    /// Whether it goes on.
    pub(super) pulse: Pulse,
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
    pub(in crate::server) under_way: AtomicU64,
    /// For bodies.
    pub(in crate::server) bodies: Bodies,
    /// For results.
    pub(in crate::server) results: Results,
    /// Of long texts, how many requests may be tokenised at once.
    readers: Arc<Semaphore>,
    /// Where they are: threads of their own, or the model on the CPU would wait for the tokenizer.
    reading: Arc<rayon::ThreadPool>,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.models.iter().for_each(|model| model.batcher.close());
    }
}

/// Characters whose tokens are made at once, where no other client waits for it.
pub const SHORT: usize = 4096;

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
    pub ready: Vec<Arc<PreparedText>>,
    /// Where its time went.
    pub times: Times,
    /// Whether it ran on the CPU.
    pub on_cpu: bool,
    /// What its results take, until it is dropped.
    room: OwnedSemaphorePermit,
}

impl Outcome {
    /// Bytes of its vectors in f32, and of the tokens that are kept.
    pub fn bytes(&self) -> usize {
        self.room.num_permits() * results::UNIT
    }
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
    /// Loads `models` (a name and what to open), each on every device of `options`, and starts
    /// their queues.
    ///
    /// # Errors
    ///
    /// As [`Encoder::open`].
    pub fn open(
        models: &[(String, String)],
        options: &[LoadOptions],
        settings: Settings,
        bert: super::bert::Config,
    ) -> Result<Arc<Self>> {
        let host = |(name, id): &(String, String)| {
            let open = |options: &LoadOptions| -> Open {
                let (id, options) = (id.clone(), options.clone());
                Box::new(move || Encoder::open_blocking(&id, &options))
            };
            (name.clone(), id.clone(), options.iter().map(open).collect())
        };
        Self::host(models.iter().map(host).collect(), settings, bert)
    }

    /// [`Service::open`] of models with a name, an id, and what opens them on each device.
    ///
    /// # Errors
    ///
    /// What the openers say; `Usage` where there is no model or no device.
    pub fn host(
        models: Vec<(String, String, Vec<Open>)>,
        settings: Settings,
        bert: super::bert::Config,
    ) -> Result<Arc<Self>> {
        let metrics = Arc::new(Metrics::default());
        let bounds = Bounds {
            texts: settings.max_queue,
            waiting: settings.max_queue.saturating_mul(256),
            request: settings.max_request_tokens,
            batch_tokens: settings.max_batch_tokens,
            batch_time: settings.batch_time,
        };
        let host = |(name, id, opens)| {
            let batcher = Batcher::start(opens, bounds, Arc::clone(&metrics))?;
            Ok(Hosted { name, id, batcher, pulse: Pulse::default() })
        };
        let models = models.into_iter().map(host).collect::<Result<Vec<_>>>()?;
        if models.is_empty() {
            return Err(crate::error::fail!(Usage, "there is no model to serve: name one"));
        }
        let results = Results::new(settings.max_result_bytes);
        let bodies = Bodies::new(settings.max_body_bytes);
        let readers = rayon::current_num_threads().div_ceil(2);
        let reading = rayon::ThreadPoolBuilder::new()
            .num_threads(readers)
            .thread_name(|i| format!("tokens {i}"))
            .build()
            .map_err(|e| crate::error::fail!(Io, "cannot start threads: {e}"))?;
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
            bodies,
            results,
            readers: Arc::new(Semaphore::new(2 * readers)),
            reading: Arc::new(reading),
        }))
    }

    /// Threads that make tokens of long texts.
    pub fn tokenizers(&self) -> usize {
        self.reading.current_num_threads()
    }

    /// A new client.
    pub fn client(&self) -> Client {
        self.clients.fetch_add(1, Relaxed)
    }

    /// Whether no request is under way and no device works.
    pub fn is_at_rest(&self) -> bool {
        let is_idle = |model: &Hosted| model.batcher.is_idle();
        self.under_way.load(Relaxed) == 0 && self.models.iter().all(is_idle)
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
    /// `ErrorCode::NotFound` for a name that is not served.
    pub fn model(&self, name: Option<&str>) -> Result<&Hosted, ApiError> {
        let Some(name) = name else { return Ok(&self.models[0]) };
        self.models.iter().find(|m| m.name == name || m.id == name).ok_or_else(|| {
            let served: Vec<&str> = self.models.iter().map(|m| m.name.as_str()).collect();
            let said =
                format!("model `{}` is not served here: use {}", quote(name), served.join(", "));
            ApiError::new(ErrorCode::NotFound, said)
        })
    }

    /// Embeds `inputs` as each of `captures` asks, with one run of each text through the model.
    ///
    /// # Errors
    ///
    /// What the tokenizer, the queue or the model say.
    pub async fn embed(
        &self,
        Caller { client, room: body }: Caller,
        model: &Hosted,
        inputs: Vec<Input>,
        reading: Reading,
        captures: Vec<Capture>,
        keep: bool,
    ) -> Result<Outcome, ApiError> {
        if self.is_closing() {
            return Err(ApiError::closing());
        }
        if inputs.is_empty() {
            return Err(ApiError::new(ErrorCode::Empty, "there is no text to embed"));
        }
        if inputs.len() > self.settings.max_client_batch {
            let (count, most) = (inputs.len(), self.settings.max_client_batch);
            let said = format!("{count} texts are more than the {most} of one request");
            return Err(ApiError::new(ErrorCode::TooLarge, said));
        }
        let encoder = model.batcher.encoder();
        // What does not fit the model is said before anything is run.
        let plain: Vec<Capture> = captures
            .iter()
            .map(|c| Capture {
                precision: crate::Precision::F32,
                overflow: reading.truncation.overflow(),
                prompt: reading.prompt.clone(),
                ..c.clone()
            })
            .collect();
        for (capture, plain) in captures.iter().zip(&plain) {
            encoder.header(&Capture { overflow: plain.overflow, ..capture.clone() })?;
        }
        model.batcher.has_room(inputs.len())?;
        let began = Instant::now();
        let characters = inputs.iter().map(Input::characters).sum();
        let words = keep || plain.iter().any(|c| matches!(c.pool, Pool::Words(_)));
        let first = plain.first().cloned().unwrap_or_default();
        let window = reading.window(&encoder)?;
        // Tokens that are kept have their room before they are made; of those that are not, the queue
        // bounds the number.
        let expected = match keep {
            true => {
                let most = reading.most_tokens(&encoder, &inputs)?;
                results::kept(most.min(self.settings.max_request_tokens))
            }
            false => 0,
        };
        let span = tracing::info_span!("tokenize", texts = inputs.len());
        let read = self.read(&encoder, (inputs, body), (reading, first, words), expected);
        let (ready, mut room) = read.instrument(span).await?;
        let ready: Vec<Arc<PreparedText>> = ready.into_iter().map(Arc::new).collect();
        let tokenization = began.elapsed();
        self.metrics.tokenization.took(tokenization);
        let tokens = ready.iter().map(|r| r.tokens.len()).sum();
        let lost = ready.iter().map(|r| r.tokens.lost);
        let truncated = (lost.clone().filter(|&l| l > 0).count(), lost.sum());
        self.metrics.truncated.add(truncated.0 as u64);
        ready.iter().for_each(|r| self.metrics.lengths.see(r.tokens.len() as f64));
        let size = results::size(&encoder, &ready, &plain, window, keep)?;
        self.results.resize(&mut room, size)?;
        let kept = if keep { ready.clone() } else { Vec::new() };
        let span = tracing::info_span!("run", model = model.name, tokens);
        let Done { texts, queued, ran } =
            model.batcher.submit(client, ready, plain.clone(), window).instrument(span).await?;
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
        let results = results.collect::<Result<Vec<_>>>()?;
        let ran_on = |on: &Encoder| results.first().is_none_or(|r| r.device == on.device());
        let mut encoders = model.batcher.workers().iter().map(|worker| worker.encoder());
        let on_cpu = encoders.any(|encoder| encoder.is_on_cpu() && ran_on(&encoder));
        Ok(Outcome {
            results,
            tokens,
            characters,
            truncated,
            ready: kept,
            times: Times { tokenization, queue: queued, inference: ran },
            on_cpu,
            room,
        })
    }

    /// A turn to make tokens of a long text: what waits here has none yet, and goes when its client
    /// does.
    ///
    /// # Errors
    ///
    /// Where the server ends.
    pub async fn turn(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let turn = Arc::clone(&self.readers).acquire_owned().await;
        turn.map_err(|_| ApiError::closing())
    }

    /// Where turns are given, for work that is not done here.
    pub fn turns(&self) -> Arc<Semaphore> {
        Arc::clone(&self.readers)
    }

    /// Tokens of `inputs`, and room for the `expected` bytes of those that are kept: here where there is
    /// little to do, else on another thread.
    async fn read(
        &self,
        encoder: &Arc<Encoder>,
        (inputs, body): (Vec<Input>, Option<bodies::Room>),
        (reading, capture, words): (Reading, Capture, bool),
        expected: usize,
    ) -> Result<(Vec<PreparedText>, OwnedSemaphorePermit), ApiError> {
        let bytes: usize = inputs.iter().map(Input::characters).sum();
        let encoder = Arc::clone(encoder);
        let work = move || read(&encoder, inputs, &reading, &capture, words);
        if bytes < SHORT {
            let room = self.results.expect(expected)?;
            return Ok((work()?, room));
        }
        let turn = self.turn().await?;
        let room = self.results.expect(expected)?;
        let pool = Arc::clone(&self.reading);
        let work = move || {
            let _held = (turn, body);
            pool.install(work)
        };
        let failed = |_| ApiError::new(ErrorCode::Tokenizer, "the tokenizer failed on the texts");
        let ready = tokio::task::spawn_blocking(work).await.map_err(failed)??;
        Ok((ready, room))
    }
}
