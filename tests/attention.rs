//! Attention: the weights of every family against Transformers' eager attention, what is made of them
//! against the weights, and the bounds of memory. `tests/fixtures/make_sites.py` made the numbers.

mod common;

use std::collections::BTreeSet;

use common::{Goldens, devices, difference, fixtures};
use everylayer::model::directory::Directory;
use everylayer::schedule::{Class, Vendor};
use everylayer::{
    Attention, Capture, Device, Encoder, ErrorKind, LoadOptions, Maps, Pool, Reduce, Site,
};
use safetensors::SafeTensors;

/// Of a weight, which is at most 1.
const CLOSE: f32 = 2e-6;

fn open(name: &str, options: &LoadOptions) -> (Encoder, Goldens) {
    let kinds = ["families", "checkpoints"].map(|kind| fixtures().join(kind).join(name));
    let folder = kinds.into_iter().find(|folder| folder.is_dir()).unwrap();
    let encoder = Encoder::load_blocking(&Directory::open(&folder).unwrap(), options).unwrap();
    (encoder, Goldens::read(&folder.join("goldens")))
}

fn bundled(device: Device) -> Encoder {
    Encoder::open_blocking("bundled", &LoadOptions::default().device(device)).unwrap()
}

/// On each device, and one in three on llvmpipe by a GPU's kernels too.
fn runs(number: usize) -> Vec<LoadOptions> {
    let mut runs: Vec<_> =
        devices().into_iter().map(|device| LoadOptions::default().device(device)).collect();
    if runs.len() > 1 && number.is_multiple_of(3) {
        let options = LoadOptions::default().device(Device::Gpu).default_limits(true);
        runs.push(options.cut_for(Class::Small, Vendor::Intel));
    }
    runs
}

fn all(reduce: &str) -> Maps {
    Maps::default().layers("all").reduce(reduce)
}

#[test]
fn weights_are_those_of_eager_attention() {
    let bytes = std::fs::read(fixtures().join("sites.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let names = file.names();
    let with_maps = names.iter().filter(|name| name.ends_with(".attention"));
    let folders: BTreeSet<&str> = with_maps.filter_map(|n| Some(n.split_once('/')?.0)).collect();
    assert!(folders.len() > 35, "{}", folders.len());
    let (mut failed, mut most) = (Vec::new(), 0f32);
    for (number, name) in folders.into_iter().enumerate() {
        for options in runs(number) {
            let (encoder, goldens) = open(name, &options);
            let golden = goldens.texts.iter().find(|golden| golden.name == "sentence").unwrap();
            let tokens = golden.ids.len();
            let got = encoder.attention_blocking([golden.text()], &all("full")).unwrap();
            let (text, heads) = (&got.texts[0], encoder.spec().heads);
            assert_eq!(text.shape, [goldens.layers, heads, tokens, tokens], "{name}");
            let at = format!("{name} on {}", encoder.device());
            for (i, layer) in text.values.chunks(heads * tokens * tokens).enumerate() {
                let key = format!("{name}/{}.attention", i + 1);
                let want: Vec<f32> =
                    bytemuck::pod_collect_to_vec(file.tensor(&key).unwrap().data());
                let rows =
                    |head: &[f32]| [1, tokens - 1].map(|q| head[q * tokens..][..tokens].to_vec());
                let got =
                    layer.chunks(tokens * tokens).flat_map(rows).flatten().collect::<Vec<_>>();
                let d = difference(&got, &want);
                most = most.max(d);
                if d > CLOSE || got.iter().any(|w| !w.is_finite()) {
                    failed.push(format!("{at}: {key}: |d| {d:e}"));
                }
            }
            // softmax(q k) v is what the block goes on with.
            let tokens_of = |site| Capture::default().site(site).layers("all").pool(Pool::Tokens);
            let [z, v] = [Site::Z, Site::V].map(|site| {
                let got = encoder.embed_blocking([golden.text()], &tokens_of(site)).unwrap();
                got.to_vec()
            });
            let d = product_differs(&text.values, &z, &v, [tokens, heads, encoder.spec().kv_heads]);
            if d > 2e-5 {
                failed.push(format!("{at}: z is {d:e} from weights times v"));
            }
        }
    }
    println!("{most:e} at most");
    assert!(failed.is_empty(), "{} failures\n{}", failed.len(), failed.join("\n"));
}

/// How far `z` is from the weights times `v`, against max(1, |z|).
fn product_differs(weights: &[f32], z: &[f32], v: &[f32], sizes: [usize; 3]) -> f64 {
    let [tokens, heads, kv_heads] = sizes;
    let layers = weights.len() / (heads * tokens * tokens);
    let head_dim = z.len() / (layers * tokens * heads);
    let mut most = 0f64;
    for layer in 0..layers {
        for head in 0..heads {
            for row in 0..tokens {
                let weights =
                    &weights[((layer * heads + head) * tokens + row) * tokens..][..tokens];
                for i in 0..head_dim {
                    let of = |key: usize| {
                        let at = (layer * tokens + key) * kv_heads + head * kv_heads / heads;
                        f64::from(v[at * head_dim + i])
                    };
                    let sum: f64 =
                        weights.iter().enumerate().map(|(k, w)| f64::from(*w) * of(k)).sum();
                    let z = z[((layer * tokens + row) * heads + head) * head_dim + i];
                    most = most.max((f64::from(z) - sum).abs() / f64::from(z.abs().max(1.0)));
                }
            }
        }
    }
    most
}

/// What a reduction makes of the weights of a head, (tokens, tokens), in f64.
fn reduced(weights: &[f32], tokens: usize, reduce: Reduce, special: &[bool]) -> Vec<f64> {
    let row =
        |query: usize| weights[query * tokens..(query + 1) * tokens].iter().map(|w| f64::from(*w));
    let of = |query: usize| -> f64 {
        match reduce {
            Reduce::Entropy => row(query).filter(|w| *w > 0.0).map(|w| -w * w.ln()).sum(),
            Reduce::Distance => {
                row(query).enumerate().map(|(key, w)| w * query.abs_diff(key) as f64).sum()
            }
            Reduce::First => row(query).next().unwrap(),
            Reduce::Special => row(query).zip(special).filter(|(_, s)| **s).map(|(w, _)| w).sum(),
            Reduce::Received => {
                (0..tokens).map(|q| f64::from(weights[q * tokens + query])).sum::<f64>()
                    / tokens as f64
            }
            _ => unreachable!(),
        }
    };
    (0..tokens).map(of).collect()
}

#[test]
fn reductions_are_those_of_the_weights() {
    let texts = ["The bank by the river was closed, said the old archivist.", "Yes.", ""];
    for device in devices() {
        let encoder = bundled(device);
        let ask = |reduce: &str| {
            let maps = Maps::default().layers("2,-1").heads("5,6,0,-1").reduce(reduce);
            encoder.attention_blocking(texts, &maps).unwrap()
        };
        let full = ask("full");
        assert_eq!(
            (&full.header.layers[..], &full.header.heads[..]),
            (&[2, 6][..], &[5, 6, 0, 11][..])
        );
        for reduce in ["received", "entropy", "first", "special", "distance"] {
            let got = ask(reduce);
            for (text, whole) in got.texts.iter().zip(&full.texts) {
                let tokens = whole.tokens.len();
                let special: Vec<bool> = whole.tokens.iter().map(|t| t.word.is_none()).collect();
                assert_eq!(text.shape, [2, 4, tokens]);
                let heads = whole.values.chunks(tokens * tokens);
                let want: Vec<f64> =
                    heads.flat_map(|w| reduced(w, tokens, got.header.reduce, &special)).collect();
                for (a, b) in text.values.iter().zip(&want) {
                    assert!((f64::from(*a) - b).abs() < 2e-5, "{reduce}: {a} for {b}");
                }
            }
        }
        let top = ask("top:3");
        for (text, whole) in top.texts.iter().zip(&full.texts) {
            let tokens = whole.tokens.len();
            assert_eq!(text.shape, [2, 4, tokens, 3]);
            let rows = text.values.chunks(3).zip(text.keys.chunks(3));
            for ((weights, keys), row) in rows.zip(whole.values.chunks(tokens)) {
                let mut order: Vec<usize> = (0..tokens).collect();
                order.sort_by(|&a, &b| row[b].total_cmp(&row[a]).then(a.cmp(&b)));
                for i in 0..3 {
                    let want = order.get(i).map_or((0.0, -1), |&key| (row[key], key as i32));
                    assert_eq!((weights[i], keys[i]), want);
                }
            }
        }
    }
}

#[test]
fn rollout_is_the_product_of_the_means_over_heads() {
    let encoder = bundled(Device::Cpu);
    let text = ["a short text of words"];
    let full = encoder.attention_blocking(text, &all("full")).unwrap();
    // Whatever order the layers are named in.
    let rollout = encoder.attention_blocking(text, &all("rollout").layers("6,1..5")).unwrap();
    let n = full.texts[0].tokens.len();
    assert_eq!(rollout.texts[0].shape, [n, n]);
    let mut product: Vec<f64> = (0..n * n).map(|i| f64::from(u8::from(i / n == i % n))).collect();
    for layer in full.texts[0].values.chunks(12 * n * n) {
        let a = |row: usize, column: usize| {
            let mean =
                (0..12).map(|h| f64::from(layer[(h * n + row) * n + column])).sum::<f64>() / 12.0;
            (mean + f64::from(u8::from(row == column))) / 2.0
        };
        let at = |i: usize| (0..n).map(|j| a(i / n, j) * product[j * n + i % n]).sum::<f64>();
        product = (0..n * n).map(at).collect();
    }
    for (a, b) in rollout.texts[0].values.iter().zip(&product) {
        assert!((f64::from(*a) - b).abs() < 1e-6);
    }
}

/// Of texts of 512 tokens, twice what sentences of the bundled model have.
fn longer(layers: &str, reduce: &str) -> Maps {
    let maps = Maps::default().layers(layers).reduce(reduce);
    maps.text(Capture::default().max_tokens(512))
}

fn bits(attention: &Attention) -> Vec<Vec<u32>> {
    attention.texts.iter().map(|t| t.values.iter().map(|x| x.to_bits()).collect()).collect()
}

#[test]
fn a_text_has_the_same_attention_beside_others_and_in_tiles() {
    // Two of 512 tokens: more weights than a tile holds.
    let long = "every river ".repeat(400);
    let texts = ["a text", &long, "", &long, "another of some words"];
    for device in devices() {
        let is_cpu = device == Device::Cpu;
        let encoder = bundled(device);
        for reduce in ["full", "received", "top:2", "rollout"] {
            if !is_cpu && reduce != "received" {
                continue;
            }
            let maps = longer("1", reduce);
            let together = encoder.attention_blocking(texts, &maps).unwrap();
            let lost = together.texts.iter().map(|text| text.lost > 0);
            assert_eq!(lost.collect::<Vec<_>>(), [false, true, false, true, false]);
            let alone: Vec<_> = texts
                .iter()
                .map(|text| bits(&encoder.attention_blocking([*text], &maps).unwrap()).remove(0))
                .collect();
            assert!(bits(&together) == alone, "{reduce} on {}", encoder.device());
        }
    }
}

#[test]
fn a_window_has_zeros_outside_of_it() {
    // More tokens than a block of queries has, and windows of nine.
    for device in devices() {
        let (encoder, _) = open("modernbert-a", &LoadOptions::default().device(device));
        let text =
            "the old river keeps naive words and the engineer repairs every lantern ".repeat(6);
        let full = encoder.attention_blocking([text.as_str()], &all("full")).unwrap();
        let n = full.texts[0].tokens.len();
        assert_eq!(n, 64);
        for (i, layer) in full.texts[0].values.chunks(4 * n * n).enumerate() {
            let is_windowed = [1, 2, 4].contains(&i);
            for (place, weight) in layer.iter().enumerate() {
                let (query, key) = (place / n % n, place % n);
                let is_far = is_windowed && query.abs_diff(key) > 4;
                assert!((*weight == 0.0) == is_far, "layer {} {query} {key} {weight:e}", i + 1);
            }
            for row in layer.chunks(n) {
                assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            }
        }
    }
}

#[test]
fn memory_is_told_before() {
    let encoder = bundled(Device::Cpu);
    let long = "every river ".repeat(400);
    let texts = [long.as_str().into()];
    let full = encoder.attention_memory(&texts, &longer("3", "full")).unwrap();
    // Twelve heads of 512 x 512, on the device (a tile of 16 MiB at most), arriving, and kept.
    assert_eq!((full.results, full.host), (12 << 20, 24 << 20));
    let small = encoder.attention_memory(&texts, &longer("3", "entropy")).unwrap();
    assert_eq!((small.results, small.host), (12 * 512 * 4, 2 * 12 * 512 * 4));
    // Beside the activations of a pass, at most a tile, and what waits to be read back.
    let plain =
        encoder.record([long.as_str()], &Capture::default().layers("3").max_tokens(512)).unwrap();
    let plain = plain[0].counts().memory;
    assert!(full.device <= plain + (24 << 20), "{} beside {plain}", full.device);
    assert!(small.device <= plain + (17 << 20), "{} beside {plain}", small.device);
}

#[test]
fn what_no_model_has_is_said_in_a_sentence() {
    let encoder = bundled(Device::Cpu);
    let windows = Capture::default().overflow("window");
    for (maps, said) in [
        (all("full").layers("0"), "attention does not exist at layer 0"),
        (all("full").layers("7"), "layer 7 is out of range"),
        (all("full").heads("12"), "head 12 is out of range: a layer has heads 0..11"),
        (all("full").heads("1,-11"), "head 1 is given twice"),
        (all("full").heads("x"), "`x` is no number of a head"),
        (all("top:0"), "a whole number from 1 to 1024"),
        (all("tops"), "unknown reduction `tops`"),
        (all("full").text(windows), "which windows do not have"),
    ] {
        let error = encoder.attention_blocking(["a"], &maps).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.to_string().contains(said), "{error}");
    }
}
