//! A tokenizer from the vocabulary files that its authors published, where there is no
//! `tokenizer.json`: `spm.model` and its siblings, `vocab.json` with `merges.txt`, MPNet's `vocab.txt`.
//!
//! What comes out is what Transformers 5.23 makes of the same files and settings
//! (`models/*/tokenization_*.py`, `convert_slow_tokenizer.py`). 4.57 makes other normalizers for most
//! SentencePiece classes; where the two differ, 5.23 holds.

mod bytes;
mod charsmap;
mod frame;
mod pieces;
mod spm;

use serde_json::Value;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{AddedToken, Tokenizer, decoders};

pub(crate) use self::charsmap::compile as compile_charsmap;
pub(crate) use self::frame::Frame;
pub(crate) use self::spm::MAX_PIECE;
use crate::error::{Result, fail};
use crate::model::sources::{MAX_JSON_BYTES, Source, read_all};
use crate::text::added::Declared;
use crate::text::class::BACKEND;
use crate::text::settings::{CONFIG, Settings};

/// How the files of a class are read.
struct Recipe {
    /// The class of Transformers, without `Fast` at the end.
    class: &'static str,
    /// The file of its vocabulary.
    file: &'static str,
    begin: fn(&mut Folder<'_>) -> Result<Begun>,
}

/// A tokenizer without its added tokens.
struct Begun {
    tokenizer: Tokenizer,
    /// Tokens of the vocabulary file that are added where the settings have no list of their own.
    tokens: Vec<AddedToken>,
    frame: Frame,
}

const fn recipe(
    class: &'static str,
    file: &'static str,
    begin: fn(&mut Folder<'_>) -> Result<Begun>,
) -> Recipe {
    Recipe { class, file, begin }
}

const SPIECE: &str = "spiece.model";
const BPE_MODEL: &str = "sentencepiece.bpe.model";
const MODEL: &str = "tokenizer.model";
const VOCAB_JSON: &str = "vocab.json";

static RECIPES: [Recipe; 17] = [
    recipe("AlbertTokenizer", SPIECE, pieces::albert),
    recipe("FNetTokenizer", SPIECE, pieces::albert),
    recipe("BarthezTokenizer", BPE_MODEL, pieces::barthez),
    recipe("BigBirdTokenizer", SPIECE, pieces::big_bird),
    recipe("CamembertTokenizer", BPE_MODEL, pieces::camembert),
    recipe("DebertaV2Tokenizer", "spm.model", pieces::deberta),
    recipe("T5Tokenizer", SPIECE, pieces::t5),
    recipe("XLMRobertaTokenizer", BPE_MODEL, pieces::xlm_roberta),
    recipe("LlamaTokenizer", MODEL, bytes::llama),
    recipe(BACKEND.name, MODEL, bytes::backend),
    recipe("RobertaTokenizer", VOCAB_JSON, bytes::roberta),
    recipe("BartTokenizer", VOCAB_JSON, bytes::roberta),
    recipe("LEDTokenizer", VOCAB_JSON, bytes::roberta),
    recipe("LongformerTokenizer", VOCAB_JSON, bytes::roberta),
    recipe("MvpTokenizer", VOCAB_JSON, bytes::roberta),
    recipe("GPT2Tokenizer", VOCAB_JSON, bytes::gpt2),
    recipe("MPNetTokenizer", "vocab.txt", mpnet),
];

/// Vocabulary files that some class reads, for an error that names what is there.
const FILES: [&str; 6] = ["spm.model", BPE_MODEL, SPIECE, MODEL, "sentencepiece.model", VOCAB_JSON];

/// A folder whose tokenizer is built.
struct Folder<'a> {
    source: &'a dyn Source,
    settings: &'a Settings,
    declared: &'a mut Declared,
    /// The file of the vocabulary.
    file: &'static str,
}

impl Folder<'_> {
    /// The vocabulary file, and how an error names it.
    fn vocabulary(&self, max_bytes: u64) -> Result<(Vec<u8>, String)> {
        let place = format!("{}: {}", self.settings.folder, self.file);
        let bytes = read_all(self.source, self.file, max_bytes)?;
        let bytes = bytes.ok_or_else(|| fail!(NotFound, "{place}: not found"))?;
        Ok((bytes, place))
    }

    /// The SentencePiece model.
    fn model(&self) -> Result<spm::Model> {
        let (bytes, place) = self.vocabulary(spm::MAX_BYTES)?;
        spm::Model::read(&bytes, &place)
    }

    /// The special token of `role`.
    fn role(&self, role: &str) -> Result<String> {
        self.declared.role(role).map(str::to_owned).ok_or_else(|| {
            fail!(
                Checkpoint,
                "{}: {CONFIG}: `{role}` is null, and {} needs it: name it",
                self.settings.folder,
                self.settings.class.name
            )
        })
    }

    /// The setting `key`, as Python asks whether it is true: null is not.
    fn flag(&self, key: &str, default: bool) -> Result<bool> {
        match self.settings.said(key) {
            Some(Value::Null) => Ok(false),
            _ => Ok(self.settings.flag(key)?.unwrap_or(default)),
        }
    }

    /// The special tokens around a text where the class has none of its own: `add_bos_token` and
    /// `add_eos_token` say.
    fn ends(&self) -> Result<Frame> {
        let bos = self.flag("add_bos_token", false)?.then(|| self.declared.role("bos_token"));
        let eos = self.flag("add_eos_token", false)?.then(|| self.declared.role("eos_token"));
        Ok(Frame::plain(bos.flatten(), eos.flatten()))
    }

    /// An error about the vocabulary file.
    fn wrong(&self, what: &dyn std::fmt::Display) -> crate::Error {
        fail!(Checkpoint, "{}: {}: {what}", self.settings.folder, self.file)
    }

    /// An error of the crate `tokenizers` about the vocabulary file.
    fn failed(&self, error: tokenizers::Error) -> crate::Error {
        self.wrong(&error).with_source(error)
    }
}

/// The tokenizer that the vocabulary files of `source` and its settings amount to, where its class
/// reads other files than BERT's. The tokens of the vocabulary that are special join `declared`;
/// when all have been added, the frame makes the post-processor.
///
/// # Errors
///
/// `NotFound` where the file is missing that the class reads, `Checkpoint` for a bad one,
/// `Unsupported` for a class whose files are not converted.
pub(crate) fn build(
    source: &dyn Source,
    settings: &Settings,
    declared: &mut Declared,
) -> Result<Option<(Tokenizer, Frame)>> {
    let class = settings.class.name;
    let Some(recipe) = RECIPES.iter().find(|recipe| recipe.class == class) else {
        return refuse(source, class);
    };
    // Transformers 5 takes tokenizer.model for the file of a SentencePiece class where it is there.
    let file = match recipe.file.ends_with(".model") && source.has(MODEL)? {
        true => MODEL,
        false => recipe.file,
    };
    if !source.has(file)? {
        if class == BACKEND.name {
            return Ok(None);
        }
        return Err(fail!(
            NotFound,
            "{}: no tokenizer: neither tokenizer.json nor {file}, which {class} reads, is there",
            source.name()
        ));
    }
    let mut folder = Folder { source, settings, declared, file };
    let Begun { tokenizer, tokens, frame } = (recipe.begin)(&mut folder)?;
    // A list of additional tokens in tokenizer_config.json, an empty one too, replaces them.
    let lists = ["extra_special_tokens", "additional_special_tokens"];
    if lists.iter().all(|key| settings.said(key).is_none()) {
        declared.add_of_vocabulary(tokens);
    }
    Ok(Some((tokenizer, frame)))
}

/// What is said of a class whose files are not converted; `None` where there is but `vocab.txt`,
/// which BERT's classes read.
fn refuse(source: &dyn Source, class: &str) -> Result<Option<(Tokenizer, Frame)>> {
    if source.has("vocab.txt")? {
        return Ok(None);
    }
    for file in FILES {
        if source.has(file)? {
            return Err(fail!(
                Unsupported,
                "{}: {file}: the vocabulary of {class} is not read here: save the tokenizer with \
                 transformers (AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)), so that it \
                 has a tokenizer.json",
                source.name()
            ));
        }
    }
    Ok(None)
}

/// MPNet: BERT's WordPiece between RoBERTa's special tokens.
fn mpnet(folder: &mut Folder<'_>) -> Result<Begun> {
    let (bytes, _) = folder.vocabulary(MAX_JSON_BYTES)?;
    let vocab = WordPiece::read_bytes(&bytes).map_err(|e| folder.failed(e))?;
    let model = WordPiece::builder()
        .vocab(vocab)
        .unk_token(folder.role("unk_token")?)
        .build()
        .map_err(|e| folder.failed(e))?;
    let mut tokenizer = Tokenizer::new(model);
    let lower = folder.settings.flag("do_lower_case")?.unwrap_or(true);
    let accents = folder.settings.flag("strip_accents")?;
    let chinese = folder.settings.flag("tokenize_chinese_chars")?.unwrap_or(true);
    tokenizer
        .with_normalizer(Some(BertNormalizer::new(true, chinese, accents, lower)))
        .map_err(|e| folder.failed(e))?;
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    tokenizer.with_decoder(Some(decoders::wordpiece::WordPiece::new("##".into(), true)));
    let (sep, cls) = (folder.role("sep_token")?, folder.role("cls_token")?);
    let frame = Frame::Roberta { sep, cls, trim_offsets: true, add_prefix_space: false };
    Ok(Begun { tokenizer, tokens: Vec::new(), frame })
}
