//! The tokenizer of a model, over the crate `tokenizers`: loading, encoding, truncation.
//!
//! The result is that of Hugging Face's fast tokenizers, token for token. Its own padding and
//! truncation are dropped: limits come from the caller, and batches are not padded.

use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rayon::prelude::*;
use tokenizers::normalizers::{Lowercase, Sequence};
use tokenizers::{Encoding, NormalizerWrapper, PostProcessor, PostProcessorWrapper};

use crate::error::{ErrorKind, Result, Setting, fail};
use crate::model::sources::{MAX_JSON_BYTES, Source, json_error, read_all};
use crate::text::added::Declared;
use crate::text::files::Frame;
use crate::text::kept::{Keep, Kept};
use crate::text::seams::Seams;
use crate::text::settings::Settings;
use crate::text::stretch::Sizes;
use crate::text::wordpiece::from_vocab;
use crate::text::{Overflow, Side, Text, Tokens, file, files, kept, rules, sound, stretch};

/// Tokens that special tokens are put around at once.
const FRAMED: usize = 1 << 14;

/// Turns texts into tokens.
pub struct Tokenizer {
    /// Without the post-processor, which comes after the truncation.
    inner: tokenizers::Tokenizer,
    /// Adds the special tokens.
    post: Option<PostProcessorWrapper>,
    /// Where a long text may be taken apart.
    seams: Seams,
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
        sound::added(&inner).map_err(|e| e.at(source.name()))?;
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
        let seams = Seams::of(&inner);
        Ok(Self { inner, post, seams, vocab_size, limit, typed, side })
    }

    #[cfg(test)]
    pub(crate) fn into_inner(self) -> tokenizers::Tokenizer {
        self.inner
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

    /// The first tokens of `text`, at most `max_tokens` with the special ones, whichever end the
    /// model's files would cut.
    #[cfg(feature = "server")]
    pub(crate) fn encode_first(&self, text: &Text<'_>, max_tokens: usize) -> Result<Tokens> {
        self.encode_cut(text, max_tokens, Overflow::Truncate, Some(Side::Right))
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
            )
            .about(&[Setting::MaxTokens]));
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
        let whole = matches!(overflow, Overflow::Window { .. });
        let side = side.unwrap_or(self.side);
        let keep = |most: usize| match side {
            _ if whole => Keep::First(usize::MAX),
            Side::Left => Keep::Last(most),
            Side::Right => Keep::First(most),
        };
        let encode =
            |text: &str| stretch::encode(&self.inner, &self.seams, text, keep(room), Sizes::USUAL);
        let mut first = encode(&text.text)?;
        let mut second = text.pair.as_deref().map(encode).transpose()?;

        let counts = (first.count, second.as_ref().map(|second| second.count));
        let found = counts.0 + counts.1.unwrap_or(0);
        if found > room && overflow == Overflow::Error {
            return Err(fail!(
                TooLong,
                "the text has {} tokens, the limit is {}: shorten it, raise the limit, or \
                 truncate it",
                found + added,
                room + added
            )
            .about(&[Setting::MaxTokens, Setting::Overflow]));
        }
        if found > room && whole && second.is_some() {
            return Err(fail!(
                Unsupported,
                "the pair has {} tokens, the limit is {}, and a pair cannot be split into windows: \
                 shorten it, or truncate it (overflow `truncate`)",
                found + added,
                room + added
            )
            .about(&[Setting::MaxTokens, Setting::Overflow]));
        }
        let lengths = match whole {
            true => (counts.0, counts.1.unwrap_or(0)),
            false => kept::lengths(counts.0, counts.1, room),
        };
        first.cut(keep(lengths.0));
        if let Some(second) = &mut second {
            second.cut(keep(lengths.1));
        }
        let mut tokens = self.framed(&first, second.as_ref())?;
        tokens.lost = found - lengths.0 - lengths.1;
        if !self.typed {
            tokens.types.fill(0);
        }
        Ok(tokens)
    }

    /// The tokens with the special ones around them.
    fn framed(&self, first: &Kept, second: Option<&Kept>) -> Result<Tokens> {
        let mut tokens = Tokens::default();
        let all = first.ids.len();
        if let Some(second) = second {
            let encoding = self.process(first.encoding(0..all, 0), Some(second))?;
            let ahead = first.words.last().map_or(0, |word| word + 1);
            append(&mut tokens, &encoding, 0..encoding.len(), ahead)?;
            return Ok(tokens);
        }
        // Some at a time: the crate takes far more memory for a token than it has in the result.
        let mut start = 0;
        loop {
            let end = all.min(start + FRAMED);
            // The first token of a text has a rule of its own, so the one before comes along.
            let before = start.min(1);
            let encoding = self.process(first.encoding(start - before..end, 0), None)?;
            let special = encoding.get_special_tokens_mask();
            let head = special.iter().take_while(|&&special| special != 0).count();
            let from = if start == 0 { 0 } else { head + before };
            let to = if end == all { encoding.len() } else { head + before + end - start };
            append(&mut tokens, &encoding, from..to, 0)?;
            if end == all {
                return Ok(tokens);
            }
            start = end;
        }
    }

    /// What the post-processor makes of a text or a pair.
    fn process(&self, first: Encoding, second: Option<&Kept>) -> Result<Encoding> {
        let second = second.map(|second| second.encoding(0..second.ids.len(), 1));
        match &self.post {
            Some(post) => post.process(first, second, true),
            None => <dyn PostProcessor>::default_process(
                [first].into_iter().chain(second).collect(),
                true,
            )
            .map(|encodings| Encoding::merge(encodings, false)),
        }
        .map_err(|e| fail!(Text, "the tokenizer failed: {e}").with_source(e))
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
            "a limit of {limit} tokens leaves no room for text in a window: raise it"
        )
        .about(&[Setting::MaxTokens]));
    }
    match stride {
        Some(stride) if stride >= room => Err(fail!(
            Usage,
            "overflow window:{stride}: a window holds {room} tokens of the text, so the stride is \
             at most {}",
            room - 1
        )
        .about(&[Setting::Overflow])),
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

/// Adds the `rows` of `encoding` to `tokens`. Words of the second text of a pair go on from `ahead`.
fn append(tokens: &mut Tokens, encoding: &Encoding, rows: Range<usize>, ahead: u32) -> Result<()> {
    let long = |at: usize| fail!(Text, "the text is too long: {at} characters");
    let narrow = |at: usize| u32::try_from(at).map_err(|e| long(at).with_source(e));
    let of = encoding.get_sequence_ids();
    for row in rows {
        let (start, end) = encoding.get_offsets()[row];
        tokens.spans.push([narrow(start)?, narrow(end)?]);
        let second = of[row] == Some(1);
        let special = encoding.get_special_tokens_mask()[row] != 0;
        let word = encoding.get_word_ids()[row].filter(|_| !special);
        tokens.words.push(word.map(|word| if second { ahead + word } else { word }));
        tokens.second.push(second);
        tokens.special.push(special);
        tokens.ids.push(encoding.get_ids()[row]);
        tokens.types.push(encoding.get_type_ids()[row]);
        if !tokens.pieces.push(&encoding.get_tokens()[row]) {
            return Err(fail!(Text, "the text is too long: its tokens are spelt in over 4 GiB"));
        }
    }
    Ok(())
}
