//! What is made ready before the first text: kernels of the usual batches, and memory of a full one.

#[cfg(feature = "gpu")]
use super::batch_tokens;
use super::resolve::Resolved;
use super::{Encoder, Preprocessor};
use crate::capture::Capture;
use crate::model::load::Model;
#[cfg(feature = "gpu")]
use crate::schedule::Variant;
use crate::schedule::{Caps, Recording, record_all};
use crate::text::Tokens;
use crate::text::pack::{PackedBatch, pack};

/// Tokens of a batch of a few words.
const SHORT_BATCH: usize = 16;

/// Tokens of a text in a batch that stands for those to come.
#[cfg(feature = "server")]
const TEXT: usize = 16;

/// The work of a short and of a full batch on a device with `caps`, for the usual request: vectors as
/// the checkpoint was trained for. Nothing where that cannot be known.
pub fn usual(
    model: &Model,
    preprocessor: &Preprocessor,
    caps: &Caps,
    batch_tokens: usize,
) -> Vec<Recording> {
    let capture = Capture::default();
    let Ok(resolved) = Resolved::new(&capture, &model.spec, preprocessor.pipeline(), 0) else {
        return Vec::new();
    };
    let exits = std::slice::from_ref(&resolved.exit);
    let batches = [SHORT_BATCH.min(batch_tokens), batch_tokens]
        .into_iter()
        .flat_map(|count| batches(count, count.min(preprocessor.max_tokens()).max(1)));
    let (spec, layout) = (&model.spec, &model.layout);
    batches.flat_map(|batch| record_all(spec, layout, &batch, exits, caps)).collect()
}

/// The kernels of that work, each once.
#[cfg(feature = "gpu")]
pub fn usual_kernels(model: &Model, preprocessor: &Preprocessor, caps: &Caps) -> Vec<Variant> {
    kernels_of(&usual(model, preprocessor, caps, batch_tokens(model, caps, None)))
}

/// The kernels of `recordings`, each once.
#[cfg(feature = "gpu")]
pub fn kernels_of(recordings: &[Recording]) -> Vec<Variant> {
    let mut kernels = Vec::new();
    for dispatch in recordings.iter().flat_map(Recording::dispatches) {
        if !kernels.contains(&dispatch.variant()) {
            kernels.push(dispatch.variant());
        }
    }
    kernels
}

impl Encoder {
    /// Has what a short and a full batch need made ready, where that can be known: the first call
    /// does not wait for it then.
    pub(super) fn warm(&self) {
        let executor = self.executor.as_ref();
        let usual = usual(&self.model, &self.preprocessor, executor.caps(), self.batch_tokens);
        usual.iter().for_each(|recording| executor.prepare(recording));
    }

    /// Takes the memory that batches of `tokens` need, for the usual requests: vectors of the last
    /// layer, and every state: no more is taken then when the first full batch comes.
    ///
    /// # Errors
    ///
    /// `OutOfMemory`, `Gpu`, `DeviceLost` from the device.
    #[cfg(feature = "server")]
    pub(crate) fn reserve(&self, tokens: usize) -> crate::Result<()> {
        let (executor, spec) = (self.executor.as_ref(), &self.model.spec);
        let tokens = tokens.min(self.batch_tokens);
        let every = Capture::default().layers(crate::Layers::All).pool(crate::Pool::Tokens);
        for capture in [Capture::default(), every.normalize(false)] {
            let Ok(resolved) = Resolved::new(&capture, spec, self.preprocessor.pipeline(), 0)
            else {
                continue;
            };
            let exits = std::slice::from_ref(&resolved.exit);
            for batch in batches(tokens, TEXT.min(tokens).min(self.max_tokens()).max(1)) {
                let Ok(recording) = self.write(executor, exits, &batch) else { continue };
                executor.reserve(&recording)?;
            }
        }
        Ok(())
    }
}

/// Batches of `tokens` in texts of `length`.
fn batches(tokens: usize, length: usize) -> Vec<PackedBatch> {
    let row = vec![0; length];
    let text = Tokens { ids: row.clone(), types: row, ..Tokens::default() };
    pack(&vec![text; tokens / length], tokens, usize::MAX)
}
