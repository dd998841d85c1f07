//! Kernels that compute wrong are found before they are used, and others are taken.

#![cfg(all(feature = "gpu", feature = "bundled"))]

mod common;
mod toy;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use everylayer::execute::{Around, Execute, NotFinite, Sink, Task};
use everylayer::gpu::tuning_cache;
use everylayer::model::directory::Directory;
use everylayer::schedule::tuning::{Product, Tuning};
use everylayer::schedule::{Class, Elem, Recording, Tile, Variant, Vendor};
use everylayer::{Capture, Device, Encoder, Layers, LoadOptions, Pool, Result};

/// Gives back wrong numbers wherever `wrong` kernels take part.
struct Corrupt {
    inner: Arc<dyn Execute>,
    wrong: fn(&Variant) -> bool,
    runs: Arc<AtomicUsize>,
}

impl Around for Corrupt {
    fn inner(&self) -> &dyn Execute {
        self.inner.as_ref()
    }

    fn run<'a>(
        &'a self,
        recording: &'a Recording,
        sink: Sink<'a>,
    ) -> Task<'a, Result<Option<NotFinite>>> {
        Box::pin(async move {
            self.runs.fetch_add(1, Ordering::Relaxed);
            let is_wrong = recording.dispatches().any(|d| (self.wrong)(&d.variant()));
            let mut sink = |output, mut numbers: Vec<f32>| {
                if is_wrong {
                    numbers.iter_mut().take(8).for_each(|x| *x = 0.5 - *x);
                }
                sink(output, numbers)
            };
            self.inner.run(recording, &mut sink).await
        })
    }
}

/// The smallest model of the fixtures on the first adapter, whose `wrong` kernels are; and how often
/// something ran there.
fn load(folder: &Path, device: Device, wrong: fn(&Variant) -> bool) -> (Result<Encoder>, usize) {
    load_with(folder, LoadOptions::default().device(device), wrong)
}

fn load_with(
    folder: &Path,
    options: LoadOptions,
    wrong: fn(&Variant) -> bool,
) -> (Result<Encoder>, usize) {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let options = options
        .verified_in(folder)
        .batch_tokens(64)
        .wrap(move |inner| Arc::new(Corrupt { inner, wrong, runs: Arc::clone(&counted) }));
    let source = Directory::open(common::bundled()).unwrap();
    let encoder = Encoder::load_blocking(&source, &options);
    (encoder, runs.load(Ordering::Relaxed))
}

/// Products in the cut of software Vulkan.
fn broadcast(variant: &Variant) -> bool {
    matches!(variant, Variant::Matmul(matmul) if matmul.tile == Tile::Broadcast)
}

/// Every product.
fn products(variant: &Variant) -> bool {
    matches!(variant, Variant::Matmul(_))
}

/// Whether the largest tile but one was run.
static TUNED: AtomicBool = AtomicBool::new(false);

fn tuned(variant: &Variant) -> bool {
    if matches!(variant, Variant::Matmul(matmul) if matmul.tile == Tile::T64x64) {
        TUNED.store(true, Ordering::Relaxed);
    }
    false
}

#[test]
fn what_was_tuned_is_used_where_kernels_are_verified() {
    let Some(gpu) = toy::gpu() else { return };
    // Queries, keys and values of a few words, whose tile would be of 16 rows.
    let product = Product::new(16, 1152, 384, 1, Elem::F32);
    let tuning: Tuning = [(product, Tile::T64x64)].into_iter().collect();
    tuning_cache::keep(gpu.report(), &tuning).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let options = LoadOptions::default().device(Device::Gpu);
    let options = options.cut_for(Class::Small, Vendor::Portable);
    let (encoder, _) = load_with(folder.path(), options, tuned);
    TUNED.store(false, Ordering::Relaxed);
    encoder.unwrap().embed_blocking(["Hello, world!"], &Capture::default()).unwrap();
    assert!(TUNED.load(Ordering::Relaxed), "the winner was not taken");
}

fn nothing(_: &Variant) -> bool {
    false
}

fn vector(encoder: &Encoder) -> Vec<f32> {
    let result = encoder.embed_blocking(["Does it compute right?"], &Capture::default()).unwrap();
    result.vector(0, 0, 0).unwrap().to_vec()
}

fn is_software(encoder: &Encoder) -> bool {
    let options = LoadOptions::default().device(Device::Gpu).verify("never");
    let source = Directory::open(common::bundled()).unwrap();
    let plain = Encoder::load_blocking(&source, &options).unwrap();
    plain.device() == encoder.device()
        && plain.record(["x"], &Capture::default()).unwrap()[0]
            .dispatches()
            .any(|d| broadcast(&d.variant()))
}

#[test]
fn other_kernels_are_taken_for_wrong_ones() {
    if common::gpu_missing() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let cpu = common::load(&common::bundled(), Device::Cpu);
    let want = vector(&cpu);
    let (encoder, ran) = load(folder.path(), Device::Gpu, broadcast);
    let encoder = encoder.unwrap();
    if !is_software(&encoder) {
        println!(
            "skipped: the first adapter is no software Vulkan, whose kernels are made wrong here"
        );
        return;
    }
    let taken = encoder.record(["x"], &Capture::default()).unwrap();
    assert!(taken[0].dispatches().any(|d| products(&d.variant())));
    assert!(!taken[0].dispatches().any(|d| broadcast(&d.variant())));
    assert!(common::difference(&vector(&encoder), &want) < 1e-5);
    assert!(ran > 10, "{ran}");

    let verified = encoder.verified().unwrap();
    assert!(verified.model && verified.kernels > 5 && verified.ran > 5, "{verified:?}");
    let [note] = encoder.notes() else { panic!("{:?}", encoder.notes()) };
    for part in ["computes `matmul", "wrong (off by", "everylayer doctor --json", "/issues"] {
        assert!(note.contains(part), "{note}");
    }
    assert_eq!(verified.fault.as_ref(), Some(note));

    // The second load reads what was found.
    let (again, ran) = load(folder.path(), Device::Gpu, broadcast);
    let again = again.unwrap();
    assert_eq!((ran, again.verified().unwrap().ran), (0, 0));
    assert_eq!(again.notes(), encoder.notes());
    assert_eq!(vector(&again), vector(&encoder));

    // Another driver is another thing.
    let files = files(folder.path());
    let [file] = &files[..] else { panic!("{files:?}") };
    let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let mut other = kept.clone();
    other["driver"] = "another version".into();
    std::fs::write(file, other.to_string()).unwrap();
    let (newer, ran) = load(folder.path(), Device::Gpu, nothing);
    let newer = newer.unwrap();
    assert!(ran > 5 && newer.verified().unwrap().ran > 5, "{ran}");
    assert!(newer.notes().is_empty(), "{:?}", newer.notes());
    let software = newer.record(["x"], &Capture::default()).unwrap();
    assert!(software[0].dispatches().any(|d| broadcast(&d.variant())));

    // What is damaged is as what is not there.
    for damaged in ["", "{", "{\"checks\":{}}"] {
        std::fs::write(file, damaged).unwrap();
        let (_, ran) = load(folder.path(), Device::Gpu, nothing);
        assert!(ran > 5, "{damaged}");
    }
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_device_without_right_kernels_is_an_error_where_nothing_is_left() {
    if common::gpu_missing() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let (encoder, _) = load(folder.path(), Device::Index(0), products);
        let error = encoder.unwrap_err();
        assert_eq!(error.kind(), everylayer::ErrorKind::Gpu);
        let said = error.to_string();
        for part in ["computes `matmul", "no other kernels are right", "another device"] {
            assert!(said.contains(part), "{said}");
        }
    }
}

#[test]
fn verifying_is_asked_for_by_word() {
    if common::gpu_missing() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let load = |when: &str| {
        let options = LoadOptions::default().device(Device::Gpu).verify(when);
        load_with(folder.path(), options, nothing)
    };
    let (never, ran) = load("never");
    assert!(never.unwrap().verified().is_none());
    assert_eq!(ran, 0);
    assert!(files(folder.path()).is_empty());
    for _ in 0..2 {
        let (always, ran) = load("always");
        assert!(ran > 5 && always.unwrap().verified().unwrap().ran > 5);
    }
    let (once, ran) = load("once");
    assert_eq!((ran, once.unwrap().verified().unwrap().ran), (0, 0));
    let (wrong, _) = load("sometimes");
    assert!(wrong.unwrap_err().to_string().contains("sometimes"));
}

/// A request may bring kernels that no load could know of.
#[test]
fn kernels_of_a_later_request_are_verified_before_it() {
    if common::gpu_missing() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let combine: fn(&Variant) -> bool = |variant| matches!(variant, Variant::Combine(_));
    let options =
        LoadOptions::default().device(Device::Gpu).cut_for(Class::Small, Vendor::Portable);
    let (encoder, _) = load_with(folder.path(), options, combine);
    let encoder = encoder.unwrap();
    assert!(encoder.notes().is_empty(), "{:?}", encoder.notes());
    vector(&encoder);
    let capture = Capture::default().layers(Layers::last(4)).combine("mean").pool(Pool::Tokens);
    let said = encoder.embed_blocking(["x"], &capture).unwrap_err().to_string();
    assert!(said.contains("computes `combine") && said.contains("another device"), "{said}");
    vector(&encoder);
}
