//! The tokenizer of a model, over the crate `tokenizers`: loading, encoding, truncation.
//!
//! The result is that of Hugging Face's fast tokenizers, token for token. Its own padding and
//! truncation are dropped: limits come from the caller, and batches are not padded.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rayon::prelude::*;
use tokenizers::normalizers::{Lowercase, Sequence};
use tokenizers::utils::truncation::truncate_encodings;
use tokenizers::{
    Encoding, NormalizerWrapper, PostProcessor, PostProcessorWrapper, TruncationDirection,
    TruncationParams, TruncationStrategy,
};

use crate::error::{ErrorKind, Result, fail};
use crate::model::source::{MAX_JSON_BYTES, Source, json_error, read_all};
use crate::text::added::Declared;
use crate::text::files::Frame;
use crate::text::settings::Settings;
use crate::text::wordpiece::from_vocab;
use crate::text::{Overflow, Side, Text, Tokens, file, files, rules};

/// Turns texts into tokens.
pub struct Tokenizer {
    /// Without the post-processor, which comes after the truncation.
    inner: tokenizers::Tokenizer,
    /// Adds the special tokens.
    post: Option<PostProcessorWrapper>,
    vocab_size: usize,
    limit: Option<usize>,
    /// Whether the model is given token types.
    typed: bool,
    /// The end of a text that goes where it is too long.
    side: Side,
}

impl Tokenizer {
    /// Reads `tokenizer.json`, else the vocabulary files of the tokenizer's class (`vocab.txt`,
    /// `spm.model` and the like, `vocab.json` with `merges.txt`), and what
    /// `tokenizer_config.json`, `special_tokens_map.json`, `added_tokens.json` and `config.json`
    /// say of it.
    ///
    /// Where both Transformers 4.57 and 5 let a setting hold over `tokenizer.json`, it does so here;
    /// where one of them does, `tokenizer.json` holds.
    pub fn from_source(source: &dyn Source) -> Result<Self> {
        let settings = Settings::read(source)?;
        let mut declared = Declared::read(source, &settings)?;
        let (mut inner, frame) = match read_all(source, "tokenizer.json", MAX_JSON_BYTES)? {
            Some(bytes) => {
                let place = format!("{}: tokenizer.json", source.name());
                file::check(&bytes, &place)?;
                let inner = guard(|| serde_json::from_slice(&bytes))
                    .ok_or_else(|| fail!(Checkpoint, "{place}: it cannot be loaded"))?;
                declared.add_of_class(&settings)?;
                (inner.map_err(|e| json_error(e, &place))?, None)
            }
            None => from_vocabulary(source, &settings, &mut declared)?,
        };
        rules::apply(&mut inner, &settings)?;
        let side = rules::side(&inner, &settings)?;
        guard(|| declared.add_to(&mut inner))
            .unwrap_or_else(|| Err(fail!(Checkpoint, "the declared tokens cannot be added")))
            .map_err(|e| e.at(source.name()))?;
        if let Some(frame) = frame {
            let post = frame.processor(&inner).map_err(|e| e.at(source.name()))?;
            inner.with_post_processor(Some(post));
        }
        Self::new(inner, &settings, side).map_err(|e| e.at(source.name()))
    }

    fn new(mut inner: tokenizers::Tokenizer, settings: &Settings, side: Side) -> Result<Self> {
        inner.with_padding(None);
        inner
            .with_truncation(None)
            .map_err(|e| fail!(Checkpoint, "tokenizer.json: {e}").with_source(e))?;
        let post = inner.get_post_processor().cloned();
        inner.with_post_processor(None::<PostProcessorWrapper>);
        let largest = inner.get_vocab(true).into_values().max();
        let vocab_size = largest.map_or(0, |id| id as usize + 1);
        let sane = |&limit: &f64| (1.0..1e6).contains(&limit);
        // `max_len` is the name of Transformers 2.
        let limit = match settings.number("model_max_length")? {
            None => settings.number("max_len")?,
            limit => limit,
        };
        // Whole and below a million, so the cast is exact.
        let limit = limit.filter(sane).map(|limit| limit as usize);
        let typed = match settings.texts("model_input_names")? {
            Some(names) => names.contains(&"token_type_ids"),
            None => settings.class.typed,
        };
        Ok(Self { inner, post, vocab_size, limit, typed, side })
    }

    /// Has texts become lower case before all else, where the normalizer does not do so already
    /// (sentence-transformers 6.2 `base/modules/transformer.py`, `do_lower_case`); spans stay those
    /// of the text as it was given.
    pub(crate) fn lower_case(&mut self) -> Result<()> {
        let found = self.inner.get_normalizer().cloned();
        let mut steps = vec![NormalizerWrapper::Lowercase(Lowercase)];
        match found {
            Some(NormalizerWrapper::Lowercase(_)) => return Ok(()),
            Some(NormalizerWrapper::Sequence(sequence)) => {
                let list: &[NormalizerWrapper] = sequence.as_ref();
                if list.iter().any(|n| matches!(n, NormalizerWrapper::Lowercase(_))) {
                    return Ok(());
                }
                steps.extend_from_slice(list);
            }
            other => steps.extend(other),
        }
        self.inner
            .with_normalizer(Some(Sequence::new(steps)))
            .map(|_| ())
            .map_err(|e| fail!(Checkpoint, "`do_lower_case`: {e}").with_source(e))
    }

    /// The largest token id and one: the rows that a model's word embeddings must have.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// `model_max_length` of `tokenizer_config.json`; `None` where it is missing or stands for "no
    /// limit" (a million and more).
    pub fn limit_from_config(&self) -> Option<usize> {
        self.limit
    }

    /// The end of a text that is cut off where it is too long.
    pub fn truncation_side(&self) -> Side {
        self.side
    }

    /// The row of the token that is spelt `piece`, where there is one.
    pub fn id_of(&self, piece: &str) -> Option<u32> {
        self.inner.token_to_id(piece)
    }

    /// How the token of row `id` is spelt, where there is one.
    pub fn piece_of(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The text that `ids` spell, as the tokenizer's decoder joins them.
    ///
    /// # Errors
    ///
    /// `Text` where the decoder fails.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        guard(|| self.inner.decode(ids, skip_special))
            .ok_or_else(|| fail!(Text, "the tokenizer failed on the ids (a panic in it)"))?
            .map_err(|e| fail!(Text, "the ids cannot be decoded: {e}").with_source(e))
    }

    /// `text` between the special tokens, none of its own tokens cut.
    ///
    /// # Errors
    ///
    /// As [`Tokenizer::encode`].
    pub fn encode_whole(&self, text: &Text<'_>) -> Result<Tokens> {
        self.encode(text, usize::MAX, Overflow::Truncate)
    }

    /// How many special tokens are added to a text, or to a `pair`.
    pub fn special_tokens(&self, pair: bool) -> usize {
        self.post.as_ref().map_or(0, |post| post.added_tokens(pair))
    }

    /// The tokens of `text`, at most `max_tokens` with the special ones. Of a longer text `overflow`
    /// says what becomes; of a pair, the longer text is cut first (`longest_first`). Under
    /// [`Overflow::Window`] all tokens come, whatever the limit: [`windows`](crate::text::window::windows)
    /// splits them.
    pub fn encode(&self, text: &Text<'_>, max_tokens: usize, overflow: Overflow) -> Result<Tokens> {
        self.encode_cut(text, max_tokens, overflow, None)
    }

    /// [`Tokenizer::encode`] where the end that is cut off is `side`, `None` for the model's own.
    fn encode_cut(
        &self,
        text: &Text<'_>,
        max_tokens: usize,
        overflow: Overflow,
        side: Option<Side>,
    ) -> Result<Tokens> {
        let added = self.special_tokens(text.pair.is_some());
        let Some(room) = max_tokens.checked_sub(added) else {
            return Err(fail!(
                Usage,
                "a limit of {max_tokens} tokens is too small: the tokenizer adds {added} special tokens"
            ));
        };
        if let Overflow::Window { stride } = overflow {
            check_window(room, max_tokens, stride)?;
        }
        let encoded = guard(|| self.encode_to(text, room, added, overflow, side));
        encoded
            .unwrap_or_else(|| Err(fail!(Text, "the tokenizer failed on the text (a panic in it)")))
    }

    fn encode_to(
        &self,
        text: &Text<'_>,
        room: usize,
        added: usize,
        overflow: Overflow,
        side: Option<Side>,
    ) -> Result<Tokens> {
        let failed = |e: tokenizers::Error| fail!(Text, "the tokenizer failed: {e}").with_source(e);
        let encode = |text: &str| self.inner.encode_char_offsets(text, false).map_err(failed);
        let first = encode(&text.text)?;
        let second = text.pair.as_deref().map(encode).transpose()?;

        let count = |second: &Option<Encoding>| second.as_ref().map_or(0, Encoding::len);
        let found = first.len() + count(&second);
        if found > room && overflow == Overflow::Error {
            return Err(fail!(
                TooLong,
                "the text has {} tokens, the limit is {}: shorten it, raise the limit, or have it cut",
                found + added,
                room + added
            ));
        }
        let whole = matches!(overflow, Overflow::Window { .. });
        if found > room && whole && second.is_some() {
            return Err(fail!(
                Unsupported,
                "the pair has {} tokens, the limit is {}, and a pair cannot be split into windows: \
                 shorten it, or have it cut (overflow truncate)",
                found + added,
                room + added
            ));
        }
        let params = TruncationParams {
            direction: match side.unwrap_or(self.side) {
                Side::Left => TruncationDirection::Left,
                Side::Right => TruncationDirection::Right,
            },
            max_length: if whole { usize::MAX } else { room },
            strategy: TruncationStrategy::LongestFirst,
            stride: 0,
        };
        let (mut first, mut second) = truncate_encodings(first, second, &params).map_err(failed)?;
        let lost = found - first.len() - count(&second);
        // What was cut off is kept beside; it is not wanted.
        first.take_overflowing();
        if let Some(second) = &mut second {
            second.take_overflowing();
            second.set_type_ids(vec![1; second.len()]);
        }

        let encoding = match &self.post {
            Some(post) => post.process(first, second, true),
            None => <dyn PostProcessor>::default_process(
                [first].into_iter().chain(second).collect(),
                true,
            )
            .map(|encodings| Encoding::merge(encodings, false)),
        }
        .map_err(failed)?;
        let mut tokens = to_tokens(&encoding, lost)?;
        if !self.typed {
            tokens.types.fill(0);
        }
        Ok(tokens)
    }

    /// [`Tokenizer::encode`] of many texts on all cores, in their order. The error is that of the
    /// first text that has one, with its index where there are several.
    pub fn encode_all(
        &self,
        texts: &[Text<'_>],
        max_tokens: usize,
        overflow: Overflow,
    ) -> Result<Vec<Tokens>> {
        let several = texts.len() > 1;
        self.encode_part(texts, several.then_some(0), max_tokens, overflow, None)
    }

    /// [`Tokenizer::encode_all`] of a part of the texts of a call: the index of its first text is
    /// `first`, `None` where the call has no other; the end that is cut off is `side`, `None` for the
    /// model's own.
    pub(crate) fn encode_part(
        &self,
        part: &[Text<'_>],
        first: Option<usize>,
        max_tokens: usize,
        overflow: Overflow,
        side: Option<Side>,
    ) -> Result<Vec<Tokens>> {
        let encode = |text| self.encode_cut(text, max_tokens, overflow, side);
        let encoded: Vec<Result<Tokens>> = part.par_iter().map(encode).collect();
        let place = |index: usize, e: crate::Error| match e.kind() {
            // The limit is wrong for every text.
            ErrorKind::Usage => e,
            _ => match first {
                Some(first) => e.at(format_args!("text {}", first + index)),
                None => e,
            },
        };
        encoded.into_iter().enumerate().map(|(i, r)| r.map_err(|e| place(i, e))).collect()
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokenizer({} tokens)", self.vocab_size)
    }
}

/// Whether windows of `room` tokens beside the special ones can share `stride` of them.
fn check_window(room: usize, limit: usize, stride: Option<usize>) -> Result<()> {
    if room == 0 {
        return Err(fail!(
            Usage,
            "a limit of {limit} tokens leaves a window no token of the text: raise it"
        ));
    }
    match stride {
        Some(stride) if stride >= room => Err(fail!(
            Usage,
            "overflow window:{stride}: a window of this limit holds {room} tokens of the text, so \
             that two can share {} at most",
            room - 1
        )),
        _ => Ok(()),
    }
}

/// The tokenizer of a folder without `tokenizer.json`; its post-processor is made of the frame, where
/// there is one, when all tokens have ids.
fn from_vocabulary(
    source: &dyn Source,
    settings: &Settings,
    declared: &mut Declared,
) -> Result<(tokenizers::Tokenizer, Option<Frame>)> {
    let name = source.name();
    let unloaded = || fail!(Checkpoint, "{name}: the tokenizer cannot be loaded");
    let built = guard(|| files::build(source, settings, declared)).ok_or_else(unloaded)??;
    if let Some((inner, frame)) = built {
        return Ok((inner, Some(frame)));
    }
    let Some(json) = from_vocab(source, settings, declared)? else {
        return Err(fail!(
            NotFound,
            "{name}: no tokenizer: neither tokenizer.json nor vocab.txt is there"
        ));
    };
    let inner = guard(|| serde_json::from_value(json)).ok_or_else(unloaded)?;
    Ok((inner.map_err(|e| json_error(e, &format!("{name}: vocab.txt")))?, None))
}

/// Runs `work`; `None` where it panicked. The crate `tokenizers` trusts its files: a template that
/// names a token it does not define is an index out of bounds there.
fn guard<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

fn to_tokens(encoding: &Encoding, lost: usize) -> Result<Tokens> {
    let narrow = |at: usize| {
        u32::try_from(at)
            .map_err(|e| fail!(Text, "the text is too long: {at} characters").with_source(e))
    };
    let spans = encoding.get_offsets().iter();
    let spans = spans.map(|&(start, end)| Ok([narrow(start)?, narrow(end)?]));
    let second: Vec<bool> =
        encoding.get_sequence_ids().into_iter().map(|sequence| sequence == Some(1)).collect();
    let special: Vec<bool> = encoding.get_special_tokens_mask().iter().map(|&m| m != 0).collect();

    let word_ids = encoding.get_word_ids();
    let own = |wanted: bool| {
        let words = word_ids.iter().zip(&second);
        words.filter(move |&(_, &second)| second == wanted).filter_map(|(word, _)| *word)
    };
    let ahead = own(false).max().map_or(0, |word| word + 1);
    let words = word_ids.iter().zip(second.iter().zip(&special));
    let words = words.map(|(word, (&second, &special))| match special {
        true => None,
        false => word.map(|word| if second { ahead + word } else { word }),
    });
    Ok(Tokens {
        ids: encoding.get_ids().to_vec(),
        types: encoding.get_type_ids().to_vec(),
        pieces: encoding.get_tokens().to_vec(),
        spans: spans.collect::<Result<_>>()?,
        words: words.collect(),
        special,
        second,
        lost,
    })
}
