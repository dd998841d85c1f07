//! From texts to tokens as a model wants them: its prompt before, its tokenizer, its limit.
//!
//! Needs no weights and no device; what becomes of the tokens is the encoder's matter.

use std::ops::Range;

use crate::capture::{Capture, Pool};
use crate::error::{Result, fail};
use crate::model::load;
use crate::model::pipeline::{Folder, Pipeline};
use crate::model::source::Source;
use crate::text::{Overflow, Text, Tokenizer, Tokens};

/// What a model makes of a text before anything is computed.
#[derive(Debug)]
pub struct Intake {
    pipeline: Pipeline,
    tokenizer: Tokenizer,
    positions: usize,
}

impl Intake {
    /// Reads the tokenizer and the settings of `source`, not its weights.
    ///
    /// # Errors
    ///
    /// `Unsupported`, `Checkpoint`, `NotFound` or `Io` for the files.
    pub fn open(source: &dyn Source) -> Result<Self> {
        Self::with_positions(source, load::positions(source)?)
    }

    /// [`Intake::open`] where the size of the position table is known.
    pub(super) fn with_positions(source: &dyn Source, positions: usize) -> Result<Self> {
        let pipeline = Pipeline::open(source)?;
        let mut tokenizer = Tokenizer::from_source(&Folder::of_transformer(source)?)?;
        if pipeline.lower_case {
            tokenizer.lower_case().map_err(|e| e.at(source.name()))?;
        }
        Ok(Self { pipeline, tokenizer, positions })
    }

    /// What the repository says beyond the encoder.
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The limit of tokens for one text where the caller names none: the repository's
    /// `max_seq_length`, else the position table.
    pub fn max_tokens(&self) -> usize {
        self.pipeline
            .max_tokens
            .or(self.tokenizer.limit_from_config())
            .map_or(self.positions, |m| m.min(self.positions))
    }

    /// The limit under `capture`.
    ///
    /// # Errors
    ///
    /// `Usage` for more tokens than the model has positions.
    pub fn limit(&self, capture: &Capture) -> Result<usize> {
        capture.check()?;
        let positions = self.positions;
        match capture.max_tokens {
            Some(n) if n > positions => Err(fail!(
                Usage,
                "a limit of {n} tokens is more than the {positions} positions of this model"
            )),
            Some(n) => Ok(n),
            None => Ok(self.max_tokens()),
        }
    }

    /// Splits `texts` into tokens, prompt included; spans and words are those of the texts
    /// themselves. Under [`Overflow::Window`] these are the tokens of whole texts, and the prompt
    /// stands at the start of a text's first window alone.
    ///
    /// # Errors
    ///
    /// `Text` or `TooLong` for a text; `Usage` for the limit.
    pub fn tokenize(&self, texts: &[Text<'_>], capture: &Capture) -> Result<Vec<Tokens>> {
        self.tokenize_some(texts, 0..texts.len(), capture)
    }

    /// [`Intake::tokenize`] of those texts alone whose numbers are in `some`.
    pub(super) fn tokenize_some(
        &self,
        texts: &[Text<'_>],
        some: Range<usize>,
        capture: &Capture,
    ) -> Result<Vec<Tokens>> {
        let limit = self.limit(capture)?;
        let first = (texts.len() > 1).then_some(some.start);
        let texts = &texts[some];
        let Some(prompt) = self.prompt(capture) else {
            return self.tokenizer.encode_part(texts, first, limit, capture.overflow);
        };
        let with = |t: &Text<'_>| Text {
            text: format!("{prompt}{}", t.text).into(),
            pair: t.pair.as_deref().map(|pair| pair.to_owned().into()),
        };
        let prompted: Vec<Text<'static>> = texts.iter().map(with).collect();
        let mut tokens = self.tokenizer.encode_part(&prompted, first, limit, capture.overflow)?;
        let characters = prompt.chars().count() as u32;
        tokens.iter_mut().for_each(|t| t.forget_prefix(characters));
        Ok(tokens)
    }

    fn prompt<'c>(&'c self, capture: &'c Capture) -> Option<&'c str> {
        let prompt = capture.prompt.as_deref().or(self.pipeline.default_prompt.as_deref());
        prompt.filter(|p| !p.is_empty())
    }

    /// Tokens at the start of every text that the repository keeps out of pooling: the prompt
    /// with the special token before it (sentence-transformers: the prompt's own length without
    /// the special token after it).
    pub fn skip(&self, capture: &Capture, limit: usize) -> Result<usize> {
        // The pooler reads the first token, prompt or not.
        let pools =
            capture.pool != Pool::Pooler && capture.pool.modes(&self.pipeline.pooling).is_some();
        match self.prompt(capture) {
            Some(prompt) if pools && !self.pipeline.pooling.include_prompt => {
                // Windows lose no token of it.
                let limit = match capture.overflow {
                    Overflow::Window { .. } => usize::MAX,
                    Overflow::Truncate | Overflow::Error => limit,
                };
                let tokens =
                    self.tokenizer.encode(&Text::from(prompt), limit, Overflow::Truncate)?;
                let after = usize::from(tokens.special.last().copied().unwrap_or(false));
                Ok(tokens.len() - after)
            }
            _ => Ok(0),
        }
    }
}
