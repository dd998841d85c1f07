//! The one facade: load a model, embed texts, or only write the work down.

mod collect;
mod intake;
mod options;
mod profile;
mod wish;

use std::sync::Arc;

pub use intake::Intake;
pub use options::{Device, Dtype, LoadOptions};
pub use profile::Step;

use crate::capture::{Capture, Precision};
use crate::embeddings::{Embeddings, Header};
use crate::error::{ErrorKind, Result, fail};
use crate::execute::Execute;
use crate::model::load::Model;
use crate::model::locate::locate;
use crate::model::pipeline::Pipeline;
use crate::model::source::Source;
use crate::model::spec::Spec;
use crate::schedule::{Elem, Recording, record};
use crate::text::pack::{PackedBatch, pack};
use crate::text::{Text, Tokens};
use collect::Collector;
use wish::Wish;

/// Tokens of a batch where the caller names no number.
const BATCH_TOKENS: usize = 8192;

/// A model, its tokenizer and the device it runs on.
///
/// `embed` takes `&self`: one encoder serves many threads.
pub struct Encoder {
    model: Model,
    intake: Intake,
    executor: Box<dyn Execute>,
    elem: Elem,
    batch_tokens: usize,
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
        let model = Model::open(source)?;
        let intake = Intake::with_positions(source, model.spec.positions)?;
        let tokenizer = intake.tokenizer();
        if tokenizer.vocab_size() > model.spec.vocab {
            return Err(fail!(
                Checkpoint,
                "{}: the tokenizer has ids up to {}, the word table {} rows: they are not of one \
                 model",
                model.name,
                tokenizer.vocab_size() - 1,
                model.spec.vocab
            ));
        }
        let elem = options.dtype.elem();
        let executor = executor(&model, options, elem).await?;
        let most = executor.caps().max_tokens(&model.spec, &model.layout);
        let batch_tokens = options.batch_tokens.unwrap_or(BATCH_TOKENS).clamp(1, most.max(1));
        Ok(Self { model, intake, executor, elem, batch_tokens })
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
    /// `NotFinite` where a state overflows; `Gpu`, `DeviceLost`, `OutOfMemory` from a device.
    pub async fn embed<'t, T: Into<Text<'t>>>(
        &self,
        texts: impl IntoIterator<Item = T>,
        capture: &Capture,
    ) -> Result<Embeddings> {
        let job = self.prepare(texts, capture)?;
        let mut collector = Collector::new(&job.texts, &job.tokens, job.skip, &job.wish);
        for batch in &job.batches {
            let recording = self.write(&job.wish, batch)?;
            let mut arrived = Vec::new();
            let mut sink = |output, numbers: &[f32]| {
                arrived.push((output, numbers.to_vec()));
                Ok(())
            };
            let run = self.executor.run(&recording, &mut sink);
            run.await.map_err(|e| self.name_model(e))?;
            collector.take(batch, self.model.layout.width, &arrived)?;
        }
        let header = self.header_of(&job.wish, Precision::F32);
        Embeddings::new(header, collector.finish()).quantize(capture.precision)
    }

    /// What the result of [`Encoder::embed`] will say of itself, whatever the texts.
    ///
    /// # Errors
    ///
    /// `Usage` where the capture does not fit the model.
    pub fn header(&self, capture: &Capture) -> Result<Header> {
        let wish = Wish::new(capture, &self.model.spec, self.intake.pipeline(), 0)?;
        let mut header = self.header_of(&wish, capture.precision);
        header.width = capture.precision.stored(header.width);
        Ok(header)
    }

    fn header_of(&self, wish: &Wish<'_>, precision: Precision) -> Header {
        Header {
            model: self.model.name.clone(),
            device: self.executor.device(),
            dtype: self.elem.to_string(),
            layers: wish.states.clone(),
            combine: wish.capture().combine.clone(),
            pool: wish.capture().pool,
            rows: wish.rows(),
            layer_axis: wish.layer_axis(),
            width: wish.out_width(),
            precision,
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
        let job = self.prepare(texts, capture)?;
        job.batches.iter().map(|batch| self.write(&job.wish, batch)).collect()
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
        self.intake.tokenize(&texts, capture)
    }

    /// The encoder as data.
    pub fn spec(&self) -> &Spec {
        &self.model.spec
    }

    /// What the repository says beyond the encoder.
    pub fn pipeline(&self) -> &Pipeline {
        self.intake.pipeline()
    }

    /// The model's name.
    pub fn name(&self) -> &str {
        &self.model.name
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
        self.intake.max_tokens()
    }

    fn prepare<'t, 'c, T: Into<Text<'t>>>(
        &'c self,
        texts: impl IntoIterator<Item = T>,
        capture: &'c Capture,
    ) -> Result<Job<'t, 'c>> {
        let texts: Vec<Text<'t>> = texts.into_iter().map(Into::into).collect();
        let limit = self.intake.limit(capture)?;
        let skip = self.intake.skip(capture, limit)?;
        let wish = Wish::new(capture, &self.model.spec, self.intake.pipeline(), skip)?;
        let tokens = self.intake.tokenize(&texts, capture)?;
        if let Some((i, _)) = tokens.iter().enumerate().find(|(_, t)| t.is_empty()) {
            return Err(fail!(Text, "text {i} has no tokens: this tokenizer adds no special ones"));
        }
        let caps = self.executor.caps();
        let most = wish.exit.max_texts(&self.model.layout, caps.max_binding);
        let batches = pack(&tokens, self.batch_tokens, most);
        Ok(Job { texts, tokens, batches, wish, skip })
    }

    fn write(&self, wish: &Wish<'_>, batch: &PackedBatch) -> Result<Recording> {
        let (spec, layout) = (&self.model.spec, &self.model.layout);
        record(spec, layout, batch, &wish.exit, self.executor.caps())
            .map_err(|e| self.name_model(e))
    }

    fn name_model(&self, e: crate::error::Error) -> crate::error::Error {
        match e.kind() {
            ErrorKind::NotFinite | ErrorKind::Checkpoint => e.at(&self.model.name),
            _ => e,
        }
    }
}

/// A call to `embed`, ready to run.
struct Job<'t, 'c> {
    texts: Vec<Text<'t>>,
    tokens: Vec<Tokens>,
    batches: Vec<PackedBatch>,
    wish: Wish<'c>,
    skip: usize,
}

async fn executor(model: &Model, options: &LoadOptions, elem: Elem) -> Result<Box<dyn Execute>> {
    #[cfg(feature = "gpu")]
    {
        use crate::gpu::device::{Gpu, GpuOptions, Pick};
        use crate::gpu::{GpuExecutor, winners};

        let pick = match &options.device {
            Device::Cpu => None,
            Device::Auto => Some(Pick::Real),
            Device::Gpu => Some(Pick::Any),
            Device::Named(name) => Some(Pick::Named(name.clone())),
        };
        if let Some(pick) = pick {
            let gpu_options = GpuOptions { default_limits: options.default_limits };
            match Gpu::open(&pick, &gpu_options).await {
                Ok(gpu) => {
                    let (layout, weights) = (Arc::clone(&model.layout), model.weights.clone());
                    let mut executor = GpuExecutor::new(Arc::new(gpu), layout, weights, elem)?;
                    if !options.untuned {
                        executor.set_tuning(winners::read(executor.gpu().report()));
                    }
                    return Ok(Box::new(executor));
                }
                // `auto` falls back to the CPU where there is no GPU, never over a failure.
                Err(e) if pick == Pick::Real && e.kind() == ErrorKind::NoAdapter => {}
                Err(e) => return Err(e),
            }
        }
    }
    #[cfg(not(feature = "gpu"))]
    if !matches!(options.device, Device::Auto | Device::Cpu) {
        return Err(fail!(
            NoAdapter,
            "this build has no GPU support; build it with the feature `gpu` or use --device cpu"
        ));
    }
    let cpu = crate::cpu::Cpu::new(Arc::clone(&model.layout), model.weights.as_ref(), elem)?;
    Ok(Box::new(cpu))
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Encoder({} on {})", self.name(), self.device())
    }
}
