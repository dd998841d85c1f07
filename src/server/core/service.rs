//! What every front end shares: the models, the limits, and the way from texts to results.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Instrument;

use super::batcher::{Batcher, Bounds, Client, Done, Open, Ready};
use super::bodies::Bodies;
use super::error::{Refusal, Why};
use super::health::Pulse;
use super::metrics::Metrics;
use super::reading::{Input, Reading, read};
use super::settings::Settings;
use crate::capture::{Capture, Pool};
use crate::embeddings::Embeddings;
use crate::encoder::{Encoder, LoadOptions};
use crate::error::Result;

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
    /// For results, in [`ROOM_UNIT`]s.
    room: Arc<Semaphore>,
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

/// Bytes that results are counted in.
const ROOM_UNIT: usize = 1 << 10;

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
    pub ready: Vec<Arc<Ready>>,
    /// Where its time went.
    pub times: Times,
    /// What its results take, until it is dropped.
    room: OwnedSemaphorePermit,
}

impl Outcome {
    /// Bytes of its vectors in f32.
    pub fn bytes(&self) -> usize {
        self.room.num_permits() * ROOM_UNIT
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
        let room = Arc::new(Semaphore::new(settings.max_result_bytes / ROOM_UNIT));
        let bodies = Bodies::new(settings.max_body_bytes);
        let readers = rayon::current_num_threads().div_ceil(2);
        let reading = rayon::ThreadPoolBuilder::new()
            .num_threads(readers)
            .thread_name(|i| format!("tokens {i}"))
            .build()
            .map_err(|e| crate::error::fail!(Io, "the system gives no threads: {e}"))?;
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
            room,
            readers: Arc::new(Semaphore::new(2 * readers)),
            reading: Arc::new(reading),
        }))
    }

    /// Room for `bytes` of results, kept until it is dropped.
    ///
    /// # Errors
    ///
    /// [`Why::TooLarge`] for more than there is at all, [`Why::Overloaded`] for more than is free.
    pub fn reserve(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        let most = self.settings.max_result_bytes;
        if bytes > most {
            let said = format!(
                "the results would take {bytes} bytes, the limit of this server is {most}: ask for \
                 fewer texts, layers or tokens at a time"
            );
            return Err(Refusal::new(Why::TooLarge, said));
        }
        let units = u32::try_from(bytes / ROOM_UNIT).unwrap_or(u32::MAX);
        Arc::clone(&self.room).try_acquire_many_owned(units).map_err(|_| {
            self.metrics.overloaded.add(1);
            Refusal::busy()
        })
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
                overflow: reading.cut.overflow(),
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
        let span = tracing::info_span!("tokenize", texts = inputs.len());
        let ready = self.read(&encoder, inputs, reading, first, words).instrument(span).await?;
        let ready: Vec<Arc<Ready>> = ready.into_iter().map(Arc::new).collect();
        let tokenization = began.elapsed();
        self.metrics.tokenization.took(tokenization);
        let tokens = ready.iter().map(|r| r.tokens.len()).sum();
        let lost = ready.iter().map(|r| r.tokens.lost);
        let truncated = (lost.clone().filter(|&l| l > 0).count(), lost.sum());
        self.metrics.truncated.add(truncated.0 as u64);
        ready.iter().for_each(|r| self.metrics.lengths.see(r.tokens.len() as f64));
        let room = self.reserve(room(&encoder, &ready, &plain, window)?)?;
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
        Ok(Outcome {
            results: results.collect::<Result<_>>()?,
            tokens,
            characters,
            truncated,
            ready: kept,
            times: Times { tokenization, queue: queued, inference: ran },
            room,
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
        // A turn each: what waits here has no tokens yet, and goes when its client does.
        let turn = Arc::clone(&self.readers).acquire_owned().await;
        let turn = turn.map_err(|_| Refusal::closing())?;
        let pool = Arc::clone(&self.reading);
        let work = move || {
            let _turn = turn;
            pool.install(work)
        };
        let failed = |_| Refusal::new(Why::Tokenizer, "the tokenizer failed on the texts");
        tokio::task::spawn_blocking(work).await.map_err(failed)?
    }
}

/// Bytes that the results of `ready` take: the vectors, and the states of texts in windows.
fn room(
    encoder: &Encoder,
    ready: &[Arc<Ready>],
    captures: &[Capture],
    window: Option<(usize, Option<usize>)>,
) -> Result<usize, Refusal> {
    let mut numbers = 0usize;
    for capture in captures {
        let header = encoder.header(capture)?;
        let row = header.layer_axis * header.width;
        let states = header.layers.len() * encoder.spec().width;
        for text in ready {
            let tokens = text.tokens.len();
            let rows = match capture.pool {
                Pool::Tokens => tokens,
                Pool::Words(_) => text.words.len(),
                _ => 1,
            };
            let windows = window.is_some_and(|(limit, _)| tokens > limit);
            let assembled = if windows { tokens.saturating_mul(states) } else { 0 };
            numbers = numbers.saturating_add(rows.saturating_mul(row)).saturating_add(assembled);
        }
    }
    Ok(numbers.saturating_mul(4))
}
