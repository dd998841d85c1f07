//! Tokenizers from vocabulary files without `tokenizer.json`, held to what Transformers 5.23 makes of
//! the same files (`tests/fixtures/make_tokenizer_files.py`), and what is said of bad ones.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;

use everylayer::model::bytes::Bytes;
use everylayer::model::sources::{Blob, Source};
use everylayer::text::{Text, Tokenizer, Tokens};
use everylayer::{Error, ErrorKind};
use serde_json::{Value, json};

fn fixture(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vocabularies");
    fs::read(folder.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The files of a folder: a text is the name of a fixture, all else is JSON.
fn source(files: &Value) -> Bytes {
    let files = files.as_object().unwrap().iter().map(|(name, value)| {
        let bytes = match value {
            Value::String(fixture_name) => fixture(fixture_name),
            json => json.to_string().into_bytes(),
        };
        (name.clone(), bytes)
    });
    Bytes::new("toy", files.collect::<HashMap<_, _>>())
}

fn error(files: &Value) -> (ErrorKind, String) {
    let e = Tokenizer::from_source(&source(files)).unwrap_err();
    (e.kind(), e.to_string())
}

/// Id, start, end and word of each token, one after the other.
fn flat(tokens: &Tokens) -> Vec<Option<u32>> {
    let rows = tokens.ids.iter().zip(&tokens.spans).zip(&tokens.words);
    rows.flat_map(|((&id, &[start, end]), &word)| [Some(id), Some(start), Some(end), word])
        .collect()
}

#[test]
fn equal_what_transformers_makes_of_the_same_files() {
    let goldens: Value = serde_json::from_slice(&fixture("goldens.json")).unwrap();
    let texts: Vec<String> = serde_json::from_value(goldens["texts"].clone()).unwrap();
    let kinds = goldens["kinds"].as_object().unwrap();
    assert!(kinds.len() > 20 && texts.len() > 100);
    for (kind, golden) in kinds {
        let tokenizer = Tokenizer::from_source(&source(&golden["files"])).unwrap();
        let spelt: HashMap<u32, String> = serde_json::from_value(golden["tokens"].clone()).unwrap();
        let rows: Vec<Vec<Option<u32>>> = serde_json::from_value(golden["rows"].clone()).unwrap();
        assert_eq!(rows.len(), texts.len());
        for (text, want) in texts.iter().zip(rows) {
            let tokens = tokenizer.encode_whole(&Text::from(text)).unwrap();
            assert_eq!(flat(&tokens), want, "{kind}: {text:?}: {:?}", tokens.pieces);
            for (id, piece) in tokens.ids.iter().zip(tokens.pieces.iter()) {
                assert_eq!(
                    spelt.get(id).map_or(piece, String::as_str),
                    piece,
                    "{kind}: {text:?}: token {id}"
                );
            }
        }
    }
}

const BPE: &str = "bytes-roberta.vocab.json";
const MERGES: &str = "bytes-roberta.merges.txt";
const XLMR: &str = "unigram-xlm-roberta.sentencepiece.bpe.model";

/// A folder with these files beside a `tokenizer_config.json` that names `class`.
fn of_class(class: &str, files: Value) -> Value {
    let mut all = json!({"tokenizer_config.json": {"tokenizer_class": class}});
    all.as_object_mut().unwrap().extend(files.as_object().unwrap().clone());
    all
}

#[test]
fn pairs_have_the_frame_of_their_class() {
    let cases = [
        (
            "XLMRobertaTokenizer",
            "sentencepiece.bpe.model",
            XLMR,
            vec!["<s>", "</s>", "</s>", "</s>"],
            0,
        ),
        (
            "AlbertTokenizer",
            "spiece.model",
            "unigram-albert.spiece.model",
            vec!["[CLS]", "[SEP]", "[SEP]"],
            1,
        ),
    ];
    for (class, file, name, want, second) in cases {
        let tokenizer =
            Tokenizer::from_source(&source(&of_class(class, json!({file: name})))).unwrap();
        let tokens = tokenizer.encode_whole(&Text::from(("the river", "is big"))).unwrap();
        let special = tokens.pieces.iter().zip(&tokens.special).filter(|(_, special)| **special);
        assert_eq!(special.map(|(piece, _)| piece).collect::<Vec<_>>(), want);
        assert_eq!(tokens.types.last(), Some(&second), "{class}");
    }
}

#[test]
fn the_class_comes_from_config_json_where_no_other_file_names_it() {
    let config = json!({"model_type": "xlm-roberta"});
    let files = json!({"config.json": config, "sentencepiece.bpe.model": XLMR});
    let named = of_class("XLMRobertaTokenizerFast", json!({"sentencepiece.bpe.model": XLMR}));
    let both = [files, named].map(|files| {
        let tokenizer = Tokenizer::from_source(&source(&files)).unwrap();
        tokenizer.encode_whole(&Text::from("the river is big")).unwrap()
    });
    assert_eq!(both[0], both[1]);
}

#[test]
fn declared_tokens_are_matched() {
    let declared = json!({
        "added_tokens.json": {"<new>": 90000},
        "special_tokens_map.json": {
            "mask_token": {"content": "<mask>", "lstrip": true, "rstrip": false, "normalized": false, "single_word": false},
            "additional_special_tokens": ["<e1>"],
        },
        "sentencepiece.bpe.model": XLMR,
    });
    let tokenizer =
        Tokenizer::from_source(&source(&of_class("XLMRobertaTokenizer", declared))).unwrap();
    let tokens = tokenizer.encode_whole(&Text::from("the <mask><new>")).unwrap();
    let end: Vec<_> = tokens.pieces.iter().skip(tokens.pieces.len() - 3).collect();
    assert_eq!(end, [" <mask>", "<new>", "</s>"]);
    // A new token has the first free id, whatever the file says.
    let last = tokenizer.id_of("<mask>").unwrap();
    assert_eq!(tokenizer.id_of("<new>"), Some(last + 1));
}

#[test]
fn bad_files_are_named() {
    let spm = |bytes: Value| of_class("DebertaV2Tokenizer", json!({"spm.model": bytes}));
    let bpe = |vocab: Value, merges: Value| {
        of_class("RobertaTokenizer", json!({"vocab.json": vocab, "merges.txt": merges}))
    };
    let cases = [
        (
            of_class("DebertaV2Tokenizer", json!({})),
            ErrorKind::NotFound,
            vec!["tokenizer.json", "spm.model", "DebertaV2Tokenizer"],
        ),
        (
            spm(json!({"a": 1})),
            ErrorKind::Checkpoint,
            vec!["toy: spm.model: ", "not a SentencePiece model"],
        ),
        (
            of_class("RobertaTokenizer", json!({"vocab.json": BPE})),
            ErrorKind::NotFound,
            vec!["merges.txt"],
        ),
        (bpe(json!([1]), MERGES.into()), ErrorKind::Checkpoint, vec!["vocab.json: line 1"]),
        (
            bpe(json!({"a": 0}), MERGES.into()),
            ErrorKind::Checkpoint,
            vec!["merges.txt: line 2: ", "is not in vocab.json"],
        ),
        (
            bpe(BPE.into(), BPE.into()),
            ErrorKind::Checkpoint,
            vec!["merges.txt: line 1: expected two tokens"],
        ),
        (
            of_class("RemBertTokenizer", json!({"sentencepiece.model": XLMR})),
            ErrorKind::Unsupported,
            vec!["RemBertTokenizer", "sentencepiece.model", "save_pretrained", "tokenizer.json"],
        ),
        (
            json!({"sentencepiece.bpe.model": XLMR, "tokenizer_config.json": {"tokenizer_class": "XLMRobertaTokenizer", "mask_token": null}}),
            ErrorKind::Checkpoint,
            vec!["tokenizer_config.json: `mask_token` is null"],
        ),
        (
            json!({"sentencepiece.bpe.model": XLMR, "tokenizer_config.json": {"tokenizer_class": "XLMRobertaTokenizer", "pad_token": 7}}),
            ErrorKind::Checkpoint,
            vec!["toy: tokenizer_config.json: `pad_token` is 7"],
        ),
        (
            json!({"sentencepiece.bpe.model": XLMR, "tokenizer_config.json": {"tokenizer_class": "XLMRobertaTokenizer", "add_prefix_space": 2}}),
            ErrorKind::Checkpoint,
            vec!["`add_prefix_space` is 2, expected true or false"],
        ),
    ];
    for (files, kind, said) in cases {
        let (found, message) = error(&files);
        assert_eq!(found, kind, "{message}");
        for part in said {
            assert!(message.contains(part), "{part}: {message}");
        }
    }
}

#[test]
fn a_piece_that_nests_too_deep_is_refused() {
    let unigram = |bytes: usize| {
        let vocab = json!([["<unk>", 0.0], ["a".repeat(bytes), -1.0]]);
        json!({"tokenizer.json": {
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
            "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": null,
            "model": {"type": "Unigram", "unk_id": 0, "vocab": vocab},
        }})
    };
    Tokenizer::from_source(&source(&unigram(1000))).unwrap();
    let (kind, said) = error(&unigram(400_000));
    assert_eq!(kind, ErrorKind::Checkpoint);
    assert!(said.contains("tokenizer.json: line 1, ") && said.contains("400000 bytes"), "{said}");
}

/// A source as a page has it: a file that was not asked for before is not open yet.
struct Page {
    files: Bytes,
    open: Mutex<HashSet<String>>,
}

impl Source for Page {
    fn name(&self) -> String {
        "page".to_owned()
    }

    fn open(&self, path: &str) -> Result<Option<Box<dyn Blob>>, Error> {
        match self.open.lock().unwrap().insert(path.to_owned()) {
            true => Err(Error::new(ErrorKind::Io, format!("{path} is not open yet"))),
            false => self.files.open(path),
        }
    }
}

#[test]
fn a_page_finds_each_file_by_the_error_that_names_it() {
    let cases = [
        of_class("XLMRobertaTokenizer", json!({"sentencepiece.bpe.model": XLMR})),
        of_class("RobertaTokenizer", json!({"vocab.json": BPE, "merges.txt": MERGES})),
    ];
    for files in cases {
        let page = Page { files: source(&files), open: Mutex::default() };
        let mut rounds = 0;
        while let Err(e) = Tokenizer::from_source(&page) {
            assert!(e.kind() == ErrorKind::Io && rounds < 20, "{e}");
            rounds += 1;
        }
        let asked = page.open.into_inner().unwrap();
        assert!(files.as_object().unwrap().keys().all(|name| asked.contains(name)), "{asked:?}");
    }
}

/// A model whose bytes are changed or cut off loads or is refused, and gives tokens or an error.
#[test]
fn any_bytes_are_survived() {
    let whole = fixture(XLMR);
    let mut state = 1_u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % below
    };
    let mut loaded = 0;
    for round in 0..400 {
        let mut bytes = whole.clone();
        match round % 4 {
            0 => bytes.truncate(next(whole.len())),
            // The compiled map is at the end.
            1 => bytes
                .iter_mut()
                .rev()
                .take(1200)
                .step_by(1 + next(97))
                .for_each(|b| *b = b.wrapping_add(129)),
            _ => (0..=next(4)).for_each(|_| bytes[next(whole.len())] = next(256) as u8),
        }
        let files = HashMap::from([
            (
                "tokenizer_config.json".to_owned(),
                br#"{"tokenizer_class": "XLMRobertaTokenizer"}"#.to_vec(),
            ),
            ("sentencepiece.bpe.model".to_owned(), bytes),
        ]);
        if let Ok(tokenizer) = Tokenizer::from_source(&Bytes::new("toy", files)) {
            loaded += 1;
            tokenizer.encode_whole(&Text::from("the ﬁrst Ａ e\u{301} 東京 …")).unwrap();
        }
    }
    assert!(loaded > 20, "{loaded}");
}
