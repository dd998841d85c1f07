//! What is made ready before the first text: kernels of the usual batches, and memory of a full one.

use super::Encoder;
use super::resolve::Resolved;
use crate::capture::Capture;
use crate::text::Tokens;
use crate::text::pack::{PackedBatch, pack};

/// Tokens of a batch of a few words.
const SHORT_BATCH: usize = 16;

/// Tokens of a text in a batch that stands for those to come.
#[cfg(feature = "server")]
const TEXT: usize = 16;

impl Encoder {
    /// Has what a short and a full batch need made ready, where that can be known: the first call
    /// does not wait for it then.
    pub(super) fn warm(&self) {
        let capture = Capture::default();
        let (executor, spec) = (self.executor.as_ref(), &self.model.spec);
        let Ok(resolved) = Resolved::new(&capture, spec, self.preprocessor.pipeline(), 0) else {
            return;
        };
        let exits = std::slice::from_ref(&resolved.exit);
        for count in [SHORT_BATCH.min(self.batch_tokens), self.batch_tokens] {
            let batches = batches(count, count.min(self.max_tokens()).max(1));
            let recordings = batches.iter().flat_map(|batch| self.write(executor, exits, batch));
            recordings.for_each(|recording| executor.prepare(&recording));
        }
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
