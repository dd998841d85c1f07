//! Whether the model can run what is asked of a text.

use super::Encoder;
use super::jobs::{Job, PreparedText};
use crate::capture::Pool;
use crate::error::{Result, fail};

/// Whether there is as much said of the tokens as there are, as far as it is read.
fn is_whole(job: &Job<'_>) -> bool {
    let Job { text: PreparedText { tokens, .. }, captures, windows } = *job;
    let count = tokens.len();
    let told = captures.iter().any(|capture| capture.pool == Pool::Tokens);
    let is_told =
        tokens.pieces.len() == count && tokens.spans.len() == count && tokens.words.len() == count;
    tokens.types.len() == count
        && (!told || is_told)
        && (windows.is_none() || tokens.special.len() == count)
}

impl Encoder {
    /// Whether the model can run the text at all.
    pub(super) fn check(&self, job: &Job<'_>) -> Result<()> {
        let text = job.text;
        let (count, most) = (text.tokens.len(), self.model.spec.positions);
        if count == 0 {
            return Err(fail!(Text, "the text has no tokens"));
        }
        if !is_whole(job) {
            return Err(fail!(Usage, "the tokens of the text are not described one by one"));
        }
        let room = if job.windows.is_some() { usize::MAX } else { most };
        if count > room {
            return Err(fail!(TooLong, "the text has {count} tokens, the model {most} positions"));
        }
        if let Some(windows) = job.windows
            && (!windows.of.fits(job, most) || text.positions.is_some())
        {
            return Err(fail!(Usage, "the windows are not of this text and model"));
        }
        if let Some(&id) = text.tokens.ids.iter().find(|&&id| id as usize >= self.model.spec.vocab)
        {
            return Err(fail!(
                Usage,
                "token id {id} is not below the {} rows of the word table",
                self.model.spec.vocab
            ));
        }
        let types = self.model.spec.types;
        if let Some(&found) = text.tokens.types.iter().find(|&&t| t as usize >= types) {
            return Err(fail!(
                Usage,
                "token type {found} is not below the {types} of this model: it takes no pairs"
            ));
        }
        let places = text.positions.as_deref().unwrap_or_default();
        if text.positions.as_ref().is_some_and(|p| p.len() != count)
            || places.iter().any(|&p| p as usize >= most)
        {
            return Err(fail!(
                Usage,
                "the positions do not fit {count} tokens and {most} positions"
            ));
        }
        if text.hidden > 0 && job.windows.is_some() {
            return Err(fail!(Usage, "a text with hidden tokens is not run in windows"));
        }
        if text.hidden >= count {
            return Err(fail!(
                Usage,
                "all {count} tokens of the text are hidden: one must be seen"
            ));
        }
        Ok(())
    }
}
