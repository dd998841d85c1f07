//! What several dialects take: texts or token ids, a capture that the model can do, a prompt by name.

use super::body::{Listed, TokenId, plain};
use crate::capture::{Capture, Precision};
use crate::encoder::Encoder;
use crate::quote::quote;
use crate::server::core::error::{ApiError, ErrorCode};
use crate::server::core::reading::Input;
use crate::server::core::service::Hosted;

/// One text or several, as words or as rows of the vocabulary.
pub enum Inputs {
    /// Texts.
    Texts(Vec<String>),
    /// Ids of texts.
    Ids(Vec<Vec<TokenId>>),
}

impl Listed for Inputs {
    const WANTED: &'static str =
        "a string, a list of strings, a list of token ids, or a list of such lists";
    const ITEM: &'static str = "a string, a token id or a list of token ids";
    type Inner = Vec<TokenId>;

    fn none() -> Self {
        Self::Texts(Vec::new())
    }

    fn text(text: String) -> Option<Self> {
        Some(Self::Texts(vec![text]))
    }

    fn texts(texts: Vec<String>) -> Option<Self> {
        Some(Self::Texts(texts))
    }

    fn ids(ids: Vec<TokenId>) -> Option<Self> {
        Some(Self::Ids(vec![ids]))
    }

    fn lists(lists: Vec<Vec<TokenId>>) -> Option<Self> {
        Some(Self::Ids(lists))
    }
}

impl Inputs {
    /// As the service takes them.
    pub fn into_vec(self) -> Vec<Input> {
        match self {
            Self::Texts(all) => all.into_iter().map(|t| Input::Text(t.into())).collect(),
            Self::Ids(all) => all.into_iter().map(|ids| Input::Ids(plain(ids))).collect(),
        }
    }
}

/// `capture`, which the model can do; errors are of `field`, or of `dims` where that asks for too much.
pub fn checked(
    model: &Hosted,
    capture: Capture,
    field: &str,
    dims: &str,
) -> Result<Capture, ApiError> {
    let encoder = model.batcher.encoder();
    let wrong = |said: String, field: &str| ApiError::new(ErrorCode::Malformed, said).at(field);
    let whole = Capture { dims: None, ..capture.clone() };
    let whole = Capture { precision: Precision::F32, ..whole };
    let width = encoder.header(&whole).map_err(|e| wrong(e.to_string(), field))?.width;
    if let Some(asked) = capture.dims.filter(|&asked| asked > width) {
        let said = format!("the vectors have {width} numbers, {asked} cannot be kept");
        return Err(wrong(said, dims));
    }
    encoder.header(&capture).map_err(|e| wrong(e.to_string(), field))?;
    Ok(capture)
}

/// The model's prompt of this name.
pub fn named_prompt(encoder: &Encoder, name: &str) -> Result<String, ApiError> {
    let prompts = &encoder.pipeline().prompts;
    prompts.get(name).cloned().ok_or_else(|| {
        let known: Vec<&str> = prompts.keys().map(String::as_str).collect();
        let known = if known.is_empty() { "it has none".to_owned() } else { known.join(", ") };
        let said = format!("the model has no prompt named `{}`: {known}", quote(name));
        ApiError::new(ErrorCode::Malformed, said).at("prompt_name")
    })
}
