//! Every state of every fixture model against Hugging Face Transformers in f32, and poolings and
//! sentence vectors against sentence-transformers. `tests/fixtures/make_goldens.py` made them.

mod common;

use common::{Goldens, bundled, cosine, devices, difference, fixtures, load};
use everylayer::{Capture, Device, Encoder, Layers, Overflow, Pool, Route};

/// Absolute, f32 on both sides. The goldens themselves are up to 1.1e-5 from the same pass in
/// f64 (tests/fixtures/README.md): what is left is the sum of twice such roundings.
const STATE: f32 = 5e-5;
/// Per token.
const COSINE: f64 = 0.999_999;

/// Runs all texts in one call and compares every state; returns failures and the worst values.
fn states(encoder: &Encoder, goldens: &Goldens) -> (Vec<String>, f32, f64) {
    let limit = goldens.texts[0].max_tokens;
    let mut capture = Capture::default().layers(Layers::All).pool(Pool::Tokens);
    capture.max_tokens = Some(limit);
    let texts: Vec<_> = goldens.texts.iter().map(|g| g.text()).collect();
    let got = encoder.embed_blocking(&texts, &capture).unwrap();
    let tokens = encoder.tokenize(&texts, &capture).unwrap();
    assert_eq!(got.layers, (0..=goldens.layers).collect::<Vec<_>>());
    assert_eq!(got.width, goldens.width);

    let (mut failures, mut worst, mut least) = (Vec::new(), 0f32, 1f64);
    for (i, golden) in goldens.texts.iter().enumerate() {
        let name = &golden.name;
        let mut same = |what: &str, equal: bool| {
            if !equal {
                failures.push(format!("text {i} {name}: {what} differ"));
            }
        };
        same("ids", tokens[i].ids == golden.ids);
        same("types", tokens[i].types == golden.types);
        same("pieces", tokens[i].pieces == golden.tokens);
        same("offsets", tokens[i].spans == golden.offsets);
        same("tokens lost", got.texts[i].lost == golden.tokens_lost);
        if golden.pair.is_none() {
            same("words", tokens[i].words == golden.words);
        }
        if tokens[i].ids != golden.ids {
            continue;
        }
        let want = goldens.tensor(&format!("{i}.states")).unwrap();
        let ours = got.texts[i].values.to_f32();
        let state = golden.ids.len() * goldens.width;
        for (layer, (a, b)) in ours.chunks(state).zip(want.chunks(state)).enumerate() {
            let (d, c) = (difference(a, b), cosine(a, b, goldens.width));
            (worst, least) = (worst.max(d), least.min(c));
            if d > STATE || c < COSINE {
                failures.push(format!("text {i} {name} state {layer}: |d| {d:e}, cosine {c}"));
            }
        }
    }
    (failures, worst, least)
}

fn check(folder: &std::path::Path, goldens: &std::path::Path) {
    let goldens = Goldens::read(goldens);
    for device in devices() {
        let encoder = load(folder, device);
        let (failures, worst, least) = states(&encoder, &goldens);
        println!("{} on {}: |d| {worst:e}, cosine {least}", folder.display(), encoder.device());
        assert!(failures.is_empty(), "{}:\n{}", encoder.device(), failures.join("\n"));
    }
}

#[test]
fn bundled_model_has_the_states_of_transformers() {
    check(&bundled(), &fixtures().join("goldens/minilm"));
}

#[test]
fn small_checkpoints_have_the_states_of_transformers() {
    let mut folders: Vec<_> = std::fs::read_dir(fixtures().join("checkpoints"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    assert!(folders.len() >= 9, "{folders:?}");
    for folder in folders {
        check(&folder, &folder.join("goldens"));
    }
}

#[test]
fn pooler_is_that_of_transformers() {
    let goldens = Goldens::read(&fixtures().join("goldens/minilm"));
    let texts: Vec<_> = goldens.texts.iter().map(|g| g.text()).collect();
    let mut capture = Capture::default().pool(Pool::Pooler);
    capture.max_tokens = Some(512);
    for device in devices() {
        let encoder = load(&bundled(), device);
        let got = encoder.embed_blocking(&texts, &capture).unwrap();
        for (i, golden) in goldens.texts.iter().enumerate() {
            let want = goldens.tensor(&format!("{i}.pooler")).unwrap();
            let d = difference(got.vector(i, 0, 0).unwrap(), &want);
            assert!(d <= STATE, "{} on {}: {d:e}", golden.name, encoder.device());
        }
    }
}

#[test]
fn default_vectors_are_those_of_sentence_transformers() {
    let goldens = Goldens::read(&fixtures().join("goldens/minilm"));
    let singles: Vec<_> =
        goldens.texts.iter().enumerate().filter(|(_, g)| g.pair.is_none()).collect();
    for device in devices() {
        let encoder = load(&bundled(), device);
        assert_eq!(encoder.max_tokens(), goldens.sentence_max_tokens);
        let texts: Vec<_> = singles.iter().map(|(_, g)| g.text()).collect();
        let got = encoder.embed_blocking(&texts, &Capture::default()).unwrap();
        for (at, (i, golden)) in singles.iter().enumerate() {
            let want = goldens.tensor(&format!("{i}.sentence")).unwrap();
            let d = difference(got.vector(at, 0, 0).unwrap(), &want);
            assert!(d <= 1e-5, "{} on {}: {d:e}", golden.name, encoder.device());
        }
    }
}

#[derive(serde::Deserialize)]
struct Poolings {
    texts: Vec<Named>,
}

#[derive(serde::Deserialize)]
struct Named {
    name: String,
    index: usize,
}

#[test]
fn poolings_are_those_of_sentence_transformers_on_both_ways_out() {
    let goldens = Goldens::read(&fixtures().join("goldens/minilm"));
    let file = std::fs::read(fixtures().join("goldens/poolings.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&file).unwrap();
    let named = std::fs::read_to_string(fixtures().join("goldens/poolings.json")).unwrap();
    let named: Poolings = serde_json::from_str(&named).unwrap();
    let modes = [
        ("cls", Pool::Cls),
        ("last", Pool::Last),
        ("max", Pool::Max),
        ("mean", Pool::Mean),
        ("mean-sqrt", Pool::MeanSqrt),
        ("weighted-mean", Pool::WeightedMean),
        ("mean-max", Pool::MeanMax),
    ];
    let texts: Vec<_> = named.texts.iter().map(|n| goldens.texts[n.index].text()).collect();
    let mut failures = Vec::new();
    for device in devices() {
        let encoder = load(&bundled(), device);
        for (mode, pool) in modes {
            let mut capture = Capture::default().layers(Layers::All).pool(pool);
            capture.max_tokens = Some(512);
            let mut ways = Vec::new();
            for route in [Route::Stream, Route::Fold] {
                capture.route = route;
                ways.push(encoder.embed_blocking(&texts, &capture).unwrap());
            }
            for (at, text) in named.texts.iter().enumerate() {
                let name = format!("{}.{mode}", text.name);
                let want: Vec<f32> =
                    bytemuck::pod_collect_to_vec(file.tensor(&name).unwrap().data());
                let [stream, fold] = [0, 1].map(|w| ways[w].texts[at].values.to_f32());
                // `mean-sqrt` of 512 tokens is up to 22 times as large as a state.
                let scale = want.iter().fold(1f32, |m, x| m.max(x.abs()));
                let (a, b) = (difference(&stream, &want), difference(&stream, &fold));
                if a > STATE * scale || b > 1e-6 * scale {
                    failures.push(format!(
                        "{name} on {}: {a:e} from the golden, {b:e} between the ways",
                        encoder.device()
                    ));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Weights rounded, and on a device inside WebGPU's default limits, which is cut up for as a GPU is,
/// activations as well. The bundled model is in the table of `every_state_in_every_storage_type`.
#[test]
fn f16_stays_near() {
    let mut folders: Vec<_> = std::fs::read_dir(fixtures().join("checkpoints"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    for folder in folders {
        let goldens = Goldens::read(&folder.join("goldens"));
        let source = everylayer::model::directory::Directory::open(&folder).unwrap();
        for (device, portable) in
            devices().into_iter().flat_map(|d| [(d.clone(), false), (d, true)])
        {
            let options =
                everylayer::LoadOptions::default().device(device).default_limits(portable);
            let options = options.dtype(everylayer::Dtype::F16);
            let encoder = Encoder::load_blocking(&source, &options).unwrap();
            let mut capture = Capture::default().layers(Layers::All).pool(Pool::Tokens);
            capture.max_tokens = Some(goldens.texts[0].max_tokens);
            let texts: Vec<_> = goldens.texts.iter().map(|g| g.text()).collect();
            let got = encoder.embed_blocking(&texts, &capture).unwrap();
            for (i, golden) in goldens.texts.iter().enumerate() {
                let want = goldens.tensor(&format!("{i}.states")).unwrap();
                let c = cosine(&got.texts[i].values.to_f32(), &want, goldens.width);
                let (name, folder) = (&golden.name, folder.display());
                assert!(c >= 0.9999, "{folder} {name} on {}: cosine {c}", encoder.device());
            }
        }
    }
}

#[test]
fn overflow_error_refuses_what_truncate_cuts() {
    let encoder = load(&bundled(), Device::Cpu);
    let long = "word ".repeat(400);
    let mut capture = Capture::default();
    assert_eq!(encoder.embed_blocking([&long], &capture).unwrap().texts[0].lost, 146);
    capture.overflow = Overflow::Error;
    let kind = common::kind(encoder.embed_blocking([&long], &capture));
    assert_eq!(kind, Some(everylayer::ErrorKind::TooLong));
}

/// Prints a line a state: what each device and storage type makes of it. The bars are those of the
/// tests above; in f16 they hold the weights' rounding too.
#[test]
fn every_state_in_every_storage_type() {
    use everylayer::model::directory::Directory;
    use everylayer::schedule::{Class, Vendor};
    use everylayer::{Dtype, LoadOptions};

    // Software Vulkan's own kernels, those of a page's software adapter inside the default limits, and
    // those of GPUs.
    let mut runs = vec![("cpu", LoadOptions::default().device(Device::Cpu))];
    if !common::gpu_missing() {
        let gpu = LoadOptions::default().device(Device::Gpu);
        let portable = gpu.clone().default_limits(true);
        runs.extend([
            ("gpu, small", portable.clone().cut_for(Class::Small, Vendor::Intel)),
            ("gpu, large", portable.clone().cut_for(Class::Large, Vendor::Amd)),
            ("gpu, Metal", portable.clone().cut_for(Class::Small, Vendor::Apple)),
            ("gpu, emulated", portable),
            ("gpu, software", gpu),
        ]);
    }
    let tiny = fixtures().join("checkpoints/tiny-d16");
    let models = [
        ("bundled", bundled(), fixtures().join("goldens/minilm")),
        ("tiny-d16", tiny.clone(), tiny.join("goldens")),
    ];
    for (model, folder, goldens) in models {
        let goldens = Goldens::read(&goldens);
        let texts: Vec<_> = goldens.texts.iter().map(|g| g.text()).collect();
        let want: Vec<_> =
            (0..texts.len()).map(|i| goldens.tensor(&format!("{i}.states")).unwrap()).collect();
        let source = Directory::open(&folder).unwrap();
        for (name, options) in &runs {
            for (dtype, difference_bar, cosine_bar) in
                [(Dtype::F32, STATE, COSINE), (Dtype::F16, f32::INFINITY, 0.9999)]
            {
                let options = options.clone().dtype(dtype);
                let encoder = Encoder::load_blocking(&source, &options).unwrap();
                let mut capture = Capture::default().layers(Layers::All).pool(Pool::Tokens);
                capture.max_tokens = Some(goldens.texts[0].max_tokens);
                let got = encoder.embed_blocking(&texts, &capture).unwrap();
                for state in 0..=goldens.layers {
                    let (mut worst, mut least) = (0f32, 1f64);
                    for (i, golden) in goldens.texts.iter().enumerate() {
                        let size = golden.ids.len() * goldens.width;
                        let part = state * size..(state + 1) * size;
                        let ours = &got.texts[i].values.to_f32()[part.clone()];
                        worst = worst.max(difference(ours, &want[i][part.clone()]));
                        least = least.min(cosine(ours, &want[i][part], goldens.width));
                    }
                    println!(
                        "accuracy: {model:<9} {name:<14} {dtype} state {state}: max |d| {worst:.1e}, \
                         min cosine {least:.9}"
                    );
                    assert!(worst <= difference_bar, "{model} {name} {dtype} state {state}");
                    assert!(least >= cosine_bar, "{model} {name} {dtype} state {state}");
                }
            }
        }
    }
}
