//! From texts to tokens as a model wants them: its prompt before, its tokenizer, its limit.
//!
//! Needs no weights and no device; what becomes of the tokens is the encoder's matter.

use std::ops::Range;

use crate::capture::{Capture, Pool};
use crate::error::{Result, Setting, fail};
use crate::model::load;
use crate::model::pipeline::{Folder, Pipeline};
use crate::model::sources::Source;
use crate::text::{Overflow, Side, Text, Tokenizer, Tokens};

/// What a model makes of a text before anything is computed.
#[derive(Debug)]
pub struct Preprocessor {
    pipeline: Pipeline,
    tokenizer: Tokenizer,
    positions: usize,
    /// Rows of the word table.
    rows: usize,
}

impl Preprocessor {
    /// Reads the tokenizer and the settings of `source`, not its weights: a token may have an id
    /// beyond the word table of the model, which an [`Encoder`](crate::Encoder) refuses.
    ///
    /// # Errors
    ///
    /// `Unsupported`, `Checkpoint`, `NotFound` or `Io` for the files.
    pub fn open(source: &dyn Source) -> Result<Self> {
        Self::with_tables(source, load::positions(source)?, usize::MAX)
    }

    /// [`Preprocessor::open`] where the sizes of the position table and of the word table are known.
    pub(super) fn with_tables(source: &dyn Source, positions: usize, rows: usize) -> Result<Self> {
        let pipeline = Pipeline::open(source)?;
        let mut tokenizer = Tokenizer::from_source(&Folder::of_transformer(source)?)?;
        if pipeline.lower_case {
            tokenizer.lower_case().map_err(|e| e.at(source.name()))?;
        }
        Ok(Self { pipeline, tokenizer, positions, rows })
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
            )
            .about(&[Setting::MaxTokens])),
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

    /// [`Preprocessor::tokenize`] where the end of a long text that is cut off is `side`, `None` for the
    /// model's own.
    ///
    /// # Errors
    ///
    /// As [`Preprocessor::tokenize`].
    #[cfg(feature = "server")]
    pub(crate) fn tokenize_cut(
        &self,
        texts: &[Text<'_>],
        capture: &Capture,
        side: Option<Side>,
    ) -> Result<Vec<Tokens>> {
        self.tokenize_part(texts, 0..texts.len(), capture, side)
    }

    /// Refuses an id among `ids` that has no row in the word table.
    ///
    /// # Errors
    ///
    /// `Text`, with the token and its id.
    pub(crate) fn check_ids(&self, ids: &[u32]) -> Result<()> {
        let Some(&id) = ids.iter().find(|&&id| id as usize >= self.rows) else { return Ok(()) };
        let piece = self.tokenizer.piece_of(id).unwrap_or_default();
        Err(fail!(
            Text,
            "the token {piece:?} has the id {id}, and the word table of the model has {} rows: take \
             it out of the text, or add its row to the model",
            self.rows
        ))
    }

    /// [`Preprocessor::tokenize`] of those texts alone whose numbers are in `some`.
    pub(super) fn tokenize_some(
        &self,
        texts: &[Text<'_>],
        some: Range<usize>,
        capture: &Capture,
    ) -> Result<Vec<Tokens>> {
        self.tokenize_part(texts, some, capture, None)
    }

    fn tokenize_part(
        &self,
        texts: &[Text<'_>],
        some: Range<usize>,
        capture: &Capture,
        side: Option<Side>,
    ) -> Result<Vec<Tokens>> {
        let limit = self.limit(capture)?;
        let first = (texts.len() > 1).then_some(some.start);
        let texts = &texts[some];
        let encode = |texts: &[Text<'_>]| {
            self.tokenizer.encode_part(texts, first, limit, capture.overflow, side)
        };
        let tokens = match self.prompt(capture) {
            None => encode(texts)?,
            Some(prompt) => {
                let with = |t: &Text<'_>| Text {
                    text: format!("{prompt}{}", t.text).into(),
                    pair: t.pair.as_deref().map(|pair| pair.to_owned().into()),
                };
                let prompted: Vec<Text<'static>> = texts.iter().map(with).collect();
                let mut tokens = encode(&prompted)?;
                let characters = prompt.chars().count() as u32;
                tokens.iter_mut().for_each(|t| t.forget_prefix(characters));
                tokens
            }
        };
        for (i, tokens) in tokens.iter().enumerate() {
            self.check_ids(&tokens.ids).map_err(|e| match first {
                Some(first) => e.at(format_args!("text {}", first + i)),
                None => e,
            })?;
        }
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
