//! The model, state by state: what the CPU executor computes, once, and how far an adapter is off.

use std::collections::HashSet;
use std::sync::Arc;

use everylayer::cpu::Cpu;
use everylayer::encoder::{Preprocessor, usual_kernels};
use everylayer::execute::Execute;
use everylayer::gpu::GpuExecutor;
use everylayer::gpu::device::Gpu;
use everylayer::model::load::Model;
use everylayer::model::sources::Source;
use everylayer::schedule::{Elem, Variant};
use everylayer::testing;
use everylayer::text::pack::{PackedBatch, pack};
use everylayer::{Capture, Error, ErrorKind, Result, Text};
use serde::Serialize;

use crate::cli::progress::Progress;
use everylayer::testing::cases::ModelSizes;
use everylayer::testing::judge::{cosine, difference};

/// Texts of 2 to about 60 tokens; one of a single token, which no tokenizer makes, is added.
const TEXTS: [&str; 5] = [
    "",
    "Hi",
    "Does this machine compute right?",
    "Zoë paid £7.50 for a naïve café sketch — 3.14159 × as much as in 1999 (東京).",
    "Every encoder layer of a text leaves one vector for each of its tokens, and all of them are \
     the same numbers on every device up to rounding: the sums run in another order, a fused \
     multiply-add may be split in two, and the last digits differ, but never the first five of \
     them.",
];

/// What a number of a state may differ by: that of `tests/goldens.rs`.
const DIFFERENCE: f32 = 5e-5;
/// What the cosine of a token's vectors is at least.
const COSINE: f64 = 0.999_999;

/// A state and how an adapter did.
#[derive(Debug, Serialize)]
pub struct State {
    /// 0 goes into block 1, state i comes out of block i.
    pub state: usize,
    /// Over all numbers; infinite, which JSON writes as null, where one is not finite.
    pub max_difference: f32,
    /// Over all tokens.
    pub min_cosine: f64,
    /// Whether both are within their tolerance.
    pub ok: bool,
}

impl State {
    /// Compares (tokens, width) numbers.
    pub fn compare(state: usize, got: &[f32], want: &[f32], width: usize) -> Self {
        let (max_difference, min_cosine) = (difference(got, want), cosine(got, want, width));
        let ok = max_difference <= DIFFERENCE && min_cosine >= COSINE;
        Self { state, max_difference, min_cosine, ok }
    }
}

/// A model, a batch, and every state that the CPU executor makes of it.
pub struct States {
    model: Model,
    preprocessor: Preprocessor,
    batch: PackedBatch,
    /// (tokens, width) a state.
    want: Vec<Vec<f32>>,
}

impl States {
    /// Runs the model of `source` on the CPU.
    pub fn compute(source: &dyn Source) -> Result<Self> {
        let model = Model::open(source)?;
        let texts = TEXTS.map(Text::from);
        let preprocessor = Preprocessor::open(source)?;
        let mut tokens = preprocessor.tokenize(&texts, &Capture::default())?;
        // A tokenizer without special tokens makes nothing of the empty text.
        tokens.retain(|text| !text.is_empty());
        let batch = pack(&tokens, usize::MAX, usize::MAX).pop();
        let mut batch = batch.ok_or_else(|| {
            Error::new(ErrorKind::Text, format!("{}: its tokenizer gives no tokens", model.name))
        })?;
        let (id, position, kind) = (batch.ids[0], batch.positions[0], batch.types[0]);
        batch.ids.push(id);
        batch.positions.push(position);
        batch.types.push(kind);
        batch.offsets.push(batch.ids.len() as u32);
        batch.order.push(batch.order.len());
        let cpu = Cpu::new(Arc::clone(&model.layout), model.weights.as_ref(), Elem::F32)?;
        let want = states(&model, &batch, &cpu)?;
        Ok(Self { model, preprocessor, batch, want })
    }

    /// The model's name.
    pub fn model_name(&self) -> &str {
        &self.model.name
    }

    /// The kernels that a load of the model uses on `gpu`.
    pub fn kernels(&self, gpu: &Gpu) -> HashSet<Variant> {
        let mut kernels = HashSet::new();
        for elem in [Elem::F32, Elem::PackedF16] {
            let caps = GpuExecutor::caps_for(gpu, elem, gpu.abilities());
            kernels.extend(usual_kernels(&self.model, &self.preprocessor, &caps));
        }
        kernels
    }

    /// The sizes that its kernels follow from.
    pub fn sizes(&self) -> ModelSizes {
        let layout = &self.model.layout;
        ModelSizes { head_dim: layout.head_dim(), stride: layout.width() }
    }

    /// Runs the model on `gpu` and fills `rows`.
    pub fn check(&self, gpu: &Arc<Gpu>, rows: &mut Vec<State>, progress: &Progress) -> Result<()> {
        let (layout, weights) = (Arc::clone(&self.model.layout), self.model.weights.clone());
        let executor = GpuExecutor::new(Arc::clone(gpu), layout, weights, Elem::F32)?;
        let got = states(&self.model, &self.batch, &executor)?;
        let pairs = got.iter().zip(&self.want).enumerate();
        let width = self.model.spec.width;
        rows.extend(pairs.map(|(state, (got, want))| State::compare(state, got, want, width)));
        for State { state, max_difference, ok, .. } in rows.iter() {
            let word = if *ok { "ok" } else { "FAIL" };
            progress.result(&format!("{word} state {state} off by {max_difference:.1e}"));
        }
        progress.advance(1);
        Ok(())
    }
}

/// Every state of `batch`.
fn states(model: &Model, batch: &PackedBatch, executor: &dyn Execute) -> Result<Vec<Vec<f32>>> {
    let states = testing::states::states((&model.spec, &model.layout), batch, executor);
    match pollster::block_on(states) {
        Ok(Ok(states)) => Ok(states),
        Ok(Err(found)) => Err(found.into_error().at(&model.name)),
        Err(e) => Err(e.at(&model.name)),
    }
}
