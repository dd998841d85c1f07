//! A text's vectors are the same bits alone, twice in a call, in any batch, in any order.

mod common;

use std::collections::HashMap;

use common::{bundled, devices, fixtures};
use everylayer::encoder::{Job, PreparedText, WindowRange, Windowed};
use everylayer::model::directory::Directory;
use everylayer::{Capture, Combine, Encoder, Layers, LoadOptions, Overflow, Pool, Precision, Text};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Texts from one token to a few dozen, some alike.
fn corpus() -> Vec<String> {
    let mut texts: Vec<String> = ["", "Hello", "Hello, world!", "the word is the word", "a b c d"]
        .map(str::to_owned)
        .to_vec();
    texts.extend((1..20).map(|n| "every token is for the words ".repeat(n)));
    texts
}

fn captures() -> Vec<Capture> {
    let all = || Capture::default().layers(Layers::All);
    vec![
        Capture::default(),
        all().pool(Pool::Tokens),
        all().pool(Pool::MeanMax),
        all().combine(Combine::Mean).pool(Pool::Max),
        all().combine(Combine::Concat).pool(Pool::WeightedMean).normalize(true),
        Capture::default().pool(Pool::Pooler).precision(Precision::F16),
    ]
}

/// Runs `cases` random batches of the corpus and compares every vector, bit by bit, with that of
/// the text alone. `sizes` are the batch sizes in tokens that are tried.
fn check(encoder: &Encoder, cases: u32, texts: &[String], capture: &Capture) {
    let bits = |text: usize, got: &everylayer::Embeddings| -> Vec<u32> {
        got.texts[text].values.to_f32().iter().map(|x| x.to_bits()).collect()
    };
    let mut alone: HashMap<usize, Vec<u32>> = HashMap::new();
    for (i, text) in texts.iter().enumerate() {
        alone.insert(i, bits(0, &encoder.embed_blocking([text], capture).unwrap()));
    }
    let mut runner =
        TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let batch = prop::collection::vec(0..texts.len(), 1..9);
    runner
        .run(&batch, |batch| {
            let chosen: Vec<&String> = batch.iter().map(|&i| &texts[i]).collect();
            let got = encoder.embed_blocking(chosen, capture).unwrap();
            for (at, i) in batch.iter().enumerate() {
                prop_assert!(
                    bits(at, &got) == alone[i],
                    "text {i} at {at} of {batch:?} has other bits than alone ({capture:?})"
                );
            }
            Ok(())
        })
        .unwrap_or_else(|e| panic!("{}: {e}", encoder.device()));
}

#[test]
fn same_bits_in_any_batch_of_a_small_model() {
    let source = Directory::open(fixtures().join("checkpoints/tiny-36x3")).unwrap();
    let texts: Vec<String> = corpus().into_iter().map(|t| t.chars().take(120).collect()).collect();
    for device in devices() {
        // A small budget splits a call into many batches.
        for batch_tokens in [1, 70, 8192] {
            let options = LoadOptions::default().device(device.clone()).batch_tokens(batch_tokens);
            let encoder = Encoder::load_blocking(&source, &options).unwrap();
            for mut capture in captures() {
                if encoder.spec().pooler.is_none() && capture.pool == Pool::Pooler {
                    capture = capture.pool(Pool::Cls);
                }
                check(&encoder, 35, &texts, &capture);
            }
        }
    }
}

#[test]
fn same_bits_in_200_batches_of_the_bundled_model() {
    for device in devices() {
        // llvmpipe runs 200 tokens/s of this model: short texts there.
        let texts: Vec<String> = match device {
            everylayer::Device::Cpu => corpus(),
            _ => corpus().into_iter().take(5).collect(),
        };
        let encoder = common::load(&bundled(), device);
        check(&encoder, 200, &texts, &Capture::default().layers(Layers::All).pool(Pool::Mean));
    }
}

#[test]
fn windows_of_a_long_call_change_nothing() {
    let source = Directory::open(fixtures().join("checkpoints/tiny-36x3")).unwrap();
    // Tokens of some windows, and text of some pieces of each.
    let word = |i: usize| ["the", "word", "Hello", "every", "a b"][i % 5];
    let texts: Vec<String> = (0..3000)
        .map(|i| (0..1 + i * 7 % 9).map(|j| word(i / 3 + j)).collect::<Vec<_>>().join(" "))
        .collect();
    let capture = Capture::default().layers(Layers::All).pool(Pool::Mean);
    let mut all = Vec::new();
    for device in devices() {
        for batch_tokens in [300, 3000] {
            let options = LoadOptions::default().device(device.clone()).batch_tokens(batch_tokens);
            let encoder = Encoder::load_blocking(&source, &options).unwrap();
            let got = encoder.embed_blocking(&texts, &capture).unwrap();
            let order: Vec<usize> = got.texts.iter().map(|text| text.index).collect();
            assert_eq!(order, (0..texts.len()).collect::<Vec<_>>());
            let tokens: usize = got.texts.iter().map(|text| text.text_tokens).sum();
            let recordings = encoder.record(&texts, &capture).unwrap();
            assert_eq!(recordings.iter().map(|r| r.tokens()).sum::<usize>(), tokens);
            // No batch of a window but the last is left half empty.
            let least = tokens.div_ceil(batch_tokens);
            assert!(recordings.len() <= least + least / 8 + 1, "{} batches", recordings.len());
            for i in (0..texts.len()).step_by(271) {
                let alone = encoder.embed_blocking([&texts[i]], &capture).unwrap();
                assert!(got.texts[i].values == alone.texts[0].values, "{device:?} text {i}");
            }
            all.push((device.clone(), got));
        }
    }
    for pair in all.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
        assert!(pair[0].1 == pair[1].1, "{:?}", pair[0].0);
    }
}

#[test]
fn an_error_names_the_text_in_the_whole_call() {
    let source = Directory::open(fixtures().join("checkpoints/tiny-36x3")).unwrap();
    let encoder = Encoder::load_blocking(&source, &LoadOptions::default()).unwrap();
    let mut texts = vec!["the word".to_owned(); 3000];
    texts[2777] = "the word ".repeat(40);
    let capture = Capture::default().max_tokens(10).overflow(everylayer::Overflow::Error);
    let error = encoder.embed_blocking(&texts, &capture).unwrap_err();
    assert_eq!(error.kind(), everylayer::ErrorKind::TooLong);
    assert!(error.to_string().starts_with("text 2777: "), "{error}");
}

#[test]
fn embedding_is_send() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let encoder = common::load(&bundled(), everylayer::Device::Cpu);
    let capture = Capture::default();
    // One encoder serves many threads, and its futures may move between them.
    let future = is_send(encoder.embed(["Hello"], &capture));
    assert_eq!(pollster::block_on(future).unwrap().texts.len(), 1);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| encoder.embed_blocking(["Hello", "world"], &capture).unwrap());
        }
    });
}

#[test]
fn same_bits_beside_other_outputs_of_the_text() {
    let source = Directory::open(fixtures().join("checkpoints/tiny-36x3")).unwrap();
    let all = || Capture::default().layers(Layers::All).normalize(false);
    let weighted = Combine::Weighted((0..3).map(|i: u8| 0.3 + f32::from(i) / 7.0).collect());
    let mut captures = vec![
        Capture::default(),
        all().combine(Combine::Mean),
        all().combine(Combine::Sum).pool(Pool::Mean),
        all().combine(weighted).pool(Pool::WeightedMean),
        all().combine(Combine::Max).pool(Pool::Tokens),
        all().pool(Pool::MeanMax),
        all().pool(Pool::Words(Default::default())),
        all().pool(Pool::Tokens),
        Capture::default().layers("2,0").pool(Pool::Cls),
    ];
    let text = Text::from("Hello the word, every word is the word");
    for device in devices() {
        let options = LoadOptions::default().device(device.clone());
        let encoder = Encoder::load_blocking(&source, &options).unwrap();
        if encoder.spec().pooler.is_some() {
            captures.push(Capture::default().pool(Pool::Pooler));
        }
        let tokens = encoder.tokenize([&text], &Capture::default()).unwrap().remove(0);
        let words = tokens.words(&text);
        let prepared = PreparedText { tokens, words, ..PreparedText::default() };
        let run = |captures: &[Capture]| {
            let jobs = [Job { text: &prepared, windows: None, captures }];
            let served = pollster::block_on(encoder.embed_jobs(&jobs)).unwrap();
            served.results.into_iter().next().unwrap().unwrap().unwrap()
        };
        let together = run(&captures);
        assert_eq!(together.len(), captures.len());
        for (capture, got) in captures.iter().zip(&together) {
            let alone = run(std::slice::from_ref(capture)).remove(0);
            assert!(*got == alone, "{}: {capture:?} has other bits", encoder.device());
            let embedded = encoder.embed_blocking([&text], capture).unwrap();
            assert!(got.values == embedded.texts[0].values, "{capture:?} by embed");
        }
    }
}

#[test]
fn windows_that_are_run_one_by_one_change_nothing() {
    let source = Directory::open(fixtures().join("checkpoints/tiny-36x3")).unwrap();
    let text = "Hello the word, every word is a b the word ".repeat(4);
    let text = Text::from(text.as_str());
    let (limit, stride) = (12, Some(3));
    let window = |capture: Capture| {
        capture.max_tokens(limit).overflow(Overflow::Window { stride }).normalize(false)
    };
    let captures = [
        window(Capture::default().layers(Layers::All).pool(Pool::Tokens)),
        window(Capture::default().layers(Layers::All).combine(Combine::Mean).pool(Pool::Mean)),
        window(Capture::default().pool(Pool::Words(Default::default()))),
    ];
    for device in devices() {
        let options = LoadOptions::default().device(device.clone());
        let encoder = Encoder::load_blocking(&source, &options).unwrap();
        let tokens = encoder.tokenize([&text], &captures[0]).unwrap().remove(0);
        let words = tokens.words(&text);
        let of = Windowed::new(&tokens, limit, stride, &captures).unwrap();
        assert!(of.len() > 5 && of.tokens(0) == limit && of.tokens(of.len()) == 0);
        let prepared = PreparedText { tokens, words, ..PreparedText::default() };
        let run = |first, count| {
            let windows = Some(WindowRange { of: &of, first, count });
            let jobs = [Job { text: &prepared, windows, captures: &captures }];
            let served = pollster::block_on(encoder.embed_jobs_in_turns(&jobs)).unwrap();
            served.results.into_iter().next().unwrap()
        };
        // Backwards, and one of them twice, as after the loss of a device.
        let last = of.len() - 1;
        assert_eq!(run(last, 1).unwrap(), None);
        (1..last).rev().for_each(|k| assert_eq!(run(k, 1).unwrap(), None, "window {k}"));
        assert_eq!(run(1, 2).unwrap(), None);
        let got = run(0, 1).unwrap().unwrap();
        for (capture, got) in captures.iter().zip(&got) {
            let whole = encoder.embed_blocking([&text], capture).unwrap();
            assert!(got.values == whole.texts[0].values, "{device:?} {capture:?}");
        }
        // Once more, all in one call.
        assert!(run(0, of.len()).unwrap().unwrap() == got);
        for (first, count) in [(0, 0), (0, of.len() + 1), (of.len(), 1), (usize::MAX, 2)] {
            assert_eq!(common::kind(run(first, count)), Some(everylayer::ErrorKind::Usage));
        }
    }
}
