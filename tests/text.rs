//! Tokenizers over small vocabularies: loading, spans, words, pairs, truncation, and bad files.
//!
//! That tokens equal Hugging Face's on real vocabularies is held by the goldens, not here.

use std::collections::HashMap;

use everylayer::ErrorKind;
use everylayer::model::bytes::Bytes;
use everylayer::model::directory::Directory;
use everylayer::text::{Overflow, Text, Tokenizer, Tokens};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

const VOCAB: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\nworld\nplay\n##ing\n,\n中\ncafe\na\nb\nc\nd\ne\nHello\n";

const NO_LIMIT: usize = usize::MAX;

fn source(files: &[(&str, &str)]) -> Bytes {
    let files = files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()));
    Bytes::new("toy", files.collect::<HashMap<_, _>>())
}

fn toy() -> Tokenizer {
    Tokenizer::from_source(&source(&[("vocab.txt", VOCAB)])).unwrap()
}

fn cut<'a>(tokenizer: &Tokenizer, text: impl Into<Text<'a>>, limit: usize) -> Tokens {
    tokenizer.encode(&text.into(), limit, Overflow::Truncate).unwrap()
}

fn error(files: &[(&str, &str)]) -> (ErrorKind, String) {
    let e = Tokenizer::from_source(&source(files)).unwrap_err();
    (e.kind(), e.to_string())
}

/// A `tokenizer.json` of whole words.
fn word_level() -> Value {
    json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "decoder": null,
        "added_tokens": [], "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null,
        "model": {"type": "WordLevel", "vocab": {"<unk>": 0, "a": 1, "b": 7}, "unk_token": "<unk>"},
    })
}

#[test]
fn a_text_becomes_tokens() {
    let t = cut(&toy(), "Hello, PLAYING 中!", NO_LIMIT);
    assert_eq!(t.pieces, ["[CLS]", "hello", ",", "play", "##ing", "中", "[UNK]", "[SEP]"]);
    assert_eq!(t.ids, [2, 5, 9, 7, 8, 10, 1, 3]);
    assert_eq!(t.types, [0; 8]);
    assert_eq!(t.spans, [[0, 0], [0, 5], [5, 6], [7, 11], [11, 14], [15, 16], [16, 17], [0, 0]]);
    let words = [None, Some(0), Some(1), Some(2), Some(2), Some(3), Some(4), None];
    assert_eq!(t.words, words);
    assert_eq!(t.special, [true, false, false, false, false, false, false, true]);
    assert_eq!((t.second, t.lost, t.ids.len()), (vec![false; 8], 0, 8));
}

#[test]
fn spans_count_characters_of_the_original() {
    // An accent of its own, an emoji of four bytes, a control character that is dropped.
    let text = "👩 cafe\u{301}\u{1} a";
    let t = cut(&toy(), text, NO_LIMIT);
    assert_eq!(t.pieces, ["[CLS]", "[UNK]", "cafe", "a", "[SEP]"]);
    assert_eq!(t.spans[1], [0, 1]);
    assert_eq!(t.spans[3], [9, 10]);
    let words = t.words(&text.into());
    let found: Vec<_> =
        words.iter().map(|w| (w.text.as_str(), w.start, w.tokens.clone())).collect();
    assert_eq!((found[0].clone(), found[2].clone()), (("👩", 0, 1..2), ("a", 9, 3..4)));
    for word in &words {
        let slice: String =
            text.chars().skip(word.start as usize).take((word.end - word.start) as usize).collect();
        assert_eq!(slice, word.text);
    }
}

#[test]
fn words_of_a_pair_go_on_counting() {
    let text = Text::from(("hello playing", "playing a"));
    let t = toy().encode(&text, NO_LIMIT, Overflow::Truncate).unwrap();
    assert_eq!(t.types, [0, 0, 0, 0, 0, 1, 1, 1, 1]);
    let index = |n| Some(n);
    let expected = [None, index(0), index(1), index(1), None, index(2), index(2), index(3), None];
    assert_eq!(t.words, expected);
    assert_eq!(t.second, [false, false, false, false, false, true, true, true, false]);
    let words = t.words(&text);
    let found: Vec<_> = words.iter().map(|w| (w.text.as_str(), w.start, w.end, w.second)).collect();
    let expected = [
        ("hello", 0, 5, false),
        ("playing", 6, 13, false),
        ("playing", 0, 7, true),
        ("a", 8, 9, true),
    ];
    assert_eq!(found, expected);
    assert_eq!(words[2].tokens, 5..7);
}

#[test]
fn whitespace_is_no_part_of_a_word() {
    let mut t = Tokens::default();
    t.ids = vec![1, 2];
    t.spans = vec![[0, 2], [2, 5]];
    t.words = vec![Some(0), Some(1)];
    let words = t.words(&"é\u{a0} ab".into());
    let found: Vec<_> = words.iter().map(|w| (w.text.as_str(), w.start, w.end)).collect();
    assert_eq!(found, [("é", 0, 1), ("ab", 3, 5)]);
}

#[test]
fn tokens_of_another_text_do_not_panic() {
    let t = cut(&toy(), "hello world 中", NO_LIMIT);
    for text in ["", "é", "hello"] {
        assert_eq!(t.words(&text.into()).len(), 3);
    }
}

#[test]
fn a_long_text_is_cut_and_the_loss_counted() {
    let t = cut(&toy(), "a b c d e", 5);
    assert_eq!(t.pieces, ["[CLS]", "a", "b", "c", "[SEP]"]);
    assert_eq!(t.lost, 2);
    assert_eq!(cut(&toy(), "a b c d e", 7).lost, 0);
    let bare = cut(&toy(), "a b", 2);
    assert_eq!((bare.ids.as_slice(), bare.lost), (&[2, 3][..], 2));
}

#[test]
fn of_a_pair_the_longer_is_cut_first() {
    // (limit, tokens kept of the first, of the second); Hugging Face gives the odd one to the
    // longer text.
    for (limit, first, second) in [(8, 4, 1), (7, 3, 1), (5, 1, 1), (4, 1, 0), (3, 0, 0)] {
        let t = cut(&toy(), ("a b c d e", "a"), limit);
        let kept = |want: bool| {
            t.second.iter().zip(&t.special).filter(|&(&s, &special)| !special && s == want).count()
        };
        assert_eq!((kept(false), kept(true)), (first, second), "limit {limit}");
        assert_eq!((t.len(), t.lost), (limit, 9 - limit), "limit {limit}");
    }
}

#[test]
fn a_long_text_is_counted_and_kept_at_either_end() {
    let text = "hello, playing 中 ".repeat(20_000);
    let tokens = cut(&toy(), text.as_str(), 8);
    assert_eq!(tokens.pieces, ["[CLS]", "hello", ",", "play", "##ing", "中", "hello", "[SEP]"]);
    assert_eq!((tokens.spans[6], tokens.words[6], tokens.lost), ([17, 22], Some(4), 99_994));
    let left = r#"{"truncation_side": "left"}"#;
    let left = source(&[("vocab.txt", VOCAB), ("tokenizer_config.json", left)]);
    let left = Tokenizer::from_source(&left).unwrap();
    let tokens = cut(&left, text.as_str(), 4);
    assert_eq!(tokens.pieces, ["[CLS]", "##ing", "中", "[SEP]"]);
    let last = 17 * 19_999;
    assert_eq!(tokens.spans[1..3], [[last + 11, last + 14], [last + 15, last + 16]]);
    assert_eq!((tokens.words[2], tokens.lost), (Some(79_999), 99_998));
    // All of them, with one frame around.
    let all = toy().encode(&text.as_str().into(), 8, Overflow::Window { stride: None }).unwrap();
    assert_eq!((all.len(), all.lost), (100_002, 0));
    assert_eq!(all.special.iter().filter(|special| **special).count(), 2);
    for (i, row) in (1..=100_000).enumerate() {
        let (at, of) = ((i / 5 * 17) as u32, i % 5);
        let [start, end] = [[0, 5], [5, 6], [7, 11], [11, 14], [15, 16]][of];
        assert_eq!(all.spans[row], [at + start, at + end]);
        assert_eq!(all.ids[row], [5, 9, 7, 8, 10][of]);
        assert_eq!(all.words[row], Some((i / 5 * 4 + [0, 1, 2, 2, 3][of]) as u32));
    }
    let e = toy().encode(&text.as_str().into(), 8, Overflow::Error).unwrap_err().to_string();
    assert!(e.contains("has 100002 tokens, the limit is 8"), "{e}");
    let pair = cut(&toy(), (text.as_str(), text.as_str()), 11);
    assert_eq!((pair.len(), pair.lost), (11, 199_992));
}

#[test]
fn too_long_and_too_small_are_errors() {
    let e = toy().encode(&"a b c d e".into(), 5, Overflow::Error).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::TooLong);
    assert!(e.to_string().contains("has 7 tokens, the limit is 5"), "{e}");
    let e = toy().encode(&("a", "b").into(), 2, Overflow::Truncate).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Usage);
    assert!(e.to_string().contains("3 special tokens"), "{e}");
}

#[test]
fn many_at_once_are_as_one_by_one() {
    let texts: Vec<Text> = (0..200).map(|i| "a playing ".repeat(i % 17).into()).collect();
    let toy = toy();
    let all = toy.encode_all(&texts, 12, Overflow::Truncate).unwrap();
    for (text, tokens) in texts.iter().zip(all) {
        assert_eq!(toy.encode(text, 12, Overflow::Truncate).unwrap(), tokens);
    }
    let e = toy.encode_all(&texts, 12, Overflow::Error).unwrap_err();
    assert!(e.to_string().starts_with("text 4: the text has 14 tokens"), "{e}");
}

#[test]
fn a_literal_special_token_is_matched_but_not_marked() {
    let t = cut(&toy(), "a [SEP] b", NO_LIMIT);
    assert_eq!(t.ids, [2, 12, 3, 13, 3]);
    assert_eq!(t.special, [true, false, false, false, true]);
}

#[test]
fn padding_and_truncation_of_the_file_are_dropped() {
    let mut json = word_level();
    json["truncation"] =
        json!({"max_length": 2, "strategy": "LongestFirst", "stride": 0, "direction": "Right"});
    json["padding"] = json!({
        "strategy": {"Fixed": 8}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0,
        "pad_type_id": 0, "pad_token": "<unk>",
    });
    let tokenizer = Tokenizer::from_source(&source(&[("tokenizer.json", &json.to_string())]));
    let tokenizer = tokenizer.unwrap();
    assert_eq!(cut(&tokenizer, "a b a", NO_LIMIT).ids, [1, 7, 1]);
    assert_eq!(tokenizer.vocab_size(), 8);
    assert_eq!(tokenizer.limit_from_config(), None);
    // Without a post-processor nothing is added, and the second text still has type 1.
    assert_eq!(cut(&tokenizer, ("a", "b b"), NO_LIMIT).types, [0, 1, 1]);
    assert_eq!(cut(&tokenizer, "", 0), Tokens::default());
}

#[test]
fn settings_of_tokenizer_config_hold() {
    let cased = source(&[
        ("vocab.txt", VOCAB),
        ("tokenizer_config.json", r#"{"do_lower_case": false, "model_max_length": 128}"#),
    ]);
    let cased = Tokenizer::from_source(&cased).unwrap();
    assert_eq!(cut(&cased, "Hello hello HELLO", NO_LIMIT).ids, [2, 17, 5, 1, 3]);
    assert_eq!(cased.limit_from_config(), Some(128));
    assert_eq!((cased.vocab_size(), toy().vocab_size()), (18, 18));

    let endless = r#"{"model_max_length": 1000000000000000019884624838656}"#;
    let endless = source(&[("vocab.txt", VOCAB), ("tokenizer_config.json", endless)]);
    assert_eq!(Tokenizer::from_source(&endless).unwrap().limit_from_config(), None);
}

#[test]
fn bert_settings_hold_over_tokenizer_json() {
    // transformers rebuilds the normalizer of a BERT tokenizer from tokenizer_config.json.
    let mut json = word_level();
    json["normalizer"] = json!({
        "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
        "strip_accents": null, "lowercase": true,
    });
    let json = json.to_string();
    for (config, id) in [
        (r#"{"tokenizer_class": "BertTokenizer", "do_lower_case": false}"#, 0),
        (r#"{"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": false}"#, 1),
        (r#"{"tokenizer_class": "BertTokenizerFast"}"#, 1),
    ] {
        let source = source(&[("tokenizer.json", &json), ("tokenizer_config.json", config)]);
        let tokenizer = Tokenizer::from_source(&source).unwrap();
        assert_eq!(cut(&tokenizer, "A", NO_LIMIT).ids, [id], "{config}");
    }
}

#[test]
fn special_tokens_of_other_names() {
    let vocab = "<s>\n</s>\n<unk>\na\r\na\n";
    // As in transformers, special_tokens_map.json is the later word.
    let config = r#"{"cls_token": "ignored", "unk_token": "<unk>"}"#;
    let map = r#"{"sep_token": "</s>", "cls_token": {"content": "<s>", "lstrip": false}}"#;
    let files =
        [("vocab.txt", vocab), ("tokenizer_config.json", config), ("special_tokens_map.json", map)];
    let tokenizer = Tokenizer::from_source(&source(&files)).unwrap();
    // The last of two equal lines counts.
    assert_eq!(cut(&tokenizer, "a x", NO_LIMIT).ids, [0, 4, 2, 1]);
}

#[test]
fn bad_tokenizers_are_named() {
    type Files = [(&'static str, &'static str)];
    let cases: &[(&Files, ErrorKind, &[&str])] = &[
        (&[], ErrorKind::NotFound, &["tokenizer.json", "vocab.txt"]),
        (
            &[("tokenizer.json", "{\n  \"version\": 1.0,,")],
            ErrorKind::Checkpoint,
            &["toy: tokenizer.json", "line 2"],
        ),
        (&[("tokenizer.json", "")], ErrorKind::Checkpoint, &["toy: tokenizer.json"]),
        (&[("vocab.txt", "a\nb\n")], ErrorKind::Checkpoint, &["vocab.txt", "[UNK]"]),
        (&[("vocab.txt", "")], ErrorKind::Checkpoint, &["vocab.txt", "is empty"]),
        (
            &[("vocab.txt", VOCAB), ("tokenizer_config.json", "[1,\n2")],
            ErrorKind::Checkpoint,
            &["tokenizer_config.json", "line"],
        ),
        (
            &[("vocab.txt", VOCAB), ("tokenizer_config.json", r#"{"do_lower_case": "no"}"#)],
            ErrorKind::Checkpoint,
            &["tokenizer_config.json", "`do_lower_case`", "\"no\""],
        ),
        (
            &[
                ("vocab.txt", VOCAB),
                ("tokenizer_config.json", r#"{"tokenizer_class": "BertJapaneseTokenizer"}"#),
            ],
            ErrorKind::Unsupported,
            &["tokenizer_class", "BertJapaneseTokenizer"],
        ),
        (
            &[("vocab.txt", VOCAB), ("added_tokens.json", r#"{"<new>": "18"}"#)],
            ErrorKind::Checkpoint,
            &["added_tokens.json", "<new>"],
        ),
        (
            &[
                ("vocab.txt", VOCAB),
                (
                    "tokenizer_config.json",
                    r#"{"added_tokens_decoder": {"18": {"content": "<new>", "lstrip": "no"}}}"#,
                ),
            ],
            ErrorKind::Checkpoint,
            &["tokenizer_config.json", "added_tokens_decoder", "18", "lstrip"],
        ),
    ];
    for (files, kind, parts) in cases {
        let (found, message) = error(files);
        assert_eq!(found, *kind, "{message}");
        for part in *parts {
            assert!(message.contains(part), "{part:?} is not in {message:?}");
        }
    }
}

#[test]
fn vocab_that_is_not_text_is_named_with_its_line() {
    let files = HashMap::from([("vocab.txt".to_owned(), b"[PAD]\n\xff\n".to_vec())]);
    let e = Tokenizer::from_source(&Bytes::new("toy", files)).unwrap_err();
    assert!(e.to_string().contains("vocab.txt: line 2: not valid UTF-8"), "{e}");
}

#[test]
fn an_unknown_word_without_unk_is_an_error() {
    let mut json = word_level();
    json["model"] = json!({"type": "WordLevel", "vocab": {"a": 1}, "unk_token": "gone"});
    let tokenizer = Tokenizer::from_source(&source(&[("tokenizer.json", &json.to_string())]));
    let tokenizer = tokenizer.unwrap();
    let texts: Vec<Text> = vec!["a".into(), "b".into()];
    let e = tokenizer.encode_all(&texts, NO_LIMIT, Overflow::Truncate).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Text);
    assert!(e.to_string().starts_with("text 1: the tokenizer failed"), "{e}");
}

#[test]
fn a_prompt_takes_no_span_and_no_word_of_the_text() {
    use everylayer::text::Tokens;
    // "ask: new york": the prompt is `ask: `, the text `new york`.
    let mut tokens = Tokens::default();
    tokens.ids = vec![1, 10, 11, 12, 13, 2];
    tokens.types = vec![0; 6];
    tokens.pieces = ["[CLS]", "ask", ":", "new", "york", "[SEP]"].into_iter().collect();
    tokens.spans = vec![[0, 0], [0, 3], [3, 4], [5, 8], [9, 13], [0, 0]];
    tokens.words = vec![None, Some(0), Some(1), Some(2), Some(3), None];
    tokens.special = vec![true, false, false, false, false, true];
    tokens.second = vec![false; 6];
    tokens.forget_prefix(5);
    assert_eq!(tokens.spans, [[0, 0], [0, 0], [0, 0], [0, 3], [4, 8], [0, 0]]);
    assert_eq!(tokens.words, [None, None, None, Some(0), Some(1), None]);
    let words = tokens.words(&"new york".into());
    let words: Vec<_> = words.iter().map(|w| (w.text.as_str(), w.start, w.end)).collect();
    assert_eq!(words, [("new", 0, 3), ("york", 4, 8)]);
}

#[test]
fn whitespace_alone_is_no_word() {
    let mut t = Tokens::default();
    t.ids = vec![1, 2, 3];
    t.spans = vec![[0, 1], [1, 3], [3, 5]];
    t.words = vec![Some(0), Some(1), Some(2)];
    let words = t.words(&"a\u{3000}  b".into());
    let found: Vec<_> =
        words.iter().map(|w| (w.text.as_str(), w.start, w.tokens.clone())).collect();
    assert_eq!(found, [("a", 0, 0..1), ("b", 4, 2..3)]);
}

/// Texts of many scripts: with and without spaces, accents on their own, joined emoji, characters
/// that normalisation drops, and any others.
fn texts() -> impl Strategy<Value = String> {
    let script = |characters: &str| {
        prop::collection::vec(prop::sample::select(characters.chars().collect::<Vec<_>>()), 1..6)
            .prop_map(String::from_iter)
    };
    let piece = prop_oneof![
        script("abcXYZ.,!'-09"),
        script("äñüÅçİßẞŉǰ"),
        script("e\u{301}a\u{308}n\u{303}\u{327}"),
        script("中文字漢日本語かなカナ。"),
        script("한국어ᄒ\u{1161}"),
        script("ไทยภาษานี้"),
        script("हिन्दीक्ष"),
        script("עברית\u{200f}العربية"),
        script("👩\u{200d}👧👍🏽❤\u{fe0f}🇩🇪"),
        script("ﬁ½²Ⅷ™𝒳𐍈▁_"),
        script("\u{200b}\u{feff}\u{ad}\u{1}\u{7f}\u{fffd}a"),
        script(" \t\u{a0}\u{3000}\u{2028}"),
        prop::collection::vec(any::<char>(), 1..5).prop_map(String::from_iter),
    ];
    prop::collection::vec((piece, any::<bool>()), 0..12).prop_map(|pieces| {
        pieces.into_iter().map(|(piece, space)| piece + if space { " " } else { "" }).collect()
    })
}

/// What is wrong with the words of `text`.
fn word_faults(tokenizer: &Tokenizer, text: &str) -> Result<(), TestCaseError> {
    let characters: Vec<char> = text.chars().collect();
    let tokens = cut(tokenizer, text, NO_LIMIT);
    let mut covered = vec![false; characters.len()];
    let (mut before, mut token) = ((0, 0), 0);
    for word in tokens.words(&text.into()) {
        let (start, end) = (word.start as usize, word.end as usize);
        prop_assert!(start < end && end <= characters.len(), "{word:?} of {text:?}");
        prop_assert!(start >= before.0 && end >= before.1, "{word:?} after {before:?} of {text:?}");
        prop_assert_eq!(&word.text, &String::from_iter(&characters[start..end]));
        prop_assert!(!word.text.trim().is_empty() && word.text.trim() == word.text, "{word:?}");
        prop_assert!(token <= word.tokens.start && word.tokens.start < word.tokens.end);
        prop_assert!(
            word.tokens.clone().all(|i| tokens.words[i] == tokens.words[word.tokens.start])
        );
        token = word.tokens.end;
        before = (start, end);
        covered[start..end].fill(true);
    }
    for (i, &c) in characters.iter().enumerate() {
        // What normalisation drops makes no token by itself either.
        let lost = || {
            let alone = cut(tokenizer, c.to_string().as_str(), NO_LIMIT);
            alone.special.iter().all(|&special| special)
        };
        prop_assert!(
            covered[i] || c.is_whitespace() || lost(),
            "character {i}, {c:?}, of {text:?} is in no word of {:?}",
            tokens.words(&text.into())
        );
    }
    Ok(())
}

#[test]
fn words_cover_every_character_that_is_no_space() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    // WordPiece, BPE of bytes, Unigram, and the other two families of their kinds.
    let mut failures = Vec::new();
    for folder in [
        "models/all-MiniLM-L6-v2",
        "tests/fixtures/families/roberta-a",
        "tests/fixtures/families/modernbert-a",
        "tests/fixtures/families/xlm-roberta-a",
        "tests/fixtures/families/deberta-v2-a",
    ] {
        let source = Directory::open(root.join(folder)).unwrap();
        let tokenizer = Tokenizer::from_source(&source).unwrap();
        let config = Config { cases: 500, failure_persistence: None, ..Config::default() };
        let check = |text: String| word_faults(&tokenizer, &text);
        if let Err(e) = TestRunner::new(config).run(&texts(), check) {
            failures.push(format!("{folder}: {e}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
