use std::cell::Cell;
use std::collections::HashMap;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::Value;
use tokenizers::{AddedToken, NormalizedString, Normalizer};

use super::*;
use crate::model::bytes::Bytes;
use crate::model::directory::Directory;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The tokenizers of the fixtures: every kind of vocabulary file, and `tokenizer.json` of families.
fn kinds() -> Vec<(String, Tokenizer)> {
    let folder = root().join("tests/fixtures/vocabularies");
    let goldens: Value =
        serde_json::from_slice(&fs::read(folder.join("goldens.json")).unwrap()).unwrap();
    let mut all = Vec::new();
    for (kind, golden) in goldens["kinds"].as_object().unwrap() {
        let files = golden["files"].as_object().unwrap().iter().map(|(name, value)| {
            let bytes = match value {
                Value::String(file) => fs::read(folder.join(file)).unwrap(),
                json => json.to_string().into_bytes(),
            };
            (name.clone(), bytes)
        });
        let source = Bytes::new("toy", files.collect::<HashMap<_, _>>());
        let read = crate::text::Tokenizer::from_source(&source).unwrap();
        all.push((kind.clone(), read.into_inner()));
    }
    for name in ["modernbert-a", "deberta-v2-a", "eurobert-a"] {
        let folder = root().join("tests/fixtures/families").join(name);
        if let Ok(source) = Directory::open(&folder) {
            let read = crate::text::Tokenizer::from_source(&source).unwrap();
            all.push((name.to_owned(), read.into_inner()));
        }
    }
    all
}

/// Tokens of every flag, some of which overlap in a text.
fn declare(tokenizer: &mut Tokenizer, spaces: bool) {
    let token = |text: &str, special| AddedToken::from(text, special);
    let mut run = NormalizedString::from("    ");
    tokenizer.get_normalizer().map(|n| n.normalize(&mut run));
    // The crate finds a token of nothing without end.
    let spaces = spaces && !run.is_empty();
    tokenizer
        .add_tokens([
            token("[L]", true).lstrip(true),
            // The crate fails where whitespace that one has taken is a token as well.
            token("<R>", true).rstrip(!spaces),
            token("[B]", false).lstrip(true).rstrip(!spaces),
            token("Word", false).single_word(true),
            token("nice day", false),
            token("É", false),
            token("漢", false).single_word(true),
            token("abab", false),
            token("ba", false),
            token(if spaces { "    " } else { "--" }, false),
            token("!!!", true),
        ])
        .unwrap();
}

/// Texts of words, runs, scripts, whitespace and tokens that are matched as they stand.
fn texts() -> impl Strategy<Value = String> {
    let listed = |list: &'static [&'static str]| prop::sample::select(list).prop_map(str::to_owned);
    let piece = prop_oneof![
        6 => "[a-z]{1,8}",
        4 => listed(&[" ", "  ", "\n", "\t ", "    ", "\r\n", "\u{a0}", "\u{3000}"]),
        2 => listed(&["[L]", " [L]", "<R>", "<R>  ", "[B]", "[SEP]", "</s>", "<mask>", " <mask>"]),
        2 => listed(&["Word", "word", "Words", "nice day", "NICE day", "É", "é", "e\u{301}", "漢", "abab", "bababa"]),
        2 => listed(&["'s", "'ll", "''", "``", "!!", "!!!!", "...", "--", "<", "[", "1", "12345", "½", "ﬁ"]),
        2 => listed(&["漢字", "かな", "한국어", "ไทยนี้", "हिन्दी", "עברית", "العربية", "👩\u{200d}🚀", "👍🏽", "🇩🇪", "ა"]),
        1 => listed(&["\u{301}", "\u{327}\u{301}", "\u{200b}", "\u{1}", "\u{ad}", "\u{1161}", "\u{fe0f}"]),
        1 => (listed(&["!", "'", "a", "ab ", " ", "漢", "1", "👍", "ba", "é", "▁", "\n"]), 2..60_usize)
            .prop_map(|(of, times)| of.repeat(times)),
        1 => any::<char>().prop_map(String::from),
    ];
    let piece = (piece, prop::bool::weighted(0.6));
    prop::collection::vec(piece, 60..400).prop_map(|pieces| {
        pieces.into_iter().map(|(piece, space)| piece + if space { " " } else { "" }).collect()
    })
}

const WHOLE: Sizes = Sizes { stretch: usize::MAX, longest: usize::MAX };

#[test]
fn stretches_have_the_tokens_of_the_whole() {
    let mut faults = Vec::new();
    for (kind, plain) in kinds() {
        let [mut declared, mut spaces] = [plain.clone(), plain.clone()];
        declare(&mut declared, false);
        declare(&mut spaces, true);
        for (name, tokenizer) in [("plain", &plain), ("declared", &declared), ("spaces", &spaces)] {
            let seams = Seams::of(tokenizer);
            assert!(seams.known, "{kind}");
            let (apart, refused) = (Cell::new(0), Cell::new(0));
            let mut config = Config { failure_persistence: None, ..Config::default() };
            // A long run is asked for by name.
            if std::env::var_os("PROPTEST_CASES").is_none() {
                config.cases = 8;
            }
            let check = |(text, stretch): (String, usize)| {
                let all = Keep::First(usize::MAX);
                let want = encode(tokenizer, &seams, &text, all, WHOLE).unwrap();
                let sizes = Sizes { stretch, longest: 8 * stretch };
                match encode(tokenizer, &seams, &text, all, sizes) {
                    Ok(got) => {
                        let same = |i: &usize| {
                            got.ids.get(*i) == want.ids.get(*i)
                                && got.spans.get(*i) == want.spans.get(*i)
                                && got.words.get(*i) == want.words.get(*i)
                        };
                        let at = (0..want.ids.len()).find(|i| !same(i));
                        prop_assert!(got == want, "stretches of {stretch}: token {at:?}: {text:?}");
                        apart.set(apart.get() + 1);
                        let keep = encode(tokenizer, &seams, &text, Keep::Last(7), sizes).unwrap();
                        prop_assert_eq!(keep.count, want.count);
                        prop_assert_eq!(
                            &keep.ids[..],
                            &want.ids[want.ids.len().saturating_sub(7)..]
                        );
                    }
                    Err(_) => refused.set(refused.get() + 1),
                }
                Ok(())
            };
            if let Err(e) = TestRunner::new(config).run(&(texts(), 400..900_usize), check) {
                let said: String = e.to_string().chars().take(1500).collect();
                faults.push(format!("{kind} {name}: {said}"));
            }
            println!("{kind} {name}: {} apart, {} refused", apart.get(), refused.get());
        }
    }
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

/// Words without a place to be taken apart at, of letters, marks, digits, several scripts, and a
/// character that no vocabulary has.
fn long_words() -> impl Strategy<Value = String> {
    let of = prop::sample::select(
        &["!", "a", "é", "ab1", "ing", "漢a", "漢", "👍", "!?", "龘", "xyz"][..],
    );
    let run = (of, 1..2000_usize).prop_map(|(of, times)| of.repeat(times));
    let mixed = "[a-zA-Z]{1,900}".prop_map(String::from);
    let word = prop::collection::vec(prop_oneof![3 => run, 1 => mixed], 1..6);
    let words = prop::collection::vec(word.prop_map(|parts| parts.concat()), 1..4);
    let space = prop::sample::select(&[" ", "\n", "  ", ". "][..]);
    (words, space).prop_map(|(words, space)| words.join(space))
}

#[test]
fn a_word_longer_than_a_stretch_has_the_tokens_of_the_whole() {
    let all = Keep::First(usize::MAX);
    let (mut refused, mut whole) = (Vec::new(), Vec::new());
    for (kind, tokenizer) in kinds() {
        let seams = Seams::of(&tokenizer);
        if seams.runs(&tokenizer).is_none() {
            whole.push(kind);
            continue;
        }
        let check = |(text, stretch): (String, usize)| {
            let sizes = Sizes { stretch, longest: 4 * stretch };
            let want = encode(&tokenizer, &seams, &text, all, WHOLE).unwrap();
            let got = encode(&tokenizer, &seams, &text, all, sizes);
            let got = got.map_err(|e| TestCaseError::fail(format!("{e}: {text:.60}")))?;
            let same = |i: &usize| {
                got.ids.get(*i) == want.ids.get(*i) && got.spans.get(*i) == want.spans.get(*i)
            };
            let at = (0..want.ids.len()).find(|i| !same(i));
            prop_assert!(got == want, "stretches of {stretch}: token {at:?}: {text:.200}");
            Ok(())
        };
        let mut config = Config { failure_persistence: None, ..Config::default() };
        if std::env::var_os("PROPTEST_CASES").is_none() {
            config.cases = 8;
        }
        if let Err(e) = TestRunner::new(config).run(&(long_words(), 700..1500_usize), check) {
            refused
                .push(format!("{kind}: {}", e.to_string().chars().take(600).collect::<String>()));
        }
    }
    println!("not taken apart: {whole:?}");
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

#[test]
fn rules_that_are_not_known_are_for_short_texts() {
    let mut tokenizer = kinds().swap_remove(0).1;
    let splits = serde_json::json!({
        "type": "Split", "pattern": {"Regex": "a.*b|."}, "behavior": "Isolated", "invert": false,
    });
    let splits: tokenizers::PreTokenizerWrapper = serde_json::from_value(splits).unwrap();
    tokenizer.with_pre_tokenizer(Some(splits));
    let seams = Seams::of(&tokenizer);
    assert!(!seams.known);
    let sizes = Sizes { stretch: 100, longest: 1000 };
    let count = |length: usize| {
        encode(&tokenizer, &seams, &"x ".repeat(length), Keep::First(5), sizes).map(|k| k.count)
    };
    assert_eq!(count(500).unwrap(), 1000);
    let e = count(501).unwrap_err().to_string();
    assert!(e.contains("1002 bytes") && e.contains("1000 bytes are read at most"), "{e}");
}
