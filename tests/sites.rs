//! What lies inside the blocks: every site of every family against Transformers' forward hooks, the
//! sums that tie sites together, and what asking for them leaves alone. `tests/fixtures/make_sites.py`
//! made the numbers.

mod common;

use std::collections::BTreeSet;
use std::path::PathBuf;

use common::weights::Tensors;
use common::{Goldens, devices, difference, fixtures};
use everylayer::embeddings::TextEmbedding;
use everylayer::encoder::{Job, PreparedText};
use everylayer::model::directory::Directory;
use everylayer::model::spec::{Linear, Norm, NormKind, Order};
use everylayer::schedule::{Class, Vendor};
use everylayer::{Capture, Device, Encoder, Layers, LoadOptions, Pool, Route, Site};
use safetensors::SafeTensors;

/// Times the largest magnitude of the array, or 1 where that is smaller.
const CLOSE: f32 = 5e-5;

/// A checkpoint of the fixtures.
struct Checkpoint {
    name: String,
    folder: PathBuf,
    goldens: Goldens,
}

impl Checkpoint {
    fn named(name: &str) -> Self {
        let kinds = ["families", "checkpoints"].map(|kind| fixtures().join(kind).join(name));
        let folder = kinds.into_iter().find(|folder| folder.is_dir()).unwrap();
        let goldens = Goldens::read(&folder.join("goldens"));
        Self { name: name.to_owned(), folder, goldens }
    }

    fn open(&self, options: &LoadOptions) -> Encoder {
        Encoder::load_blocking(&Directory::open(&self.folder).unwrap(), options).unwrap()
    }

    /// How it is opened on each device: with a device's own kernels, and with those of a GPU.
    fn runs(&self) -> Vec<(&'static str, LoadOptions)> {
        let own = devices().into_iter().map(|d| ("its own", LoadOptions::default().device(d)));
        let mut runs: Vec<_> = own.collect();
        // One of each family takes the products that add a residual.
        let is_first = self.name.ends_with("-a") || self.name == "nomic_bert-moe";
        if runs.len() > 1 && is_first {
            let options = LoadOptions::default().device(Device::Gpu).default_limits(true);
            runs.push(("a GPU's", options.cut_for(Class::Small, Vendor::Intel)));
        }
        runs
    }

    /// The captures of all sites at blocks, hidden states of all layers first.
    fn captures(&self) -> Vec<Capture> {
        let tokens = |site| {
            let mut capture = Capture::default().site(site).layers(Layers::All).pool(Pool::Tokens);
            capture.max_tokens = Some(self.goldens.texts[0].max_tokens);
            capture
        };
        Site::ALL.map(|(_, site)| tokens(site)).into()
    }

    /// The text of this name, each capture from one pass.
    fn run(&self, encoder: &Encoder, name: &str, captures: &[Capture]) -> Vec<TextEmbedding> {
        let golden = self.goldens.texts.iter().find(|golden| golden.name == name).unwrap();
        let tokens = encoder.tokenize([golden.text()], &captures[0]).unwrap().remove(0);
        let text = PreparedText { tokens, ..PreparedText::default() };
        let job = Job { text: &text, windows: None, captures };
        let results = pollster::block_on(encoder.embed_jobs(&[job])).unwrap().results;
        results.into_iter().next().unwrap().unwrap().unwrap()
    }
}

/// The checkpoints that the file has sites of.
fn checkpoints(file: &SafeTensors<'_>) -> Vec<Checkpoint> {
    let names = file.names();
    let with_sites = names.iter().filter(|name| name.ends_with(".resid_mid"));
    let folders: BTreeSet<&str> = with_sites.filter_map(|n| Some(n.split_once('/')?.0)).collect();
    folders.into_iter().map(Checkpoint::named).collect()
}

fn largest(numbers: &[f32]) -> f32 {
    numbers.iter().fold(1f32, |most, x| most.max(x.abs()))
}

fn bits(text: &TextEmbedding) -> Vec<u32> {
    text.values.to_f32().into_iter().map(f32::to_bits).collect()
}

/// The captures that the blocks of a model have: none of activations where one has experts.
fn possible(captures: Vec<Capture>, encoder: &Encoder) -> Vec<Capture> {
    let routed = encoder.spec().blocks.iter().any(|block| block.experts.is_some());
    captures.into_iter().filter(|c| !(routed && c.site == Site::MlpAct)).collect()
}

#[test]
fn every_site_of_every_family_is_that_of_its_reference() {
    let bytes = std::fs::read(fixtures().join("sites.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let checkpoints = checkpoints(&file);
    assert!(checkpoints.len() >= 37, "{} checkpoints", checkpoints.len());
    let (mut failed, mut compared, mut most) = (Vec::new(), 0, 0f32);
    for checkpoint in &checkpoints {
        for (whose, options) in checkpoint.runs() {
            let encoder = checkpoint.open(&options);
            let captures = possible(checkpoint.captures(), &encoder);
            let all = checkpoint.run(&encoder, "sentence", &captures);
            let alone = checkpoint.run(&encoder, "sentence", &captures[..1]);
            let at = format!("{} on {} with {whose} kernels", checkpoint.name, encoder.device());
            if bits(&all[0]) != bits(&alone[0]) {
                failed.push(format!("{at}: hidden states have other bits beside sites"));
            }
            for (capture, text) in captures.iter().zip(&all).skip(1) {
                let depth = encoder.spec().depth();
                let ours = text.values.to_f32();
                let width = ours.len() / depth / text.rows;
                assert_eq!(encoder.header(capture).unwrap().width, width);
                for (i, layer) in ours.chunks(text.rows * width).enumerate() {
                    let key = format!("{}/{}.{}", checkpoint.name, i + 1, capture.site);
                    let want: Vec<f32> =
                        bytemuck::pod_collect_to_vec(file.tensor(&key).unwrap().data());
                    let row = |row: usize| &layer[row * width..(row + 1) * width];
                    let got = [row(1), row(text.rows - 1)].concat();
                    let d = difference(&got, &want) / largest(&want);
                    (compared, most) = (compared + 1, most.max(d));
                    if d > CLOSE || got.iter().any(|x| !x.is_finite()) {
                        failed.push(format!("{at}: {key}: |d| {d:e}"));
                    }
                }
            }
        }
    }
    println!("{compared} arrays, {most:e} at most");
    assert!(failed.is_empty(), "{} failures\n{}", failed.len(), failed.join("\n"));
}

/// norm(x) of each row, in f64.
fn normed(x: &[f64], norm: &Norm, tensors: &Tensors, width: usize) -> Vec<f64> {
    let ones = || vec![1.0; width];
    let gamma = tensors.of(&norm.weight).unwrap_or_else(ones);
    let beta = tensors.of(&norm.bias).unwrap_or_else(|| vec![0.0; width]);
    let row = |row: &[f64]| -> Vec<f64> {
        let n = width as f64;
        let mean = match norm.kind {
            NormKind::Layer => row.iter().sum::<f64>() / n,
            NormKind::Rms | NormKind::None => 0.0,
        };
        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        let scale = match norm.kind {
            NormKind::None => 1.0,
            _ => 1.0 / (variance + f64::from(norm.eps)).sqrt(),
        };
        row.iter()
            .zip(gamma.iter().zip(&beta))
            .map(|(x, (g, b))| (x - mean) * scale * g + b)
            .collect()
    };
    x.chunks(width).flat_map(row).collect()
}

/// W x + b of each row, in f64.
fn product(x: &[f64], linear: &Linear, tensors: &Tensors, width: usize, inputs: usize) -> Vec<f64> {
    let w = tensors.of(&linear.weight).unwrap();
    let bias = linear.bias.as_ref().and_then(|names| tensors.of(names));
    let bias = bias.unwrap_or_else(|| vec![0.0; width]);
    assert!(linear.share.is_none() && !linear.transposed && w.len() == width * inputs);
    let row = |x: &[f64]| -> Vec<f64> {
        let one = |(w, b): (&[f64], &f64)| w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() + b;
        w.chunks(inputs).zip(&bias).map(one).collect()
    };
    x.chunks(inputs).flat_map(row).collect()
}

#[test]
fn sites_add_up_in_every_family() {
    let bytes = std::fs::read(fixtures().join("sites.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let (mut failed, mut held) = (Vec::new(), 0);
    for checkpoint in checkpoints(&file) {
        let tensors = Tensors::read(&checkpoint.folder);
        for (whose, options) in checkpoint.runs() {
            let encoder = checkpoint.open(&options);
            let spec = encoder.spec();
            let (width, joined) = (spec.width, spec.heads * spec.head_dim);
            let of = |site| {
                let all = checkpoint.captures().into_iter();
                let capture = all.filter(|c| c.site == site).collect::<Vec<_>>();
                let values = checkpoint.run(&encoder, "sentence", &capture);
                values[0].values.to_f32().into_iter().map(f64::from).collect::<Vec<f64>>()
            };
            let [hidden, z, attn_out, mid, mlp_out] =
                [Site::Hidden, Site::Z, Site::AttnOut, Site::ResidMid, Site::MlpOut].map(of);
            let rows = attn_out.len() / width / spec.depth();
            let at = format!("{} with {whose} kernels on {}", checkpoint.name, encoder.device());
            let mut check = |what: &str, i: usize, got: &[f64], want: &[f64]| {
                let most = want.iter().fold(1f64, |most, x| most.max(x.abs()));
                let d = got.iter().zip(want).fold(0f64, |d, (a, b)| d.max((a - b).abs()));
                held += 1;
                if got.len() != want.len() || d.is_nan() || d > f64::from(CLOSE) * most {
                    failed.push(format!("{at}: {what} of block {}: {d:e} of {most}", i + 1));
                }
            };
            for (i, block) in spec.blocks.iter().enumerate() {
                let layer = |all: &[f64], i: usize, width| {
                    all[i * rows * width..(i + 1) * rows * width].to_vec()
                };
                let [x, y] = [i, i + 1].map(|i| layer(&hidden, i, width));
                let [attn_out, mid, mlp_out] =
                    [&attn_out, &mid, &mlp_out].map(|all| layer(all, i, width));
                let z = layer(&z, i, joined);
                let sum =
                    |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a + b).collect::<Vec<_>>();
                let output = product(&z, &block.attention.output, &tensors, width, joined);
                check("attn_out = W z + b", i, &attn_out, &output);
                let mut want = sum(&x, &attn_out);
                if block.order == Order::Post {
                    let norm = block.attention_norm.as_ref().unwrap();
                    want = normed(&want, norm, &tensors, width);
                    if let Some(norm) = &block.second_norm {
                        want = normed(&sum(&x, &want), norm, &tensors, width);
                    }
                }
                check("resid_mid", i, &mid, &want);
                let mut want = sum(&mid, &mlp_out);
                let last = (i + 1 == spec.depth()).then_some(spec.final_norm.as_ref()).flatten();
                match block.order {
                    // What is added to it is no site.
                    Order::Post if block.convolution.is_some() => continue,
                    Order::Post => want = normed(&want, &block.output_norm, &tensors, width),
                    Order::Pre => {}
                }
                if let Some(norm) = last {
                    let before = of_unnormed(&checkpoint, &encoder);
                    check("hidden before the final norm", i, &before, &want);
                    want = normed(&want, norm, &tensors, width);
                }
                check("hidden", i, &y, &want);
            }
        }
    }
    assert!(failed.is_empty(), "{} failures\n{}", failed.len(), failed.join("\n"));
    assert!(held > 300, "{held} sums held");
}

/// The last state before the final norm.
fn of_unnormed(checkpoint: &Checkpoint, encoder: &Encoder) -> Vec<f64> {
    let mut capture = checkpoint.captures().remove(0).layers("last").final_norm(false);
    capture.max_tokens = None;
    let text = checkpoint.run(encoder, "sentence", &[capture]).remove(0);
    text.values.to_f32().into_iter().map(f64::from).collect()
}

#[test]
fn sites_are_folded_as_states_are_and_nothing_else_comes_down() {
    let texts = ["a longer text of some words", "short"];
    for (whose, options) in Checkpoint::named("eurobert-a").runs() {
        let encoder = Checkpoint::named("eurobert-a").open(&options);
        let spec = encoder.spec();
        for (_, site) in Site::ALL {
            let capture = Capture::default().site(site).layers(Layers::Blocks).pool("mean-max");
            for combine in ["stack", "mean", "concat", "max"] {
                let fold = capture.clone().combine(combine).normalize(false);
                let stream = fold.clone().route(Route::Stream);
                let got = encoder.embed_blocking(texts, &fold).unwrap();
                let want = encoder.embed_blocking(texts, &stream).unwrap();
                assert_eq!((got.width, got.layer_axis), (want.width, want.layer_axis));
                let (a, b) = (got.to_vec(), want.to_vec());
                let d = difference(&a, &b);
                assert!(d <= 2e-6 * largest(&b), "{site} {combine} with {whose} kernels: {d:e}");
            }
            let numbers = spec.depth() * 2 * texts.len() * site.row(spec).line();
            let recordings = encoder.record(texts, &capture).unwrap();
            let down: u64 = recordings.iter().map(|r| r.counts().bytes_down).sum();
            let tokens: usize = recordings.iter().map(|r| r.tokens()).sum();
            let status = tokens.div_ceil(32) + spec.depth() + 1;
            assert_eq!(down, 4 * (numbers + status) as u64, "{site}");
        }
    }
}

#[test]
fn heads_that_are_asked_for_cost_no_kernel_and_no_other_bit() {
    let checkpoint = Checkpoint::named("tiny-36x3");
    let encoder = checkpoint.open(&LoadOptions::default().device(Device::Cpu));
    let states = Capture::default().layers(Layers::Blocks).pool("mean");
    let dispatches = |capture: &Capture| {
        let recordings = encoder.record(["a text"], capture).unwrap();
        recordings.iter().map(|r| r.counts().dispatches).sum::<usize>()
    };
    // Heads of 36 lie side by side without padding.
    assert_eq!(dispatches(&states.clone().site(Site::Z)), dispatches(&states));
    assert_eq!(dispatches(&states.clone().site(Site::AttnOut)), dispatches(&states));
    let header = encoder.header(&states.clone().site("Z")).unwrap();
    assert_eq!((header.heads, header.width), (Some([3, 36]), 108));
    assert_eq!(encoder.header(&states).unwrap().heads, None);
}

#[test]
fn what_no_model_has_is_said_in_a_sentence() {
    let bert = Checkpoint::named("tiny-d10").open(&LoadOptions::default().device(Device::Cpu));
    let moe = Checkpoint::named("nomic_bert-moe").open(&LoadOptions::default().device(Device::Cpu));
    let tokens = || Capture::default().pool(Pool::Tokens);
    for (encoder, capture, said) in [
        (&bert, tokens().site("z").layers("0,1"), "site `z` does not exist at layer 0"),
        (&bert, tokens().site("q").layers("0..2"), "choose blocks 1..4"),
        (&bert, tokens().site("mlp"), "unknown site `mlp`"),
        (&bert, tokens().site("mlp_otu"), "did you mean `mlp_out`?"),
        (&bert, tokens().final_norm(false), "this model has no final norm"),
        (&bert, Capture::default().site("v").pool(Pool::Pooler), "pooler"),
        (&moe, tokens().site("mlp_act").layers("all"), "does not exist at layer 2"),
    ] {
        let error = encoder.embed_blocking(["a"], &capture).unwrap_err();
        assert_eq!(error.kind(), everylayer::ErrorKind::Usage);
        assert!(error.to_string().contains(said), "{error}");
    }
    // A block without experts has them.
    assert!(moe.embed_blocking(["a"], &tokens().site("mlp_act").layers("1,3")).is_ok());
}
