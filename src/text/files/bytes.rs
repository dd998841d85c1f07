//! The classes of byte pairs: `vocab.json` with `merges.txt`, and SentencePiece models of BPE.

use std::collections::HashMap;

use serde_json::{Value, json};
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::normalizers::Replace;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::{DecoderWrapper, Tokenizer};

use super::frame::Frame;
use super::pieces::{SPACE, added, compiled, normalize, scored, trained_unk, unigram};
use super::spm::Model;
use super::{Begun, Folder};
use crate::error::{Result, fail};
use crate::model::sources::{MAX_JSON_BYTES, parse_json, read_all};
use crate::quote::quote;
use crate::text::sound::MAX_ID;

const MERGES: &str = "merges.txt";

/// RoBERTa, and the classes that are RoBERTa's under another name.
pub(super) fn roberta(folder: &mut Folder<'_>) -> Result<Begun> {
    let add_prefix_space = folder.flag("add_prefix_space", false)?;
    let trim_offsets = folder.flag("trim_offsets", true)?;
    let tokenizer = byte_level(folder, add_prefix_space)?;
    let (sep, cls) = (folder.role("sep_token")?, folder.role("cls_token")?);
    let frame = Frame::Roberta { sep, cls, trim_offsets, add_prefix_space };
    Ok(Begun { tokenizer, tokens: Vec::new(), frame })
}

/// GPT-2, without special tokens around a text.
pub(super) fn gpt2(folder: &mut Folder<'_>) -> Result<Begun> {
    let tokenizer = byte_level(folder, folder.flag("add_prefix_space", false)?)?;
    let frame = folder.ends()?;
    Ok(Begun { tokenizer, tokens: Vec::new(), frame })
}

fn byte_level(folder: &Folder<'_>, add_prefix_space: bool) -> Result<Tokenizer> {
    let (bytes, place) = folder.vocabulary(MAX_JSON_BYTES)?;
    let vocab: HashMap<String, u32> = parse_json(&bytes, &place)?;
    if let Some((piece, id)) = vocab.iter().find(|(_, id)| u64::from(**id) >= MAX_ID) {
        return Err(fail!(
            Checkpoint,
            "{place}: {piece:?} has the id {id}, at most {MAX_ID} are read",
            piece = quote(piece)
        ));
    }
    let merges = read_merges(folder, &vocab)?;
    let model = BPE::builder()
        .vocab_and_merges(vocab.into_iter().collect::<Vocab>(), merges)
        .continuing_subword_prefix(String::new())
        .end_of_word_suffix(String::new())
        .build()
        .map_err(|e| folder.failed(e))?;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(ByteLevel::new(add_prefix_space, true, true)));
    tokenizer.with_decoder(Some(ByteLevel::default()));
    Ok(tokenizer)
}

/// `merges.txt`: two tokens a line, each known and together one, the first merge first.
fn read_merges(folder: &Folder<'_>, vocab: &HashMap<String, u32>) -> Result<Merges> {
    let name = &folder.settings.folder;
    let Some(bytes) = read_all(folder.source, MERGES, MAX_JSON_BYTES)? else {
        return Err(fail!(
            NotFound,
            "{name}: no tokenizer: {MERGES} is not there, which belongs to {}",
            folder.file
        ));
    };
    let mut merges = Merges::new();
    for (i, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        let wrong = |what: &str| fail!(Checkpoint, "{name}: {MERGES}: line {}: {what}", i + 1);
        let line = std::str::from_utf8(line).map_err(|_| wrong("not valid UTF-8"))?;
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() || line.starts_with("#version") {
            continue;
        }
        let Some((left, right)) = line.split_once(' ').filter(|(_, right)| !right.contains(' '))
        else {
            return Err(wrong("expected two tokens with a space between them"));
        };
        for token in [left, right, &format!("{left}{right}")] {
            if !vocab.contains_key(token) {
                return Err(wrong(&format!("{token:?} is not in {}", folder.file)));
            }
        }
        merges.push((left.to_owned(), right.to_owned()));
    }
    Ok(merges)
}

/// Llama: merges in the order of the pieces, bytes for what is unknown.
pub(super) fn llama(folder: &mut Folder<'_>) -> Result<Begun> {
    let model = folder.model()?;
    // A null here is the class's default.
    let prefix = match folder.settings.said("add_prefix_space") {
        Some(Value::Null) => true,
        _ => folder.flag("add_prefix_space", true)?,
    };
    let scheme = match (prefix, folder.flag("legacy", false)?) {
        (false, _) => PrependScheme::Never,
        (true, false) => PrependScheme::First,
        (true, true) => PrependScheme::Always,
    };
    let (vocab, merges) = vocabulary(&model);
    let bpe = BPE::builder()
        .vocab_and_merges(vocab, merges)
        .fuse_unk(true)
        .byte_fallback(true)
        .build()
        .map_err(|e| folder.failed(e))?;
    let mut tokenizer = Tokenizer::new(bpe);
    tokenizer.with_pre_tokenizer(Some(Metaspace::new(SPACE, scheme, false)));
    tokenizer.with_decoder(Some(decoder(true, prefix)?));
    let frame = folder.ends()?;
    Ok(Begun { tokenizer, tokens: added(&model), frame })
}

/// The class of `tokenizer.json` alone: what `tokenizer.model` says, no words, no special tokens.
pub(super) fn backend(folder: &mut Folder<'_>) -> Result<Begun> {
    let model = folder.model()?;
    let trainer = &model.trainer;
    let roles = [
        ("bos_token", trainer.bos_id, &trainer.bos_piece, "<s>"),
        ("eos_token", trainer.eos_id, &trainer.eos_piece, "</s>"),
        ("unk_token", trainer.unk_id, &trainer.unk_piece, "<unk>"),
    ];
    for (role, _, piece, default) in roles.into_iter().filter(|(_, id, ..)| *id >= 0) {
        let piece = if piece.is_empty() { default } else { piece };
        folder.declared.set_default(folder.settings, role, piece);
    }

    let mut tokenizer = match trainer.model_type {
        1 => unigram(folder, scored(&model), trained_unk(folder, &model)?, trainer.byte_fallback)?,
        _ => {
            let (mut vocab, merges) = vocabulary(&model);
            rename(folder, &mut vocab, &model);
            let bpe = BPE::builder()
                .vocab_and_merges(vocab, merges)
                .unk_token(trainer.unk_piece.clone())
                .fuse_unk(true)
                .byte_fallback(trainer.byte_fallback)
                .build();
            Tokenizer::new(bpe.map_err(|e| folder.failed(e))?)
        }
    };
    let space = Replace::new(" ", SPACE.to_string()).map_err(|e| folder.failed(e))?;
    let steps = compiled(folder, &model)?.into_iter().chain([space.into()]);
    normalize(folder, &mut tokenizer, steps.collect())?;
    tokenizer.with_decoder(Some(decoder(trainer.byte_fallback, false)?));
    let frame = folder.ends()?;
    Ok(Begun { tokenizer, tokens: added(&model), frame })
}

/// Ids of the pieces, and each way to make one of two others: in the order of the pieces, the
/// shortest left part first.
fn vocabulary(model: &Model) -> (Vocab, Merges) {
    let ids = model.pieces.iter().zip(0_u32..).map(|(piece, id)| (piece.text.as_str(), id));
    let ids: HashMap<&str, u32> = ids.collect();
    let mut merges = Merges::new();
    for (piece, id) in model.pieces.iter().zip(0_u32..) {
        // Of two equal pieces the last counts.
        if ids.get(piece.text.as_str()) != Some(&id) {
            continue;
        }
        for (at, _) in piece.text.char_indices().skip(1) {
            let (left, right) = piece.text.split_at(at);
            if ids.contains_key(left) && ids.contains_key(right) {
                merges.push((left.to_owned(), right.to_owned()));
            }
        }
    }
    (ids.into_iter().map(|(piece, id)| (piece.to_owned(), id)).collect(), merges)
}

/// Gives the pieces of `added_tokens_decoder` the names that it says, where these are new.
fn rename(folder: &Folder<'_>, vocab: &mut Vocab, model: &Model) {
    let said = folder.settings.get("added_tokens_decoder").and_then(Value::as_object);
    for (id, token) in said.into_iter().flatten() {
        let new = token.get("content").and_then(Value::as_str);
        let (Some(new), Ok(id)) = (new, id.parse::<u32>()) else { continue };
        let piece = usize::try_from(id).ok().and_then(|id| model.pieces.get(id));
        let Some(piece) = piece.filter(|piece| vocab.get(&piece.text) == Some(&id)) else {
            continue;
        };
        if !vocab.contains_key(new) {
            vocab.remove(&piece.text);
            vocab.insert(new.to_owned(), id);
        }
    }
}

/// Spaces for [`SPACE`], bytes joined where they are tokens, the first space gone where one was put.
fn decoder(bytes: bool, prefixed: bool) -> Result<DecoderWrapper> {
    let mut steps = vec![json!({
        "type": "Replace", "pattern": {"String": SPACE.to_string()}, "content": " ",
    })];
    if bytes {
        steps.extend([json!({"type": "ByteFallback"}), json!({"type": "Fuse"})]);
    }
    if prefixed {
        steps.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    serde_json::from_value(json!({"type": "Sequence", "decoders": steps}))
        .map_err(|e| fail!(Checkpoint, "the decoder: {e}").with_source(e))
}
