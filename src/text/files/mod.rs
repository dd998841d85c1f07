//! A tokenizer from the vocabulary files that its authors published, where there is no
//! `tokenizer.json`: `spm.model` and its siblings, `vocab.json` with `merges.txt`, MPNet's `vocab.txt`.
//!
//! What comes out is what Transformers 5.23 makes of the same files and settings
//! (`models/*/tokenization_*.py`, `convert_slow_tokenizer.py`). 4.57 makes other normalizers for most
//! SentencePiece classes; where the two differ, 5.23 holds.

mod bytes;
mod charsmap;
mod declared;
mod frame;
mod pieces;
mod spm;

use serde_json::{Map, Value};
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{Tokenizer, decoders};

use self::declared::{Declared, Names, Token};
use self::frame::Frame;
use crate::error::{Result, fail};
use crate::model::source::{MAX_JSON_BYTES, Source, read_all, read_json};
use crate::text::class::{self, Class};

/// How the files of a class are read.
struct Recipe {
    /// The class of Transformers, without `Fast` at the end.
    class: &'static str,
    /// The file of its vocabulary.
    file: &'static str,
    /// Whether the mask token takes the whitespace before it.
    spaced: bool,
    begin: fn(&Folder<'_>, Names) -> Result<Begun>,
}

/// A tokenizer without its added tokens, and the post-processor, which needs their ids.
struct Begun {
    tokenizer: Tokenizer,
    names: Names,
    /// Tokens of the vocabulary file that are added where the settings have no list of their own.
    tokens: Vec<Token>,
    frame: Frame,
}

const fn recipe(
    class: &'static str,
    file: &'static str,
    begin: fn(&Folder<'_>, Names) -> Result<Begun>,
) -> Recipe {
    Recipe { class, file, spaced: false, begin }
}

const fn spaced(recipe: Recipe) -> Recipe {
    Recipe { spaced: true, ..recipe }
}

const SPIECE: &str = "spiece.model";
const BPE_MODEL: &str = "sentencepiece.bpe.model";
const MODEL: &str = "tokenizer.model";
const VOCAB_JSON: &str = "vocab.json";

/// The class of a `tokenizer.json` alone, which reads `tokenizer.model` where there is none.
const BACKEND: &str = class::BACKEND.name;

static RECIPES: [Recipe; 17] = [
    recipe("AlbertTokenizer", SPIECE, pieces::albert),
    recipe("FNetTokenizer", SPIECE, pieces::albert),
    spaced(recipe("BarthezTokenizer", BPE_MODEL, pieces::barthez)),
    spaced(recipe("BigBirdTokenizer", SPIECE, pieces::big_bird)),
    spaced(recipe("CamembertTokenizer", BPE_MODEL, pieces::camembert)),
    recipe("DebertaV2Tokenizer", "spm.model", pieces::deberta),
    recipe("T5Tokenizer", SPIECE, pieces::t5),
    recipe("XLMRobertaTokenizer", BPE_MODEL, pieces::xlm_roberta),
    recipe("LlamaTokenizer", MODEL, bytes::llama),
    recipe(BACKEND, MODEL, bytes::backend),
    recipe("RobertaTokenizer", VOCAB_JSON, bytes::roberta),
    recipe("BartTokenizer", VOCAB_JSON, bytes::roberta),
    recipe("LEDTokenizer", VOCAB_JSON, bytes::roberta),
    recipe("LongformerTokenizer", VOCAB_JSON, bytes::roberta),
    recipe("MvpTokenizer", VOCAB_JSON, bytes::roberta),
    recipe("GPT2Tokenizer", VOCAB_JSON, bytes::gpt2),
    spaced(recipe("MPNetTokenizer", "vocab.txt", mpnet)),
];

/// Vocabulary files that some class reads, for an error that names what is there.
const FILES: [&str; 7] =
    ["spm.model", BPE_MODEL, SPIECE, MODEL, "sentencepiece.model", VOCAB_JSON, "vocab.txt"];

/// A folder whose tokenizer is built.
struct Folder<'a> {
    source: &'a dyn Source,
    /// `tokenizer_config.json`.
    config: Map<String, Value>,
    declared: Declared,
    /// The file of the vocabulary.
    file: &'static str,
}

impl Folder<'_> {
    /// The vocabulary file, and how an error names it.
    fn vocabulary(&self, max_bytes: u64) -> Result<(Vec<u8>, String)> {
        let place = format!("{}: {}", self.source.name(), self.file);
        let bytes = read_all(self.source, self.file, max_bytes)?;
        bytes
            .map(|bytes| (bytes, place.clone()))
            .ok_or_else(|| fail!(NotFound, "{place}: not found"))
    }

    /// The SentencePiece model.
    fn model(&self) -> Result<spm::Model> {
        let (bytes, place) = self.vocabulary(spm::MAX_BYTES)?;
        spm::Model::read(&bytes, &place)
    }

    /// The setting `key`, as Python asks whether it is true: null is not.
    fn flag(&self, key: &str, default: bool) -> Result<bool> {
        match self.config.get(key) {
            None => Ok(default),
            Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(fail!(
                Checkpoint,
                "{}: tokenizer_config.json: `{key}` is {other}, expected true or false",
                self.source.name()
            )),
        }
    }

    /// The special tokens around a text where the class has none of its own: `add_bos_token` and
    /// `add_eos_token` say.
    fn ends(&self, names: &Names) -> Result<Frame> {
        let bos = self.flag("add_bos_token", false)?.then(|| names.get("bos_token"));
        let eos = self.flag("add_eos_token", false)?.then(|| names.get("eos_token"));
        Ok(Frame::plain(bos.flatten(), eos.flatten()))
    }

    /// An error of the crate `tokenizers` about the vocabulary file.
    fn failed(&self, error: tokenizers::Error) -> crate::Error {
        fail!(Checkpoint, "{}: {}: {error}", self.source.name(), self.file).with_source(error)
    }
}

/// The tokenizer that the vocabulary files of `source` and its settings amount to, where its `class`
/// reads other files than BERT's.
///
/// # Errors
///
/// `NotFound` where the file is missing that the class reads, `Checkpoint` for a bad one.
pub(crate) fn build(source: &dyn Source, class: &Class) -> Result<Option<Tokenizer>> {
    let config: Map<String, Value> =
        read_json(source, "tokenizer_config.json")?.unwrap_or_default();
    let recipe = RECIPES.iter().find(|recipe| recipe.class == class.name);
    // A folder may have the class that stands for none.
    let recipe = match recipe {
        Some(recipe) if recipe.class == BACKEND && !source.has(MODEL)? => None,
        recipe => recipe,
    };
    let Some(recipe) = recipe else { return refuse(source, class.name) };
    // Transformers 5 takes tokenizer.model for the file of a SentencePiece class where it is there.
    let file = match recipe.file.ends_with(".model") && source.has(MODEL)? {
        true => MODEL,
        false => recipe.file,
    };
    if !source.has(file)? {
        return Err(fail!(
            NotFound,
            "{}: no tokenizer: neither tokenizer.json nor {file}, which {} reads, is there",
            source.name(),
            class.name
        ));
    }
    let at = |e: crate::Error| e.at(source.name());
    let declared = Declared::read(source, &config).map_err(at)?;
    let names = declared.names(class.specials, recipe.spaced);
    let folder = Folder { source, config, declared, file };
    let Begun { mut tokenizer, names, tokens, frame } = (recipe.begin)(&folder, names)?;
    tokenizer.add_tokens(folder.declared.tokens(&names, tokens)).map_err(|e| folder.failed(e))?;
    let post = frame.processor(&tokenizer, &names).map_err(at)?;
    tokenizer.with_post_processor(Some(post));
    Ok(Some(tokenizer))
}

/// What is said of a class whose files are not converted; `None` where there is but `vocab.txt`,
/// which BERT's classes read.
fn refuse(source: &dyn Source, class: &str) -> Result<Option<Tokenizer>> {
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
fn mpnet(folder: &Folder<'_>, names: Names) -> Result<Begun> {
    let (bytes, _) = folder.vocabulary(MAX_JSON_BYTES)?;
    let vocab = WordPiece::read_bytes(&bytes).map_err(|e| folder.failed(e))?;
    let model = WordPiece::builder()
        .vocab(vocab)
        .unk_token(names.text("unk_token")?.to_owned())
        .build()
        .map_err(|e| folder.failed(e))?;
    let mut tokenizer = Tokenizer::new(model);
    let lower = folder.flag("do_lower_case", true)?;
    // Null is the class's default: accents go where letters become lower case.
    let accents = match folder.config.get("strip_accents") {
        None | Some(Value::Null) => None,
        Some(_) => Some(folder.flag("strip_accents", true)?),
    };
    let chinese = folder.flag("tokenize_chinese_chars", true)?;
    tokenizer
        .with_normalizer(Some(BertNormalizer::new(true, chinese, accents, lower)))
        .map_err(|e| folder.failed(e))?;
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    tokenizer.with_decoder(Some(decoders::wordpiece::WordPiece::new("##".into(), true)));
    let frame = Frame::Roberta { trim_offsets: true, add_prefix_space: false };
    Ok(Begun { tokenizer, names, tokens: Vec::new(), frame })
}
