//! Settings of `tokenizer_config.json` that hold over `tokenizer.json`, by the rules of its class.

use tokenizers::{
    NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper, Tokenizer, TruncationDirection,
};

use crate::error::{Result, fail};
use crate::quote::quote;
use crate::text::Side;
use crate::text::class::Rules;
use crate::text::settings::{CONFIG, Settings};

/// Changes `inner` to what the settings say.
pub(crate) fn apply(inner: &mut Tokenizer, settings: &Settings) -> Result<()> {
    match settings.class.rules {
        Rules::Bert { chinese } => bert(inner, settings, chinese)?,
        Rules::Bytes { prefix, post } => bytes(inner, settings, prefix, post)?,
        Rules::File | Rules::Refused(_) => {}
    }
    let split = settings.flag("split_special_tokens")?.unwrap_or(false);
    inner.set_encode_special_tokens(split);
    Ok(())
}

/// The end of a text that goes where it is too long: `truncation_side`, else that of `inner`.
pub(crate) fn side(inner: &Tokenizer, settings: &Settings) -> Result<Side> {
    match settings.text("truncation_side")? {
        None => Ok(match inner.get_truncation().map(|t| t.direction) {
            Some(TruncationDirection::Left) => Side::Left,
            _ => Side::Right,
        }),
        Some("right") => Ok(Side::Right),
        Some("left") => Ok(Side::Left),
        Some(other) => Err(fail!(
            Checkpoint,
            "{}: {CONFIG}: `truncation_side` is {other:?}, expected \"left\" or \"right\"",
            settings.folder,
            other = quote(other)
        )),
    }
}

/// Sets BERT's normalizer.
fn bert(inner: &mut Tokenizer, settings: &Settings, chinese: bool) -> Result<()> {
    let Some(NormalizerWrapper::BertNormalizer(found)) = inner.get_normalizer() else {
        return Ok(());
    };
    let mut wanted = *found;
    wanted.lowercase = settings.flag("do_lower_case")?.unwrap_or(true);
    wanted.strip_accents = settings.flag("strip_accents")?;
    if chinese {
        wanted.handle_chinese_chars = settings.flag("tokenize_chinese_chars")?.unwrap_or(true);
    }
    let same = wanted.lowercase == found.lowercase
        && wanted.strip_accents == found.strip_accents
        && wanted.handle_chinese_chars == found.handle_chinese_chars;
    if same {
        return Ok(());
    }
    let folder = &settings.folder;
    inner
        .with_normalizer(Some(wanted))
        .map(|_| ())
        .map_err(|e| fail!(Checkpoint, "{folder}: {CONFIG}: {e}").with_source(e))
}

/// Sets the space before a text, and whether spans hold the space before a word.
fn bytes(
    inner: &mut Tokenizer,
    settings: &Settings,
    prefix: Option<bool>,
    post: bool,
) -> Result<()> {
    let Some(prefix) = settings.flag("add_prefix_space")?.or(prefix) else { return Ok(()) };
    let trim = settings.flag("trim_offsets")?.unwrap_or(true);
    if let Some(PreTokenizerWrapper::ByteLevel(found)) = inner.get_pre_tokenizer() {
        let mut wanted = *found;
        wanted.add_prefix_space = prefix;
        inner.with_pre_tokenizer(Some(wanted));
    }
    if let (true, Some(PostProcessorWrapper::Roberta(found))) = (post, inner.get_post_processor()) {
        let mut wanted = found.clone();
        (wanted.add_prefix_space, wanted.trim_offsets) = (prefix, trim);
        inner.with_post_processor(Some(wanted));
    }
    Ok(())
}
