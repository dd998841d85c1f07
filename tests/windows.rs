//! Texts that are longer than the limit, in overlapping windows.

mod common;

use common::{bundled, devices, fixtures, load};
use everylayer::model::directory::Directory;
use everylayer::{
    Capture, Combine, Device, Embeddings, Encoder, ErrorKind, Layers, LoadOptions, Overflow, Pool,
    WordPool,
};

/// From a column, each number with its row, to one number.
type Fold<'a> = dyn Fn(&mut dyn Iterator<Item = (usize, f64)>) -> f64 + 'a;

/// Words of one token each in the bundled vocabulary, and some that are split.
const WORDS: [&str; 24] = [
    "river",
    "stone",
    "walked",
    "the",
    "morning",
    "old",
    "a",
    "house",
    "of",
    "light",
    "under",
    "music",
    "quietly",
    "unbelievable",
    "garden",
    "tokenization",
    "she",
    "never",
    "answered",
    "blue",
    "windowpane",
    "market",
    "and",
    "winter",
];

/// `count` words in no order, all letters.
fn words(count: usize) -> Vec<&'static str> {
    let mut state = 7_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as usize
    };
    (0..count).map(|_| WORDS[next() % WORDS.len()]).collect()
}

fn window(stride: Option<usize>) -> Capture {
    Capture::default().overflow(Overflow::Window { stride })
}

fn row(got: &Embeddings, layer: usize, row: usize) -> &[f32] {
    got.vector(0, layer, row).unwrap()
}

/// 1 less the cosine.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum()
    };
    1.0 - dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn a_row_is_that_of_the_window_alone_in_which_it_has_most_context() {
    let encoder = load(&bundled(), Device::Cpu);
    // Of one token each.
    let text: Vec<&str> = words(400).into_iter().filter(|w| w.len() < 6).take(90).collect();
    let (limit, stride) = (32, 11);
    let tokens =
        |capture: Capture| capture.layers(Layers::All).pool(Pool::Tokens).max_tokens(limit);
    let got = encoder.embed_blocking([text.join(" ")], &tokens(window(Some(stride)))).unwrap();
    let whole = &got.texts[0];
    assert_eq!((whole.rows, whole.lost, whole.text_tokens), (92, 0, 92));
    let room = limit - 2;
    let mut starts: Vec<usize> =
        (0..).step_by(room - stride).take_while(|s| s + room < 90).collect();
    starts.push(90 - room);
    let alone: Vec<Embeddings> = starts
        .iter()
        .map(|&s| text[s..s + room].join(" "))
        .map(|part| encoder.embed_blocking([part], &tokens(Capture::default())).unwrap())
        .collect();
    let context = |word: usize, start: usize| {
        let left = word.checked_sub(start)?;
        let right = (start + room).checked_sub(word + 1)?;
        let left = if start == 0 { usize::MAX } else { left };
        Some(left.min(if start + room == 90 { usize::MAX } else { right }))
    };
    for word in 0..90 {
        let best = (0..starts.len()).rev().max_by_key(|&i| context(word, starts[i])).unwrap();
        for layer in 0..got.layer_axis {
            let want = row(&alone[best], layer, 1 + word - starts[best]);
            assert!(row(&got, layer, 1 + word) == want, "word {word} layer {layer}");
        }
    }
    let last = starts.len() - 1;
    assert_eq!(row(&got, 3, 0), row(&alone[0], 3, 0));
    assert_eq!(row(&got, 3, 91), row(&alone[last], 3, limit - 1));
    let spans: Vec<_> = whole.tokens.iter().map(|t| t.word).collect();
    assert_eq!(spans[1..91], (0..90).map(Some).collect::<Vec<_>>());
}

#[test]
fn poolings_are_over_all_tokens_once() {
    let encoder = load(&bundled(), Device::Cpu);
    let text = words(150).join(" ");
    let of = |pool: Pool| {
        let capture = window(Some(5)).layers(Layers::All).combine(Combine::Mean).pool(pool);
        encoder.embed_blocking([&text], &capture.max_tokens(40).normalize(false)).unwrap()
    };
    let tokens = of(Pool::Tokens);
    let count = tokens.texts[0].rows;
    assert!(count > 150);
    let fold = |f: &Fold<'_>| -> Vec<f64> {
        (0..tokens.width)
            .map(|x| f(&mut (0..count).map(|r| (r, f64::from(row(&tokens, 0, r)[x])))))
            .collect()
    };
    let n = count as f64;
    let cases: [(Pool, Vec<f64>); 5] = [
        (Pool::Mean, fold(&|rows| rows.map(|(_, x)| x).sum::<f64>() / n)),
        (Pool::Max, fold(&|rows| rows.map(|(_, x)| x).fold(f64::MIN, f64::max))),
        (Pool::Cls, fold(&|rows| rows.next().unwrap().1)),
        (Pool::Last, fold(&|rows| rows.last().unwrap().1)),
        (
            Pool::WeightedMean,
            fold(&|rows| {
                rows.map(|(i, x)| (i + 1) as f64 * x).sum::<f64>() / (n * (n + 1.0) / 2.0)
            }),
        ),
    ];
    for (pool, want) in cases {
        let got = of(pool);
        assert_eq!((got.texts[0].rows, got.texts[0].text_tokens), (1, count));
        for (x, want) in row(&got, 0, 0).iter().zip(want) {
            assert!((f64::from(*x) - want).abs() < 1e-4, "{pool}: {x} {want}");
        }
    }
}

#[test]
fn long_and_short_texts_share_a_call() {
    let source = Directory::open(fixtures().join("checkpoints/tiny-36x3")).unwrap();
    let mut texts: Vec<String> =
        (0..40).map(|i| "the word every Hello ".repeat(i * 5 % 17)).collect();
    texts.push("a b c d".repeat(200));
    for device in devices() {
        for pool in [Pool::Mean, Pool::Tokens, Pool::Words(WordPool::FirstLast)] {
            let capture = window(None).layers(Layers::All).pool(pool).max_tokens(24);
            let mut all: Vec<Embeddings> = Vec::new();
            for batch_tokens in [1, 70, 8192] {
                let options =
                    LoadOptions::default().device(device.clone()).batch_tokens(batch_tokens);
                let encoder = Encoder::load_blocking(&source, &options).unwrap();
                let got = encoder.embed_blocking(&texts, &capture).unwrap();
                assert_eq!((got.texts.len(), got.lost(), got.truncated()), (41, 0, 0));
                for i in [0, 3, 17, 40] {
                    let alone = encoder.embed_blocking([&texts[i]], &capture).unwrap();
                    assert!(alone.texts[0].values == got.texts[i].values, "{device:?} {pool} {i}");
                }
                all.push(got);
            }
            assert!(all[0] == all[1] && all[1] == all[2], "{device:?} {pool}");
        }
    }
}

#[test]
fn what_cannot_be_is_an_error() {
    let encoder = load(&bundled(), Device::Cpu);
    let long = words(40).join(" ");
    let (long, short) = (long.as_str(), "the river");
    let fails = |texts: &[(&str, &str)], capture: Capture| {
        let e = encoder.embed_blocking(texts.iter().copied(), &capture).unwrap_err();
        (e.kind(), e.to_string())
    };
    let (kind, message) = fails(&[(short, short), (long, short)], window(None).max_tokens(16));
    assert_eq!(kind, ErrorKind::Unsupported, "{message}");
    assert!(message.starts_with("text 1: ") && message.contains("pair"), "{message}");
    let fits = encoder.embed_blocking([(short, short)], &window(None).max_tokens(16)).unwrap();
    assert_eq!(fits.texts[0].lost, 0);
    // The pooler's product is made of one token: windows once gave the state without it.
    let pooler = load(&fixtures().join("checkpoints/tiny-d16"), Device::Cpu);
    let e = pooler.embed_blocking([short], &window(None).pool(Pool::Pooler)).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Usage, "{e}");
    for (stride, limit) in [(14, 16), (500, 16), (0, 2)] {
        let e =
            encoder.embed_blocking([long], &window(Some(stride)).max_tokens(limit)).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Usage, "{stride} {limit}: {e}");
    }
}

#[test]
fn a_prompt_stands_in_the_first_window() {
    let encoder = load(&bundled(), Device::Cpu);
    let text = words(60).join(" ");
    let capture = window(Some(6)).pool(Pool::Words(WordPool::Mean)).max_tokens(24);
    let got = encoder.embed_blocking([&text], &capture.prompt("query of the user: ")).unwrap();
    let found: Vec<&str> = got.texts[0].words.iter().map(|w| w.text.as_str()).collect();
    assert_eq!(found, words(60));
    assert_eq!((got.texts[0].words[0].start, got.texts[0].lost), (0, 0));
}

#[test]
fn ten_thousand_words_without_a_seam() {
    const COUNT: usize = 10_000;
    const SHIFT: usize = 37;
    let encoder = load(&bundled(), Device::Cpu);
    let list = words(COUNT);
    let run = |from: usize, stride: Option<usize>| {
        let capture = window(stride).pool(Pool::Words(WordPool::Mean));
        let got = encoder.embed_blocking([list[from..].join(" ")], &capture).unwrap();
        let found: Vec<&str> = got.texts[0].words.iter().map(|w| w.text.as_str()).collect();
        assert_eq!(found, list[from..]);
        assert_eq!((got.texts[0].rows, got.texts[0].lost), (COUNT - from, 0));
        got
    };
    let (ours, shifted, hard) = (run(0, None), run(SHIFT, None), run(0, Some(0)));
    // The words on both sides of the cuts, `step` tokens apart from token `first` on.
    let tokens = encoder.tokenize([list.join(" ")], &window(None)).unwrap().remove(0);
    let seams = |first: usize, step: usize| -> Vec<usize> {
        let cuts = (first..tokens.len() - 600).step_by(step).skip(3);
        let words = cuts.flat_map(|cut| [cut - 1, cut]).filter_map(|row| tokens.words[row]);
        words.map(|word| word as usize).collect()
    };
    let room = encoder.max_tokens() - 2;
    // Windows begin every room / 2 tokens, and are cut in the middle of what two share.
    let soft_seams = seams(1 + room * 3 / 4, room - room / 2);
    let hard_seams = seams(1 + room, room);
    assert!(soft_seams.len() > 100 && hard_seams.len() > 50);
    let apart =
        |a: &Embeddings, word: usize| distance(row(a, 0, word), row(&shifted, 0, word - SHIFT));
    let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len() as f64;
    let most = |all: &[f64]| all.iter().copied().fold(0.0, f64::max);
    let soft: Vec<f64> = soft_seams.iter().map(|&word| apart(&ours, word)).collect();
    let hard: Vec<f64> = hard_seams.iter().map(|&word| apart(&hard, word)).collect();
    // What another context alone does to a word that is at no cut.
    let rest: Vec<f64> = (400..COUNT - 600)
        .filter(|word| !soft_seams.contains(word))
        .map(|word| apart(&ours, word))
        .collect();
    let line = format!(
        "distance to the shifted windows: at seams mean {:.5} most {:.5}; elsewhere {:.5} {:.5}; at \
         seams without overlap {:.5} {:.5}",
        mean(&soft),
        most(&soft),
        mean(&rest),
        most(&rest),
        mean(&hard),
        most(&hard)
    );
    println!("{line}");
    assert!(most(&soft) <= 1.2 * most(&rest), "{line}");
    assert!(mean(&soft) <= 2.0 * mean(&rest), "{line}");
    assert!(mean(&hard) >= 1.5 * mean(&soft), "{line}");
}
