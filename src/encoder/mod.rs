//! The one facade: load a model, embed texts, or only write the work down.

mod attention;
mod batch_stream;
mod check;
mod device;
mod jobs;
#[cfg(feature = "gpu")]
mod open_gpu;
mod options;
mod preprocessor;
mod profile;
mod readout;
mod resolve;
mod run;
mod verified;
mod warmup;
mod windowed;
mod work;

use std::sync::{Arc, Mutex, PoisonError};

pub use attention::{MapMemory, OnAttention};
pub use jobs::{Job, JobResults, PreparedText};
pub use options::{Device, Dtype, LoadOptions};
#[cfg(all(feature = "web", target_arch = "wasm32"))]
pub(crate) use readout::token_infos;

pub use preprocessor::Preprocessor;
pub use profile::Step;
#[cfg(target_arch = "wasm32")]
pub use verified::KeptIn;
#[doc(hidden)]
pub use verified::Wrap;
#[cfg(feature = "gpu")]
#[doc(hidden)]
pub use verified::{Summary, summary};
pub use verified::{Verified, Verify};
#[cfg(feature = "gpu")]
#[doc(hidden)]
pub use warmup::usual_kernels;
pub use windowed::{WindowRange, Windowed};

use crate::capture::{Capture, Precision};
use crate::embeddings::{Embeddings, Header, Rerun, TextEmbedding};
use crate::error::{Error, ErrorKind, Result, fail};
use crate::execute::Execute;
use crate::model::load::Model;
use crate::model::locate::locate;
use crate::model::pipeline::Pipeline;
use crate::model::sources::Source;
use crate::model::spec::Spec;
use crate::schedule::{Caps, Elem, Exit, Recording, record_all};
use crate::text::pack::PackedBatch;
use crate::text::{Text, Tokens};
use batch_stream::BatchStream;
use device::{OpenDevice, Start};
#[cfg(feature = "server")]
pub(crate) use readout::{token_infos, word_info};
use resolve::{Epilogue, Resolved};
use run::{BatchLimits, JobStream};

/// Tokens of a batch where the caller names no number.
const BATCH_TOKENS: usize = 8192;

/// A model, its tokenizer and the device it runs on.
///
/// `embed` takes `&self`: one encoder serves many threads.
pub struct Encoder {
    model: Model,
    preprocessor: Preprocessor,
    device: OpenDevice,
    executor: Arc<dyn Execute>,
    /// Executes in f32 what overflows [`Encoder::elem`]; made at the first such text.
    wide: Mutex<Option<Arc<dyn Execute>>>,
    elem: Elem,
    batch_tokens: usize,
    notes: Vec<String>,
    verified: Option<Verified>,
}

impl Encoder {
    /// Opens `model`, which is `bundled`, a directory in Hugging Face layout, or a hub id, and
    /// loads it.
    ///
    /// # Errors
    ///
    /// As [`Encoder::load`]; `NotFound` where there is no such model.
    pub async fn open(model: &str, options: &LoadOptions) -> Result<Self> {
        Self::load(locate(model)?.as_ref(), options).await
    }

    /// [`Encoder::open`], blocking.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open_blocking(model: &str, options: &LoadOptions) -> Result<Self> {
        pollster::block_on(Self::open(model, options))
    }

    /// Loads the model of `source` onto the device of `options`.
    ///
    /// # Errors
    ///
    /// `Unsupported`, `Checkpoint`, `NotFound` or `Io` for the files; `NoAdapter`, `Gpu` or
    /// `OutOfMemory` for the device.
    pub async fn load(source: &dyn Source, options: &LoadOptions) -> Result<Self> {
        if let Some(said) = &options.wrong {
            return Err(Error::new(ErrorKind::Usage, said.clone()));
        }
        let model = match options.no_positions {
            true => Model::open_without_positions(source)?,
            false => Model::open(source)?,
        };
        let preprocessor =
            Preprocessor::with_tables(source, model.spec.positions, model.spec.vocab)?;
        // Ids that no text has do no harm; those that every text has do.
        let bare = preprocessor.tokenizer().encode_whole(&Text::from(""))?;
        preprocessor.check_ids(&bare.ids).map_err(|e| {
            fail!(Checkpoint, "{}: tokenizer and model are not of one kind: {e}", model.name)
        })?;
        let elem = options.dtype.elem();
        let Start { device, executor, notes, verified } =
            Start::new((&model, &preprocessor), options).await?;
        let batch_tokens = batch_tokens(&model, executor.caps(), options.batch_tokens);
        let wide = Mutex::default();
        let encoder = Self {
            model,
            preprocessor,
            device,
            executor,
            wide,
            elem,
            batch_tokens,
            notes,
            verified,
        };
        encoder.warm();
        Ok(encoder)
    }

    /// [`Encoder::load`], blocking.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn load_blocking(source: &dyn Source, options: &LoadOptions) -> Result<Self> {
        pollster::block_on(Self::load(source, options))
    }

    /// Embeds `texts` as `capture` asks; results are in the order of the texts.
    ///
    /// # Errors
    ///
    /// `Usage` where the capture does not fit the model; `TooLong` under
    /// [`Overflow::Error`](crate::Overflow::Error);
    /// `NotFinite` where a state overflows f32 (a text that overflows f16 is run again in f32, and
    /// [`Embeddings::rerun`] tells so); `Gpu`, `DeviceLost`, `OutOfMemory` from a device.
    pub async fn embed<'t, T: Into<Text<'t>>>(
        &self,
        texts: impl IntoIterator<Item = T>,
        capture: &Capture,
    ) -> Result<Embeddings> {
        self.embed_watched(texts, capture, &mut |_| Ok(())).await
    }

    /// [`Encoder::embed`] that calls `watch` whenever a text is done, with how many are. An error of it
    /// ends the call: at the end of a batch, because texts are done by the batch.
    ///
    /// # Errors
    ///
    /// As [`Encoder::embed`]; whatever `watch` returns.
    pub async fn embed_watched<'t, T: Into<Text<'t>>>(
        &self,
        texts: impl IntoIterator<Item = T>,
        capture: &Capture,
        watch: &mut (dyn FnMut(usize) -> Result<()> + Send),
    ) -> Result<Embeddings> {
        let texts: Vec<Text<'t>> = texts.into_iter().map(Into::into).collect();
        let mut stream = BatchStream::new(self, &texts, capture)?;
        let mut done: Vec<Option<TextEmbedding>> = vec![None; texts.len()];
        let mut count = 0;
        let mut on_results = |text: usize, results: Result<Vec<TextEmbedding>>| {
            done[text] = results?.pop().map(|one| TextEmbedding { index: text, ..one });
            count += 1;
            watch(count)
        };
        let executor = (self.executor.as_ref(), false);
        let overflowed = self.run(executor, &mut stream, &mut on_results).await?;
        let mut rerun = None;
        if let Some(state) = overflowed.state {
            let wide = self.wide().await?;
            stream.again(&overflowed.jobs);
            self.run((wide.as_ref(), false), &mut stream, &mut on_results).await?;
            rerun = Some(Rerun { state, texts: overflowed.jobs.into_iter().collect() });
        }
        let header = self.header_of(stream.epilogue());
        let whole = |(i, text): (usize, Option<_>)| {
            text.ok_or_else(|| readout::missing().at(format_args!("text {i}")))
        };
        let texts = done.into_iter().enumerate().map(whole).collect::<Result<_>>()?;
        let mut embeddings = Embeddings::new(header, texts);
        embeddings.rerun = rerun;
        embeddings.quantize(capture.precision)
    }

    /// The same encoder with its executor inside another: one that counts, say, or fails in a test.
    #[must_use]
    pub fn with_executor(
        mut self,
        wrap: impl FnOnce(Arc<dyn Execute>) -> Arc<dyn Execute>,
    ) -> Self {
        self.executor = wrap(self.executor);
        self
    }

    /// The executor in f32 beside that in f16.
    async fn wide(&self) -> Result<Arc<dyn Execute>> {
        let wide = || self.wide.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wide) = wide().as_ref() {
            return Ok(Arc::clone(wide));
        }
        let made = self.device.executor(&self.model, Elem::F32).await.map_err(|e| {
            e.at(format_args!("{}: texts that overflow f16 need the model in f32", self.name()))
        })?;
        // Two calls may have made one each; the first that comes stays.
        Ok(Arc::clone(wide().get_or_insert(made)))
    }

    /// What the result of [`Encoder::embed`] will say of itself, whatever the texts.
    ///
    /// # Errors
    ///
    /// `Usage` where the capture does not fit the model.
    pub fn header(&self, capture: &Capture) -> Result<Header> {
        let resolved = Resolved::new(capture, &self.model.spec, self.preprocessor.pipeline(), 0)?;
        Ok(self.header_of(&resolved.epilogue).stored(capture.precision))
    }

    /// Of results in f32.
    fn header_of(&self, epilogue: &Epilogue<'_>) -> Header {
        Header {
            model: self.model.name.clone(),
            device: self.executor.device(),
            dtype: self.elem.to_string(),
            site: epilogue.capture().site,
            heads: epilogue.heads(),
            final_norm: !epilogue.is_unnormed(),
            layers: epilogue.layers.clone(),
            combine: epilogue.capture().combine.clone(),
            pool: epilogue.capture().pool,
            rows: epilogue.rows(),
            layer_axis: epilogue.layer_axis(),
            width: epilogue.out_width(),
            precision: Precision::F32,
        }
    }

    /// [`Encoder::embed`], blocking.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn embed_blocking<'t, T: Into<Text<'t>>>(
        &self,
        texts: impl IntoIterator<Item = T>,
        capture: &Capture,
    ) -> Result<Embeddings> {
        pollster::block_on(self.embed(texts, capture))
    }

    /// [`Encoder::embed_watched`], blocking.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn embed_watched_blocking<'t, T: Into<Text<'t>>>(
        &self,
        texts: impl IntoIterator<Item = T>,
        capture: &Capture,
        watch: &mut (dyn FnMut(usize) -> Result<()> + Send),
    ) -> Result<Embeddings> {
        pollster::block_on(self.embed_watched(texts, capture, watch))
    }

    /// Writes down, without running it, the work that [`Encoder::embed`] would do, a batch each.
    ///
    /// # Errors
    ///
    /// As [`Encoder::embed`], the device's left out.
    pub fn record<'t, T: Into<Text<'t>>>(
        &self,
        texts: impl IntoIterator<Item = T>,
        capture: &Capture,
    ) -> Result<Vec<Recording>> {
        let texts: Vec<Text<'t>> = texts.into_iter().map(Into::into).collect();
        let mut stream = BatchStream::new(self, &texts, capture)?;
        let (mut recordings, executor) = (Vec::new(), self.executor.as_ref());
        while !stream.is_done() {
            for batch in stream.more(executor)? {
                recordings.push(self.write(executor, batch.exits(), batch.packed())?);
            }
        }
        Ok(recordings)
    }

    /// Splits `texts` into tokens as [`Encoder::embed`] would, prompt included.
    ///
    /// # Errors
    ///
    /// `Text` or `TooLong` for a text; `Usage` for the limit.
    pub fn tokenize<'t, T: Into<Text<'t>>>(
        &self,
        texts: impl IntoIterator<Item = T>,
        capture: &Capture,
    ) -> Result<Vec<Tokens>> {
        let texts: Vec<Text<'t>> = texts.into_iter().map(Into::into).collect();
        self.preprocessor.tokenize(&texts, capture)
    }

    /// The encoder as data.
    pub fn spec(&self) -> &Spec {
        &self.model.spec
    }

    /// What the repository says beyond the encoder.
    pub fn pipeline(&self) -> &Pipeline {
        self.preprocessor.pipeline()
    }

    /// Texts to tokens, without the weights.
    pub fn preprocessor(&self) -> &Preprocessor {
        &self.preprocessor
    }

    /// The model's name.
    pub fn name(&self) -> &str {
        &self.model.name
    }

    /// What a person should know of how the device was chosen, a sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What is known of the kernels that are used on the GPU; `None` on the CPU, and under
    /// [`Verify::Never`].
    pub fn verified(&self) -> Option<&Verified> {
        self.verified.as_ref()
    }

    /// Whether the CPU executor runs it.
    pub fn is_on_cpu(&self) -> bool {
        matches!(self.device, OpenDevice::Cpu)
    }

    /// The device's name.
    pub fn device(&self) -> String {
        self.executor.device()
    }

    /// Storage type of the weights.
    pub fn dtype(&self) -> Elem {
        self.elem
    }

    /// Bytes the weights take on the device.
    pub fn weight_bytes(&self) -> u64 {
        self.executor.weight_bytes()
    }

    /// Tokens of one batch at most.
    pub fn batch_tokens(&self) -> usize {
        self.batch_tokens
    }

    /// The limit of tokens for one text where the caller names none: the repository's
    /// `max_seq_length`, else the position table.
    pub fn max_tokens(&self) -> usize {
        self.preprocessor.max_tokens()
    }

    /// How large a batch may be on `executor` that brings `exits`.
    fn limits(&self, executor: &dyn Execute, exits: &[Exit]) -> BatchLimits {
        let max_binding = executor.caps().max_binding;
        let spec = &self.model.spec;
        let texts = exits.iter().map(|exit| exit.max_texts(spec, max_binding));
        let tokens = exits.iter().map(|exit| exit.max_tokens(spec, max_binding));
        let tokens = tokens.chain([self.batch_tokens_on(executor)]).min().unwrap_or(1);
        BatchLimits { tokens, texts: texts.min().unwrap_or(usize::MAX) }
    }

    /// Tokens of one batch at most on `executor`: an executor in f32 has less room than one in f16.
    fn batch_tokens_on(&self, executor: &dyn Execute) -> usize {
        self.batch_tokens.min(most_tokens(&self.model, executor.caps()))
    }

    fn write(
        &self,
        executor: &dyn Execute,
        exits: &[Exit],
        batch: &PackedBatch,
    ) -> Result<Recording> {
        let (spec, layout) = (&self.model.spec, &self.model.layout);
        record_all(spec, layout, batch, exits, executor.caps()).map_err(|e| self.name_model(e))
    }

    fn name_model(&self, e: crate::error::Error) -> crate::error::Error {
        match e.kind() {
            ErrorKind::NotFinite | ErrorKind::Checkpoint => e.at(&self.model.name),
            _ => e,
        }
    }
}

/// Tokens of one batch at most with `caps`, of which the caller `asked` for so many.
fn batch_tokens(model: &Model, caps: &Caps, asked: Option<usize>) -> usize {
    asked.unwrap_or(BATCH_TOKENS).clamp(1, most_tokens(model, caps))
}

/// Tokens of one batch at most, whatever the caller names.
fn most_tokens(model: &Model, caps: &Caps) -> usize {
    let most = caps.max_tokens(&model.spec, &model.layout);
    most.min(caps.timely_tokens(&model.layout)).max(1)
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Encoder({} on {})", self.name(), self.device())
    }
}

#[cfg(test)]
mod tests;
