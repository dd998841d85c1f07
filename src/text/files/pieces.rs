//! The classes whose SentencePiece model is read as Unigram, whatever its trainer was.

use tokenizers::models::unigram::Unigram;
use tokenizers::normalizers::replace::ReplacePattern;
use tokenizers::normalizers::{Lowercase, NFC, NFKD, Replace, Sequence, Strip, StripAccents};
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::pre_tokenizers::punctuation::Punctuation;
use tokenizers::pre_tokenizers::sequence::Sequence as PreSequence;
use tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;
use tokenizers::{
    AddedToken, NormalizerWrapper, PreTokenizerWrapper, SplitDelimiterBehavior, Tokenizer,
};

use super::frame::{Frame, TemplatePart};
use super::spm::{Kind, Model};
use super::{Begun, Folder, charsmap};
use crate::error::Result;
use crate::text::added::extra_ids;

/// What a vocabulary puts for a space.
pub(super) const SPACE: char = '▁';

/// Pieces and scores.
type Vocab = Vec<(String, f64)>;

pub(super) fn albert(folder: &mut Folder<'_>) -> Result<Begun> {
    let model = folder.model()?;
    let mut normalizers = vec![replace(folder, "``", "\"")?, replace(folder, "''", "\"")?];
    if !folder.flag("keep_accents", false)? {
        normalizers.extend([NFKD.into(), StripAccents.into()]);
    }
    if folder.flag("do_lower_case", true)? {
        normalizers.push(Lowercase.into());
    }
    normalizers.extend(compiled(folder, &model)?);
    // The template says [CLS] and [SEP] whatever the tokens are, with the ids of theirs.
    let part = |shown: &str, name: &str| {
        let of = folder.role(name)?;
        match model.pieces.iter().any(|piece| piece.text == of) {
            true => Ok(TemplatePart::Token { text: shown.into(), of, kind: 0 }),
            false => {
                Err(folder.wrong(&format_args!("it has no piece {of:?}, which is the `{name}`")))
            }
        }
    };
    let frame = Frame::bert(part("[CLS]", "cls_token")?, &part("[SEP]", "sep_token")?);
    let prefix = folder.flag("add_prefix_space", true)?;
    let mut tokenizer = unigram(folder, scored(&model), 1, false)?;
    normalize(folder, &mut tokenizer, normalizers)?;
    split_words(&mut tokenizer, prefix);
    Ok(Begun { tokenizer, tokens: added(&model), frame })
}

pub(super) fn xlm_roberta(folder: &mut Folder<'_>) -> Result<Begun> {
    let model = folder.model()?;
    let first = ["bos_token", "pad_token", "eos_token", "unk_token"];
    let first = first.map(|name| folder.role(name).map(|text| (text, 0.0)));
    let mut vocab = first.into_iter().collect::<Result<Vocab>>()?;
    vocab.extend(scored(&model).into_iter().skip(3));
    vocab.push((folder.role("mask_token")?, 0.0));
    fairseq(folder, &model, vocab, 3)
}

pub(super) fn camembert(folder: &mut Folder<'_>) -> Result<Begun> {
    let model = folder.model()?;
    let unk = folder.role("unk_token")?;
    let mut vocab = vec![
        ("<s>NOTUSED".to_owned(), 0.0),
        (folder.role("pad_token")?, 0.0),
        ("</s>NOTUSED".to_owned(), 0.0),
        (unk.clone(), 0.0),
        ("<unk>NOTUSED".to_owned(), -100.0),
    ];
    vocab.extend(scored(&model).into_iter().skip(1));
    vocab.push((folder.role("mask_token")?, 0.0));
    let unk = vocab.iter().position(|(piece, _)| *piece == unk).unwrap_or(0);
    fairseq(folder, &model, vocab, unk)
}

/// What the classes share whose vocabulary begins with fairseq's special tokens.
fn fairseq(folder: &Folder<'_>, model: &Model, vocab: Vocab, unk: usize) -> Result<Begun> {
    let mut tokenizer = unigram(folder, vocab, unk, false)?;
    if let Some(compiled) = compiled(folder, model)? {
        tokenizer.with_normalizer(Some(compiled)).map_err(|e| folder.failed(e))?;
    }
    split_words(&mut tokenizer, folder.flag("add_prefix_space", true)?);
    let frame = Frame::xlm_roberta(&folder.role("bos_token")?, &folder.role("eos_token")?);
    Ok(Begun { tokenizer, tokens: added(model), frame })
}

/// DeBERTa v2 and v3, whose compiled map is passed over (4.57 applies it).
pub(super) fn deberta(folder: &mut Folder<'_>) -> Result<Begun> {
    let model = folder.model()?;
    let vocab = scored(&model);
    let unk = position(&vocab, &folder.role("unk_token")?);
    let unk = unk.map_or_else(|| trained_unk(folder, &model), Ok)?;
    let mut tokenizer = unigram(folder, vocab, unk, false)?;

    let mut normalizers = Vec::new();
    if folder.flag("do_lower_case", false)? {
        normalizers.push(Lowercase.into());
    }
    normalizers.extend(spaces_and_nfc(folder)?);
    normalize(folder, &mut tokenizer, normalizers)?;

    let scheme = match folder.flag("add_prefix_space", true)? {
        true => PrependScheme::Always,
        false => PrependScheme::First,
    };
    let space = Metaspace::new(SPACE, scheme, true);
    let punctuation: Option<PreTokenizerWrapper> = folder
        .flag("split_by_punct", false)?
        .then(|| Punctuation::new(SplitDelimiterBehavior::Isolated).into());
    let steps = punctuation.into_iter().chain([space.clone().into()]);
    tokenizer.with_pre_tokenizer(Some(PreSequence::new(steps.collect())));
    tokenizer.with_decoder(Some(space));

    let frame = bert(folder)?;
    Ok(Begun { tokenizer, tokens: added(&model), frame })
}

pub(super) fn t5(folder: &mut Folder<'_>) -> Result<Begun> {
    let model = folder.model()?;
    let extra = || extra_ids(folder.settings);
    let mut vocab = scored(&model);
    vocab.extend(extra()?.rev().map(|token| (token, 0.0)));
    let mut tokens = added(&model);
    tokens.extend(extra()?.map(|token| AddedToken::from(token, true)));
    // 2 stands for <unk> whatever the model says; T5's own has it there.
    let mut tokenizer = unigram(folder, vocab, 2, false)?;
    if let Some(compiled) = compiled(folder, &model)? {
        tokenizer.with_normalizer(Some(compiled)).map_err(|e| folder.failed(e))?;
    }
    split_words(&mut tokenizer, true);

    let of = folder.role("eos_token")?;
    let eos = TemplatePart::Token { text: "</s>".into(), of, kind: 0 };
    let single = vec![TemplatePart::first(), eos.clone()];
    let pair = [&single[..], &[TemplatePart::second(0), eos]].concat();
    Ok(Begun { tokenizer, tokens, frame: Frame::Template { single, pair } })
}

pub(super) fn big_bird(folder: &mut Folder<'_>) -> Result<Begun> {
    let model = folder.model()?;
    let vocab = scored(&model);
    let unk = position(&vocab, &folder.role("unk_token")?).unwrap_or(100);
    let mut tokenizer = unigram(folder, vocab, unk, false)?;
    let spaces = Replace::new(ReplacePattern::Regex(" {2,}".into()), SPACE.to_string());
    normalize(folder, &mut tokenizer, vec![spaces.map_err(|e| folder.failed(e))?.into()])?;
    split_spaces(&mut tokenizer, folder.flag("add_prefix_space", true)?);
    let frame = bert(folder)?;
    Ok(Begun { tokenizer, tokens: added(&model), frame })
}

/// BARThez: no special tokens around a text (4.57 adds them).
pub(super) fn barthez(folder: &mut Folder<'_>) -> Result<Begun> {
    let model = folder.model()?;
    let mut tokenizer = unigram(folder, scored(&model), 3, false)?;
    normalize(folder, &mut tokenizer, spaces_and_nfc(folder)?)?;
    split_spaces(&mut tokenizer, folder.flag("add_prefix_space", true)?);
    let frame = folder.ends()?;
    Ok(Begun { tokenizer, tokens: added(&model), frame })
}

fn bert(folder: &Folder<'_>) -> Result<Frame> {
    let cls = TemplatePart::token(&folder.role("cls_token")?, 0);
    Ok(Frame::bert(cls, &TemplatePart::token(&folder.role("sep_token")?, 0)))
}

pub(super) fn scored(model: &Model) -> Vocab {
    model.pieces.iter().map(|piece| (piece.text.clone(), f64::from(piece.score))).collect()
}

/// Control pieces are special tokens, a user's own pieces are tokens that are not split.
pub(super) fn added(model: &Model) -> Vec<AddedToken> {
    let pieces = model.pieces.iter().filter(|piece| piece.kind != Kind::Plain);
    let token = |text: &str, special| AddedToken::from(text, special).normalized(false);
    pieces.map(|piece| token(&piece.text, piece.kind == Kind::Control)).collect()
}

/// The unknown piece of the trainer.
pub(super) fn trained_unk(folder: &Folder<'_>, model: &Model) -> Result<usize> {
    let id = model.trainer.unk_id;
    usize::try_from(id)
        .map_err(|e| folder.wrong(&format_args!("its unk_id is {id}")).with_source(e))
}

pub(super) fn unigram(
    folder: &Folder<'_>,
    vocab: Vocab,
    unk: usize,
    byte_fallback: bool,
) -> Result<Tokenizer> {
    let model = Unigram::from(vocab, Some(unk), byte_fallback).map_err(|e| folder.failed(e))?;
    Ok(Tokenizer::new(model))
}

/// The model's own normalization, where it has one.
pub(super) fn compiled(folder: &Folder<'_>, model: &Model) -> Result<Option<NormalizerWrapper>> {
    if model.charsmap.is_empty() {
        return Ok(None);
    }
    let compiled = charsmap::compile(&model.charsmap).map_err(|said| folder.wrong(&said))?;
    Ok(Some(compiled.into()))
}

/// Where the unknown token stands: with a score of 0, as the trainer gives it.
fn position(vocab: &Vocab, unk: &str) -> Option<usize> {
    vocab.iter().position(|(piece, score)| piece == unk && *score == 0.0)
}

fn spaces_and_nfc(folder: &Folder<'_>) -> Result<Vec<NormalizerWrapper>> {
    let spaces = ReplacePattern::Regex(r"\s{2,}|[\n\r\t]".into());
    let spaces = Replace::new(spaces, " ").map_err(|e| folder.failed(e))?;
    Ok(vec![spaces.into(), NFC.into(), Strip::new(false, true).into()])
}

fn replace(folder: &Folder<'_>, from: &str, to: &str) -> Result<NormalizerWrapper> {
    Ok(Replace::new(from, to).map_err(|e| folder.failed(e))?.into())
}

pub(super) fn normalize(
    folder: &Folder<'_>,
    tokenizer: &mut Tokenizer,
    steps: Vec<NormalizerWrapper>,
) -> Result<()> {
    let all = Sequence::new(steps);
    tokenizer.with_normalizer(Some(all)).map(|_| ()).map_err(|e| folder.failed(e))
}

/// Words at whitespace, a space before each where `prefix`.
fn split_words(tokenizer: &mut Tokenizer, prefix: bool) {
    let space = metaspace(prefix);
    let steps = vec![WhitespaceSplit.into(), space.clone().into()];
    tokenizer.with_pre_tokenizer(Some(PreSequence::new(steps)));
    tokenizer.with_decoder(Some(space));
}

/// Words at spaces, one before the first where `prefix`.
fn split_spaces(tokenizer: &mut Tokenizer, prefix: bool) {
    let space = metaspace(prefix);
    tokenizer.with_pre_tokenizer(Some(space.clone()));
    tokenizer.with_decoder(Some(space));
}

fn metaspace(prefix: bool) -> Metaspace {
    let scheme = if prefix { PrependScheme::Always } else { PrependScheme::Never };
    Metaspace::new(SPACE, scheme, true)
}
