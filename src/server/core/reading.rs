//! From what a client sends to tokens.

use super::error::{ApiError, ErrorCode};
use crate::capture::{Capture, Overflow};
use crate::encoder::{Encoder, PreparedText};
use crate::error::Result;
use crate::text::{Side, Text, Tokens};

/// A text as a client sends it.
#[derive(Debug, Clone)]
pub enum Input {
    /// A text or a pair.
    Text(Text<'static>),
    /// Rows of the vocabulary; special tokens are put around them where they do not stand there.
    Ids(Vec<u32>),
}

/// What becomes of a text that is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Truncation {
    /// The end of it that the model's files name goes.
    #[default]
    Model,
    /// Its end goes.
    Right,
    /// Its beginning goes.
    Left,
    /// The request is refused.
    Refuse,
    /// It is run in windows; two share so many tokens.
    Window(Option<usize>),
}

impl Truncation {
    /// In the words of a capture; which end goes is not among them.
    pub fn overflow(self) -> Overflow {
        match self {
            Self::Model | Self::Right | Self::Left => Overflow::Truncate,
            Self::Refuse => Overflow::Error,
            Self::Window(stride) => Overflow::Window { stride },
        }
    }

    /// The end that goes, where the request names one.
    fn side(self) -> Option<Side> {
        match self {
            Self::Left => Some(Side::Left),
            Self::Right => Some(Side::Right),
            Self::Model | Self::Refuse | Self::Window(_) => None,
        }
    }
}

/// What a request says of its texts, beside what it wants of them.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// Before every text; `None` for the model's own.
    pub prompt: Option<String>,
    /// Tokens of a text at most; `None` for the model's own.
    pub max_tokens: Option<usize>,
    /// Of longer ones.
    pub truncation: Truncation,
}

/// Two windows share no more than this part of what they hold beside special tokens, or a short
/// text would be the work of a long one.
const MOST_SHARED: (usize, usize) = (7, 8);

impl Reading {
    /// Tokens of a window, and those that two share, where longer texts are run in windows.
    ///
    /// # Errors
    ///
    /// `ErrorCode::Validation` for windows that share nearly all of what they hold.
    pub fn window(&self, encoder: &Encoder) -> Result<Option<(usize, Option<usize>)>, ApiError> {
        let Truncation::Window(stride) = self.truncation else { return Ok(None) };
        let capture = Capture { max_tokens: self.max_tokens, ..Capture::default() };
        let limit = encoder.preprocessor().limit(&capture)?;
        let (before, after) = frame(encoder)?;
        let room = limit.saturating_sub(before.len() + after.len());
        let most = room * MOST_SHARED.0 / MOST_SHARED.1;
        match stride {
            // What leaves no room at all is the tokenizer's to say.
            Some(stride) if stride > most && stride < room => {
                let said = format!(
                    "windows that share {stride} of their {room} tokens are {} times the work of the \
                     text: this server takes window:{most} at most",
                    room / (room - stride)
                );
                Err(ApiError::new(ErrorCode::Validation, said).at("overflow"))
            }
            _ => Ok(Some((limit, stride))),
        }
    }
}

impl Reading {
    /// What `inputs` come to at most in tokens, none of which is of less than a byte, but for
    /// characters that a normalizer makes several of.
    ///
    /// # Errors
    ///
    /// As [`Preprocessor::limit`](crate::encoder::Preprocessor::limit).
    pub fn most_tokens(&self, encoder: &Encoder, inputs: &[Input]) -> Result<usize, ApiError> {
        let capture = Capture { max_tokens: self.max_tokens, ..Capture::default() };
        let limit = match self.truncation {
            Truncation::Window(_) => usize::MAX,
            _ => encoder.preprocessor().limit(&capture)?,
        };
        let (before, after) = frame(encoder)?;
        let prompt = self.prompt.as_ref().map_or(0, String::len);
        let around = 2 * (before.len() + after.len()) + prompt;
        Ok(inputs.iter().map(|input| input.bytes().saturating_add(around).min(limit)).sum())
    }
}

impl Input {
    /// Bytes of all of it; of ids, how many.
    fn bytes(&self) -> usize {
        match self {
            Self::Text(t) => t.text.len() + t.pair.as_deref().map_or(0, str::len),
            Self::Ids(ids) => ids.len(),
        }
    }

    /// Of all of it.
    pub fn characters(&self) -> usize {
        match self {
            Self::Text(t) => {
                t.text.chars().count() + t.pair.as_deref().map_or(0, |pair| pair.chars().count())
            }
            Self::Ids(ids) => ids.len(),
        }
    }
}

/// `inputs`, unless there are none in `field`.
pub fn some(inputs: Vec<Input>, field: &str) -> Result<Vec<Input>, ApiError> {
    match inputs.is_empty() {
        true => Err(ApiError::new(ErrorCode::Empty, "the list is empty").at(field)),
        false => Ok(inputs),
    }
}

/// Makes tokens of `inputs`.
pub fn read(
    encoder: &Encoder,
    inputs: Vec<Input>,
    reading: &Reading,
    capture: &Capture,
    words: bool,
) -> Result<Vec<PreparedText>, ApiError> {
    let preprocessor = encoder.preprocessor();
    let overflow = reading.truncation.overflow();
    let (max_tokens, prompt) = (reading.max_tokens, reading.prompt.clone());
    let capture = Capture { max_tokens, overflow, prompt, ..capture.clone() };
    let limit = preprocessor.limit(&capture)?;
    let skip = preprocessor.skip(&capture, limit)?;
    let several = inputs.len() > 1;
    let place = |i: usize, mut error: ApiError| {
        if several {
            error.message = format!("text {i}: {}", error.message);
        }
        error
    };
    let texts: Vec<Text<'_>> = inputs
        .iter()
        .filter_map(|input| match input {
            Input::Text(text) => Some(Text::from(text)),
            Input::Ids(_) => None,
        })
        .collect();
    let mut of_texts =
        preprocessor.tokenize_cut(&texts, &capture, reading.truncation.side())?.into_iter();
    let mut ready = Vec::with_capacity(inputs.len());
    for (i, input) in inputs.iter().enumerate() {
        let one = match input {
            Input::Text(text) => {
                let Some(tokens) = of_texts.next() else { continue };
                let words = if words { tokens.words(text) } else { Vec::new() };
                PreparedText { tokens, words, skip, ..PreparedText::default() }
            }
            Input::Ids(ids) => {
                let tokens =
                    of_ids(encoder, ids, limit, reading.truncation).map_err(|r| place(i, r))?;
                PreparedText { tokens, ..PreparedText::default() }
            }
        };
        if one.tokens.is_empty() {
            let said = "there are no tokens: this tokenizer adds no special ones";
            return Err(place(i, ApiError::new(ErrorCode::Empty, said)));
        }
        ready.push(one);
    }
    Ok(ready)
}

/// Tokens that a text may be limited to: from those that stand around a pair to the positions.
pub fn limits(encoder: &Encoder) -> (usize, usize) {
    let framed = encoder.preprocessor().tokenizer().encode_whole(&Text::from(("a", "a")));
    let frame = framed.map_or(1, |tokens| tokens.special.iter().filter(|s| **s).count());
    (frame.max(1), encoder.spec().positions)
}

/// The special tokens before and after a text.
pub fn frame(encoder: &Encoder) -> Result<(Vec<u32>, Vec<u32>), ApiError> {
    let framed = encoder.preprocessor().tokenizer().encode_whole(&Text::from("a"))?;
    let before = framed.special.iter().take_while(|s| **s).count();
    let after = framed.special.iter().rev().take_while(|s| **s).count();
    let ids = &framed.ids;
    Ok((ids[..before].to_vec(), ids[ids.len() - after.min(ids.len() - before)..].to_vec()))
}

/// Holds ids against the rows of a vocabulary.
pub fn known(ids: &[u32], rows: usize) -> Result<(), ApiError> {
    let Some(id) = ids.iter().find(|&&id| id as usize >= rows) else { return Ok(()) };
    let most = rows.saturating_sub(1);
    let said = format!("token id {id} is not of this model: its ids end at {most}");
    Err(ApiError::new(ErrorCode::Malformed, said))
}

/// Tokens of ids that a client made itself.
fn of_ids(
    encoder: &Encoder,
    ids: &[u32],
    limit: usize,
    truncation: Truncation,
) -> Result<Tokens, ApiError> {
    if ids.is_empty() {
        return Err(ApiError::new(ErrorCode::Empty, "the list of token ids is empty"));
    }
    let tokenizer = encoder.preprocessor().tokenizer();
    known(ids, tokenizer.vocab_size())?;
    encoder.preprocessor().check_ids(ids)?;
    let (mut before, mut after) = frame(encoder)?;
    if ids.starts_with(&before) && ids.ends_with(&after) {
        (before, after) = (Vec::new(), Vec::new());
    }
    let found = before.len() + ids.len() + after.len();
    let lost = match truncation {
        Truncation::Window(_) => 0,
        _ => found.saturating_sub(limit),
    };
    if lost > 0 && truncation == Truncation::Refuse {
        let said = format!("the text has {found} tokens, the limit is {limit}");
        return Err(ApiError::new(ErrorCode::Validation, said));
    }
    let Some(room) = ids.len().checked_sub(lost) else {
        let said = format!("a limit of {limit} tokens leaves no room for the special ones");
        return Err(ApiError::new(ErrorCode::Validation, said));
    };
    let ids = match truncation.side().unwrap_or(tokenizer.truncation_side()) {
        Side::Left => &ids[lost..],
        Side::Right => &ids[..room],
    };
    let special: Vec<bool> = before
        .iter()
        .map(|_| true)
        .chain(ids.iter().map(|_| false))
        .chain(after.iter().map(|_| true))
        .collect();
    let all: Vec<u32> = before.iter().chain(ids).chain(&after).copied().collect();
    Ok(Tokens {
        types: vec![0; all.len()],
        pieces: all.iter().map(|&id| tokenizer.piece_of(id).unwrap_or_default()).collect(),
        spans: vec![[0, 0]; all.len()],
        words: vec![None; all.len()],
        second: vec![false; all.len()],
        special,
        ids: all,
        lost,
    })
}
