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

use self::declared::{Declared, Defaults, Names, Token};
use self::frame::Frame;
use crate::error::{Result, fail};
use crate::model::source::{MAX_JSON_BYTES, Source, read_all, read_json};

/// How the files of a class are read.
struct Recipe {
    /// The class of Transformers, without `Fast` at the end.
    class: &'static str,
    /// The file of its vocabulary.
    file: &'static str,
    /// Its special tokens where no file names others.
    defaults: &'static Defaults<'static>,
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

const ALBERT: Defaults<'_> =
    defaults(["[CLS]", "[SEP]", "<unk>", "[SEP]", "<pad>", "[CLS]", "[MASK]"]);
const BIG_BIRD: Defaults<'_> =
    defaults(["<s>", "</s>", "<unk>", "[SEP]", "<pad>", "[CLS]", "[MASK]"]);
const DEBERTA: Defaults<'_> =
    defaults(["[CLS]", "[SEP]", "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"]);
const MPNET: Defaults<'_> = defaults(["<s>", "</s>", "[UNK]", "</s>", "<pad>", "<s>", "<mask>"]);
const ROBERTA: Defaults<'_> = defaults(["<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"]);
const GPT2: Defaults<'_> =
    defaults(["<|endoftext|>", "<|endoftext|>", "<|endoftext|>", "", "", "", ""]);
const LLAMA: Defaults<'_> = defaults(["<s>", "</s>", "<unk>", "", "", "", ""]);
const T5: Defaults<'_> = defaults(["", "</s>", "<unk>", "", "<pad>", "", ""]);

/// `bos`, `eos`, `unk`, `sep`, `pad`, `cls`, `mask`; an empty text is none.
const fn defaults<'a>(all: [&'a str; 7]) -> Defaults<'a> {
    let mut found = [None; 7];
    let mut i = 0;
    while i < 7 {
        if !all[i].is_empty() {
            found[i] = Some(all[i]);
        }
        i += 1;
    }
    found
}

const fn recipe(
    class: &'static str,
    file: &'static str,
    defaults: &'static Defaults<'static>,
    begin: fn(&Folder<'_>, Names) -> Result<Begun>,
) -> Recipe {
    Recipe { class, file, defaults, spaced: false, begin }
}

const fn spaced(recipe: Recipe) -> Recipe {
    Recipe { spaced: true, ..recipe }
}

const SPIECE: &str = "spiece.model";
const BPE_MODEL: &str = "sentencepiece.bpe.model";
const MODEL: &str = "tokenizer.model";
const VOCAB_JSON: &str = "vocab.json";

/// The class of a `tokenizer.json` alone, which reads `tokenizer.model` where there is none.
const BACKEND: &str = "TokenizersBackend";

static RECIPES: [Recipe; 17] = [
    recipe("AlbertTokenizer", SPIECE, &ALBERT, pieces::albert),
    recipe("FNetTokenizer", SPIECE, &ALBERT, pieces::albert),
    spaced(recipe("BarthezTokenizer", BPE_MODEL, &ROBERTA, pieces::barthez)),
    spaced(recipe("BigBirdTokenizer", SPIECE, &BIG_BIRD, pieces::big_bird)),
    spaced(recipe("CamembertTokenizer", BPE_MODEL, &ROBERTA, pieces::camembert)),
    recipe("DebertaV2Tokenizer", "spm.model", &DEBERTA, pieces::deberta),
    recipe("T5Tokenizer", SPIECE, &T5, pieces::t5),
    recipe("XLMRobertaTokenizer", BPE_MODEL, &ROBERTA, pieces::xlm_roberta),
    recipe("LlamaTokenizer", MODEL, &LLAMA, bytes::llama),
    recipe(BACKEND, MODEL, &[None; 7], bytes::backend),
    recipe("RobertaTokenizer", VOCAB_JSON, &ROBERTA, bytes::roberta),
    recipe("BartTokenizer", VOCAB_JSON, &ROBERTA, bytes::roberta),
    recipe("LEDTokenizer", VOCAB_JSON, &ROBERTA, bytes::roberta),
    recipe("LongformerTokenizer", VOCAB_JSON, &ROBERTA, bytes::roberta),
    recipe("MvpTokenizer", VOCAB_JSON, &ROBERTA, bytes::roberta),
    recipe("GPT2Tokenizer", VOCAB_JSON, &GPT2, bytes::gpt2),
    spaced(recipe("MPNetTokenizer", "vocab.txt", &MPNET, mpnet)),
];

/// Vocabulary files that some class reads, for an error that names what is there.
const FILES: [&str; 7] =
    ["spm.model", BPE_MODEL, SPIECE, MODEL, "sentencepiece.model", VOCAB_JSON, "vocab.txt"];

/// The classes of a `model_type` where no file names one, and of those for which Transformers passes
/// over the name that a file gives.
const BY_MODEL_TYPE: [(&str, &str); 7] = [
    ("albert", "AlbertTokenizer"),
    ("camembert", "CamembertTokenizer"),
    ("deberta-v2", "DebertaV2Tokenizer"),
    ("modernbert", BACKEND),
    ("mpnet", "MPNetTokenizer"),
    ("roberta", "RobertaTokenizer"),
    ("xlm-roberta", "XLMRobertaTokenizer"),
];

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

/// The tokenizer that the vocabulary files of `source` and its settings amount to, where its class
/// reads other files than BERT's.
///
/// # Errors
///
/// `NotFound` where the file is missing that the class reads, `Checkpoint` for a bad one.
pub(crate) fn build(source: &dyn Source) -> Result<Option<Tokenizer>> {
    let config: Map<String, Value> =
        read_json(source, "tokenizer_config.json")?.unwrap_or_default();
    let Some(class) = class_of(source, &config)? else { return Ok(None) };
    let Some(recipe) = RECIPES.iter().find(|recipe| recipe.class == class) else {
        return refuse(source, &class);
    };
    // Transformers 5 takes tokenizer.model for the file of a SentencePiece class where it is there.
    let file = match recipe.file.ends_with(".model") && source.has(MODEL)? {
        true => MODEL,
        false => recipe.file,
    };
    if !source.has(file)? {
        return Err(fail!(
            NotFound,
            "{}: no tokenizer: neither tokenizer.json nor {file}, which {class} reads, is there",
            source.name()
        ));
    }
    let at = |e: crate::Error| e.at(source.name());
    let declared = Declared::read(source, &config).map_err(at)?;
    let names = declared.names(recipe.defaults, recipe.spaced);
    let folder = Folder { source, config, declared, file };
    let Begun { mut tokenizer, names, tokens, frame } = (recipe.begin)(&folder, names)?;
    tokenizer.add_tokens(folder.declared.tokens(&names, tokens)).map_err(|e| folder.failed(e))?;
    let post = frame.processor(&tokenizer, &names).map_err(at)?;
    tokenizer.with_post_processor(Some(post));
    Ok(Some(tokenizer))
}

/// The class of the tokenizer, without `Fast` at the end; `None` where nothing says.
fn class_of(source: &dyn Source, config: &Map<String, Value>) -> Result<Option<String>> {
    let model: Map<String, Value> = read_json(source, "config.json")?.unwrap_or_default();
    let text = |map: &Map<String, Value>, key: &str| {
        map.get(key).and_then(Value::as_str).map(str::to_owned).filter(|text| !text.is_empty())
    };
    let named = text(config, "tokenizer_class").or_else(|| text(&model, "tokenizer_class"));
    let of_type = text(&model, "model_type").and_then(|model_type| {
        BY_MODEL_TYPE.iter().find(|(known, _)| *known == model_type).map(|(_, class)| *class)
    });
    let class = match (named, of_type) {
        (_, Some(BACKEND)) => BACKEND.to_owned(),
        (Some(named), _) => named.strip_suffix("Fast").unwrap_or(&named).to_owned(),
        (None, Some(class)) => class.to_owned(),
        (None, None) => return Ok(None),
    };
    Ok(Some(if class == "PreTrainedTokenizer" { BACKEND.to_owned() } else { class }))
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
